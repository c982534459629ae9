"""What is said, and remembered, when a create has ended one way or another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import pytest

from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.decision import created, decide
from methodsecret_operator.core.outcome import UNAUTHORIZED_RETRY, failed, gone, unconfirmed
from methodsecret_operator.core.resource import PendingCreate, Source
from methodsecret_operator.core.snapshot import Attempt, Create, Problem, Retry, Snapshot
from methodsecret_operator.core.status import summarize, worth_writing
from methodsecret_operator.errors import (
    MethodError,
    MethodNotFound,
    MethodRateLimited,
    MethodRejected,
    MethodUnauthorized,
    MethodUnavailable,
)
from tests.unit import gen

OWN_ACCOUNT = gen.raw_spec(account=gen.own_account())
HELD = Source(uid=gen.SECRET_UID, revision=gen.revision(), resource_version=gen.SECRET_VERSION)


def unresolved(create: Create) -> Attempt:
    return gen.attempt(revision=create.revision, ordinal=create.ordinal, unresolved=create)


# --- created ----------------------------------------------------------------------------------------


def test_an_active_secret_is_synced() -> None:
    whole = gen.snapshot(gen.method_secret(annotations={gen.RECONCILE: "t", gen.ROTATE: "r"}))
    found = created(whole, gen.create(whole), gen.remote())
    assert found == gen.finding(
        message="sec_new1 at Method holds the value of Secret acme, key api-key.",
        reconcile_token="t",
        rotation_token="r",
    )


def test_a_new_secret_is_based_on_the_id_that_it_takes_the_place_of() -> None:
    whole = gen.snapshot(gen.synced(), source=gen.source("another value"))
    assert created(whole, gen.create(whole), gen.remote()).base_id == gen.SECRET_ID


def test_a_secret_that_is_not_active_is_kept_and_looked_at_again() -> None:
    remote = gen.remote(status="processing")
    whole = gen.snapshot(gen.method_secret(annotations={gen.ROTATE: "r"}))
    found = created(whole, gen.create(whole), remote)
    assert found == gen.finding(
        reason=Reason.PENDING,
        message="Method created sec_new1, but does not call it active yet; the operator looks again by"
        " itself.",
        secret=remote,
        retry=1.0,
    )


class Newline(NamedTuple):
    """A value, and whether its end is worth a word."""

    reason: str
    value: str
    noticed: bool


@pytest.mark.parametrize(
    "row",
    [
        Newline("as an editor leaves it", "key\n", noticed=True),
        Newline("as Windows leaves it", "key\r\n", noticed=True),
        Newline("no newline", "key", noticed=False),
        Newline("inside it belongs to the value", "-----BEGIN\nEND", noticed=False),
    ],
    ids=lambda row: row.reason,
)
def test_a_last_newline_is_noticed(row: Newline) -> None:
    whole = gen.snapshot(source=gen.source(row.value))
    assert created(whole, gen.create(whole), gen.remote()).trailing_newline is row.noticed


class Late(NamedTuple):
    """A create settled late, and what is wanted by then."""

    reason: str
    changed: dict[str, Any]
    moved_on: bool


@pytest.mark.parametrize(
    "row",
    [
        Late("nothing has changed", {}, moved_on=False),
        Late("the same value, written again", {"source": gen.source(version="9")}, moved_on=False),
        Late("the value has changed", {"source": gen.source("newer value")}, moved_on=True),
        Late(
            "the value is gone",
            {"source": Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND)},
            moved_on=True,
        ),
        Late("it is being deleted", {"object": gen.method_secret(deleted=True)}, moved_on=True),
        Late(
            "its metadata has changed",
            {"object": gen.method_secret(spec=gen.raw_spec(metadata={"a": "b"}))},
            moved_on=True,
        ),
    ],
    ids=lambda row: row.reason,
)
def test_a_create_settled_late_is_synced_only_while_it_is_wanted(row: Late) -> None:
    create = gen.create()
    whole = replace(gen.snapshot(attempt=unresolved(create)), **row.changed)
    found = created(whole, create, gen.remote())
    # Either way the id is written, with what it holds: it must not be lost.
    assert (found.secret, found.source, found.environment) == (gen.remote(), HELD, "production")
    if row.moved_on:
        assert (found.reason, found.retry) == (Reason.PENDING, 0.0)
        assert found.message == (
            "Method created sec_new1, and the value has changed since; the new one is on its way."
        )
    else:
        assert (found.reason, found.retry) == (Reason.SYNCED, "resync")


def test_the_next_ordinal_of_an_unresolved_create_is_settled_late_as_well() -> None:
    former = gen.create()
    whole = gen.snapshot(attempt=unresolved(former), source=gen.source("newer value"))
    found = created(whole, replace(former, ordinal=1, idempotency_key="the next"), gen.remote())
    assert (found.reason, found.source) == (Reason.PENDING, HELD)


def test_without_an_unresolved_create_it_is_what_was_just_decided_on() -> None:
    create = gen.create()
    whole = gen.snapshot(source=gen.source("newer"), attempt=gen.attempt(revision=create.revision, ordinal=1))
    assert created(whole, create, gen.remote()).reason is Reason.SYNCED


# --- failed -----------------------------------------------------------------------------------------

UNAVAILABLE = "Method gave no usable answer; the operator tries again by itself."
LIMITED = "Method takes no more requests with this API key for now; the operator tries again by itself."


def refuses(status: int) -> str:
    return (
        f"Method refuses to store this (HTTP {status}): compare the value and spec.metadata with Method's"
        " documentation of /secrets."
    )


def unauthorized(status: int) -> str:
    return (
        f"Method refuses the operator's API key (HTTP {status}): check the key behind its setting"
        " API_KEY_FILE and that it belongs to production."
    )


class Failure(NamedTuple):
    """How a create failed, and whether the outcome of its key is open or final, or it is unused."""

    reason: str
    error: MethodError
    key: Literal["open", "final", "unused"]
    word: Reason
    message: str
    retry: Retry


def http(kind: type[MethodError], status: int, **changed: Any) -> MethodError:  # noqa: ANN401 - its arguments
    return gen.error(kind, status=status, **changed)


FAILURES = [
    Failure(
        "no answer in time: it may have been done",
        gen.error(MethodUnavailable, kind="timeout"),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "the connection broke",
        gen.error(MethodUnavailable, kind="connection"),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "a 2xx that nobody can read: it was probably done",
        gen.error(MethodUnavailable, kind="unreadable", status=200),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "a 4xx that a proxy wrote says nothing of the API",
        gen.error(MethodUnavailable, kind="unreadable", status=403),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "a 5xx may have been done",
        http(MethodUnavailable, 500),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "the key was not looked at: the same key waits",
        http(MethodUnavailable, 503, sub_type="IDEMPOTENCY_UNAVAILABLE", idem_status="bypassed"),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "a 5xx that is stored will come back for ever",
        http(MethodUnavailable, 500, idem_status="stored"),
        "final", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "a 5xx that was replayed too",
        http(MethodUnavailable, 500, idem_status="replayed"),
        "final", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    *(
        Failure(
            f"{status} means not now",
            http(MethodUnavailable, status),
            "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
        )
        for status in (408, 409, 425)
    ),
    Failure(
        "a 409 that is stored is final all the same",
        http(MethodUnavailable, 409, idem_status="stored"),
        "final", Reason.REJECTED, refuses(409), "resync",
    ),
    Failure(
        "429: wait as long as Method says",
        http(MethodRateLimited, 429, retry_after=90.0),
        "open", Reason.RATE_LIMITED, LIMITED, 90.0,
    ),
    Failure(
        "429 without a word: a minute",
        http(MethodRateLimited, 429),
        "open", Reason.RATE_LIMITED, LIMITED, 60.0,
    ),
    Failure(
        "429 that is stored: wait, then with the next key",
        http(MethodRateLimited, 429, retry_after=60.0, idem_status="stored"),
        "final", Reason.RATE_LIMITED, LIMITED, 60.0,
    ),
    *(
        Failure(
            f"{status}: nothing was done under this key, and the next try comes slowly",
            http(MethodUnauthorized, status),
            "unused", Reason.UNAUTHORIZED, unauthorized(status), UNAUTHORIZED_RETRY,
        )
        for status in (401, 403)
    ),
    *(
        Failure(
            f"{status}: a person must look",
            http(MethodRejected, status),
            "unused", Reason.REJECTED, refuses(status), "resync",
        )
        for status in (400, 422, 418)
    ),
    *(
        Failure(
            f"{status} that is stored will come back for ever",
            http(MethodRejected, status, idem_status="stored"),
            "final", Reason.REJECTED, refuses(status), "resync",
        )
        for status in (400, 422)
    ),
    Failure(
        "404 on a create is a refusal like any other",
        http(MethodNotFound, 404),
        "unused", Reason.REJECTED, refuses(404), "resync",
    ),
    Failure(
        "a 2xx that says success: false may have been done, or not",
        gen.error(MethodUnavailable, kind="refused", status=200),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
    Failure(
        "a 2xx that says success: false and is stored is a refusal",
        gen.error(MethodUnavailable, kind="refused", status=200, idem_status="stored"),
        "final", Reason.REJECTED, refuses(200), "resync",
    ),
    Failure(
        "a stored 2xx that nobody can read is no failure: ask again",
        gen.error(MethodUnavailable, kind="unreadable", status=200, idem_status="stored"),
        "open", Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.reason)
def test_what_a_failed_create_leaves(row: Failure) -> None:
    whole = gen.snapshot(attempt=gen.attempt(revision=gen.revision(), ordinal=2))
    create = gen.create(whole)
    found, attempt = failed(whole, create, row.error)
    if row.key == "final":
        assert attempt == gen.attempt(revision=create.revision, ordinal=3)
    elif row.key == "unused":
        assert attempt == gen.attempt(revision=create.revision, ordinal=2)
    else:
        server_error = row.error.status is not None and row.error.status >= 500
        failing_since = gen.NOW if server_error else None
        assert attempt == gen.attempt(
            ordinal=2, unresolved=create, tried_at=gen.NOW, failing_since=failing_since
        )
        assert attempt.unresolved is create
    assert found == gen.finding(
        reason=row.word,
        message=row.message,
        secret=None,
        source=None,
        environment=None,
        pending=PendingCreate(revision=create.revision, ordinal=attempt.ordinal),
        retry=row.retry,
    )


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.reason)
def test_what_is_tried_next(row: Failure) -> None:
    whole = gen.snapshot()
    create = gen.create(whole)
    _, attempt = failed(whole, create, row.error)
    following = gen.as_create(decide(replace(whole, attempt=attempt)))
    if row.key == "final":
        assert (following.ordinal, following.revision) == (1, create.revision)
        assert following.idempotency_key != create.idempotency_key
    elif row.key == "unused":
        assert following == create
        assert following is not create, "it is decided anew: the value may be another by then"
    else:
        assert following is create


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.reason)
def test_the_same_failure_again_is_no_write(row: Failure) -> None:
    whole = gen.snapshot()
    first, attempt = failed(whole, gen.create(whole), row.error)
    written = whole.object.model_copy(update={"status": summarize(whole.object, first, now=gen.NOW)})
    again = replace(whole, object=written, attempt=attempt, now=gen.later(seconds=60))
    second, _ = failed(again, gen.create(again), row.error)
    status = summarize(written, second, now=gen.later(seconds=60))
    assert worth_writing(whole.object.status, written.status)
    assert not worth_writing(written.status, status)


def test_a_refused_key_of_the_objects_own_account_is_called_by_its_secret() -> None:
    whole = gen.snapshot(gen.method_secret(spec=OWN_ACCOUNT))
    found, _ = failed(whole, gen.create(whole), http(MethodUnauthorized, 403))
    assert found.message == (
        "Method refuses the API key in Secret method, key token (HTTP 403): check it and that it belongs to"
        " production."
    )


def test_a_former_secret_stays_in_use_when_the_new_one_fails() -> None:
    whole = gen.snapshot(gen.synced(), source=gen.source("another value"))
    found, _ = failed(whole, gen.create(whole), http(MethodRejected, 422))
    assert found.message == f"{refuses(422)} {gen.SECRET_ID} stays in use with the former value."
    assert (found.base_id, found.secret) == (gen.SECRET_ID, None)


# --- gone -------------------------------------------------------------------------------------------

SETTLING = "A create is being settled with Method; the operator tries again by itself."


def test_a_replayed_secret_that_was_deleted_ends_its_key() -> None:
    whole = gen.snapshot()
    create = gen.create(whole)
    found, attempt = gone(whole, create, "sec_new1", deleted=True)
    assert attempt == gen.attempt(revision=create.revision, ordinal=1)
    assert (found.reason, found.message, found.retry) == (Reason.PENDING, SETTLING, 0.0)
    assert found.pending == PendingCreate(revision=create.revision, ordinal=1)
    assert found.secret is None


def test_a_replayed_secret_that_is_not_there_may_still_appear() -> None:
    whole = gen.snapshot()
    create = gen.create(whole)
    found, attempt = gone(whole, create, "sec_new1", deleted=False)
    assert attempt.unresolved is create
    assert (found.reason, found.message, found.retry) == (Reason.PENDING, SETTLING, "backoff")
    assert found.pending == PendingCreate(revision=create.revision, ordinal=0)


@pytest.mark.parametrize("listed", [False, True])
def test_a_replayed_secret_missing_for_long_ends_its_key_unless_it_is_listed(*, listed: bool) -> None:
    whole = gen.snapshot(
        missing={"sec_new1": gen.later(seconds=-60)}, listed=frozenset({"sec_new1"} if listed else ())
    )
    create = gen.create(whole)
    _, attempt = gone(whole, create, "sec_new1", deleted=False)
    assert (attempt.unresolved is create, attempt.ordinal) == ((True, 0) if listed else (False, 1))


# --- unconfirmed ------------------------------------------------------------------------------------


NOT_TOLD = (
    "Method refuses to list, show or delete secrets for this object (HTTP 400): compare the operator's log"
    " with Method's documentation of /secrets; it asks again at the next resync."
)


class Unasked(NamedTuple):
    """Why Method could not be asked about an id."""

    reason: str
    error: MethodError
    word: Reason
    message: str
    retry: Retry


@pytest.mark.parametrize(
    "row",
    [
        Unasked(
            "no answer", gen.error(MethodUnavailable, kind="timeout"),
            Reason.METHOD_UNAVAILABLE, UNAVAILABLE, "backoff",
        ),
        Unasked(
            "nothing was to be stored, so nothing is wrong with the value", http(MethodRejected, 400),
            Reason.REJECTED, NOT_TOLD, "resync",
        ),
        Unasked(
            "too many requests", http(MethodRateLimited, 429, retry_after=75.0),
            Reason.RATE_LIMITED, LIMITED, 75.0,
        ),
        Unasked(
            "the key was refused", http(MethodUnauthorized, 401),
            Reason.UNAUTHORIZED, unauthorized(401), UNAUTHORIZED_RETRY,
        ),
    ],
    ids=lambda row: row.reason,
)  # fmt: skip
def test_what_is_said_when_an_id_cannot_be_confirmed(row: Unasked) -> None:
    found = unconfirmed(gen.snapshot(gen.synced(), trusted=False), row.error)
    assert (found.reason, found.retry) == (row.word, row.retry)
    assert found.message == f"{row.message} {gen.SECRET_ID} stays in use."  # nobody knows with which value
    # An opinion about nothing but the state: no id, no source, so nothing is confirmed by it.
    assert (found.secret, found.source, found.base_id) == (None, None, gen.SECRET_ID)


def test_the_environment_to_check_a_key_against_is_the_accounts() -> None:
    # The status is not trusted here: it may name none, or whatever somebody wrote.
    forged = gen.synced(status={"environment": None})
    found = unconfirmed(gen.snapshot(forged, trusted=False), http(MethodUnauthorized, 401))
    assert "belongs to production." in found.message


def test_a_snapshot_of_an_outcome_is_not_changed() -> None:
    whole: Snapshot = gen.snapshot()
    create = gen.create(whole)
    failed(whole, create, http(MethodRejected, 400))
    gone(whole, create, "sec_new1", deleted=False)
    created(whole, create, gen.remote())
    assert whole == gen.snapshot()


def test_how_long_nothing_but_5xx_came() -> None:
    whole = gen.snapshot()
    create = gen.create(whole)
    failing = gen.error(MethodUnavailable, kind="http", status=502)
    silent = gen.error(MethodUnavailable, kind="timeout")
    attempt, runs = None, []
    for minute, error in enumerate([silent, failing, failing, silent, failing]):
        whole = replace(whole, now=gen.later(minutes=minute), attempt=attempt)
        _, attempt = failed(whole, create, error)
        assert (attempt.since, attempt.tried_at) == (gen.NOW, whole.now)
        runs.append(attempt.failing_since)
    first, second = gen.later(minutes=1), gen.later(minutes=4)
    assert runs == [None, first, first, None, second]


class Refused(NamedTuple):
    """A failure of another try, after a silence, and whether the next ordinal follows."""

    reason: str
    error: MethodError
    settles: bool


UNAUTHORIZED = gen.error(MethodUnauthorized, kind="http", status=401)
REFUSED = [
    Refused("the key is not looked up for one who may not ask", UNAUTHORIZED, settles=False),
    Refused(
        "nor is it said to have been",
        gen.error(MethodRejected, kind="http", status=422, idem_status="bypassed"),
        settles=False,
    ),
    Refused(
        "what is stored under the key is the answer to all tries",
        gen.error(MethodRejected, kind="http", status=422, idem_status="replayed"),
        settles=True,
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.reason)
def test_what_a_refusal_says_of_the_tries_before_it(row: Refused) -> None:
    whole = gen.snapshot()
    create = gen.create(whole)
    _, silence = failed(whole, create, gen.error(MethodUnavailable, kind="timeout"))
    found, attempt = failed(replace(whole, attempt=silence), create, row.error)
    assert found.reason in (Reason.UNAUTHORIZED, Reason.REJECTED), "a person must know all the same"
    if row.settles:
        assert attempt == gen.attempt(revision=create.revision, ordinal=1)
    else:
        assert attempt == replace(silence, failing_since=gen.NOW)
