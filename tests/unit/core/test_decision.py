"""What is decided, row by row: the world, the one action that it calls for, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from methodsecret_operator.core import decision, identity
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.decision import decide
from methodsecret_operator.core.resource import PendingCreate, Source
from methodsecret_operator.core.snapshot import (
    AccountReady,
    Action,
    Confirm,
    Create,
    Finding,
    Leave,
    Problem,
    Snapshot,
)
from tests.unit import gen
from tests.unit.gen import CANARY, SECRET_ID, SECRET_UID, SECRET_VERSION

ON_REQUEST = gen.raw_spec(rotation={"policy": "OnRequest"})
OTHER = gen.revision(value="former value")
FORMER_SOURCE = {"uid": SECRET_UID, "revision": OTHER, "resourceVersion": "8000"}
HELD = Source(uid=SECRET_UID, revision=gen.revision(), resource_version=SECRET_VERSION)
STAYS = f" {SECRET_ID} stays in use with the former value."
SYNCED = f"{SECRET_ID} at Method holds the value of Secret acme, key api-key."
WAITS = (
    f"Secret acme, key api-key, or spec.metadata has changed; {SECRET_ID} keeps the former value until a"
    " rotation is requested with the annotation methodfi.com/rotation-requested-at."
)
FROZEN = gen.remote(SECRET_ID, status="frozen")
NOT_ACTIVE = (
    f"Method created {SECRET_ID}, but does not call it active yet; the operator looks again by itself."
)


def said(reason: Reason, message: str, **changed: Any) -> Finding:  # noqa: ANN401 - Finding's fields
    """Return what is said of an object without an id; with `base_id`, of one that has one."""
    whole = Finding(reason=reason, message=message, generation=1, base_id=None)
    return replace(whole, **changed)


def synced(**changed: Any) -> Finding:  # noqa: ANN401 - Finding's fields
    return said(
        Reason.SYNCED,
        SYNCED,
        **({"base_id": SECRET_ID, "source": HELD, "environment": "production"} | changed),
    )


def a_create(
    *, ordinal: int = 0, environment: str = "production", metadata: dict[str, Any] | None = None
) -> Create:
    """Return the create of the ordinary object's value."""
    revision = gen.revision(metadata=metadata, environment=environment)
    return Create(
        revision=revision,
        ordinal=ordinal,
        idempotency_key=identity.idempotency_key(uid=gen.UID, revision=revision, ordinal=ordinal),
        value=SecretStr(CANARY),
        metadata={**(metadata or {}), **gen.marker(revision=revision)},
        source=replace_source(revision),
        environment=environment,
    )


def replace_source(revision: str) -> Source:
    return Source(uid=SECRET_UID, revision=revision, resource_version=SECRET_VERSION)


def changed_value(**status: Any) -> Any:  # noqa: ANN401 - a MethodSecret, for gen.snapshot
    """Return an object whose status holds the former value."""
    return gen.synced(status={"source": FORMER_SOURCE, **status})


class Row(NamedTuple):
    """One snapshot and what it calls for."""

    reason: str
    snapshot: Snapshot
    expected: Action


NO_SOURCE = Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND)
NO_ACCOUNT = Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY)
UNRESOLVED = replace(a_create(), value=SecretStr("the former value"), revision=OTHER)
UNKNOWN_OUTCOME = gen.attempt(revision=OTHER, ordinal=0, unresolved=UNRESOLVED)

AT_REST = [
    Row(
        "a deleted object is left to its deletion",
        gen.snapshot(gen.method_secret(deleted=True)),
        Leave(),
    ),
    Row(
        "even one whose last create is unresolved: no new POST for what is being deleted",
        gen.snapshot(gen.method_secret(deleted=True), attempt=UNKNOWN_OUTCOME),
        Leave(),
    ),
    Row(
        "paused means no writes and no POSTs",
        gen.snapshot(gen.method_secret(annotations={gen.PAUSED: "true"})),
        Leave(),
    ),
    Row(
        "only the word true pauses",
        gen.snapshot(gen.method_secret(annotations={gen.PAUSED: "false"})),
        a_create(),
    ),
    Row(
        "a paused object's state is not touched even where its Secret is gone",
        gen.snapshot(gen.synced(annotations={gen.PAUSED: "true"}), source=NO_SOURCE),
        Leave(),
    ),
]

WAITING = [
    Row(
        "without an account nothing can be asked",
        gen.snapshot(account=NO_ACCOUNT, source=NO_ACCOUNT),
        said(
            Reason.CREDENTIALS_NOT_FOUND,
            "The operator has no API key of its own: set API_KEY_FILE for it, or name a Secret in"
            " spec.account.",
        ),
    ),
    Row(
        "an unresolved create cannot be settled without an account either",
        gen.snapshot(account=NO_ACCOUNT, source=NO_ACCOUNT, attempt=UNKNOWN_OUTCOME),
        said(
            Reason.CREDENTIALS_NOT_FOUND,
            "The operator has no API key of its own: set API_KEY_FILE for it, or name a Secret in"
            " spec.account.",
        ),
    ),
    Row(
        "the account's Secret is called by its name",
        gen.snapshot(
            gen.method_secret(spec=gen.raw_spec(account=gen.own_account())),
            account=Problem(
                Reason.CREDENTIALS_NOT_FOUND, Sentence.CREDENTIALS_KEY_NOT_FOUND, retry="backoff"
            ),
        ),
        said(
            Reason.CREDENTIALS_NOT_FOUND,
            "Secret method has no usable API key under token: add it, or correct"
            " spec.account.apiKeySecretRef.key.",
            retry="backoff",
        ),
    ),
    Row(
        "without a value there is nothing to create",
        gen.snapshot(source=NO_SOURCE),
        said(
            Reason.SOURCE_NOT_FOUND,
            "Secret acme does not exist in this namespace: create it, or correct"
            " spec.valueFrom.secretKeyRef.name.",
        ),
    ),
    Row(
        "a former secret goes on working, and that is said; a pending create is not forgotten",
        gen.snapshot(
            gen.synced(status={"pending": {"revision": OTHER, "ordinal": 2}}),
            source=Problem(Reason.INVALID_SOURCE, Sentence.SOURCE_EMPTY),
        ),
        said(
            Reason.INVALID_SOURCE,
            "Key api-key of Secret acme is empty: Method stores only values that are not." + STAYS,
            base_id=SECRET_ID,
            pending=PendingCreate(revision=OTHER, ordinal=2),
        ),
    ),
    *(
        Row(
            f"{field} is the operator's own",
            gen.snapshot(gen.method_secret(spec=gen.raw_spec(metadata={field: "mine"}))),
            said(
                Reason.INVALID_SPEC,
                f"spec.metadata may not hold {field}: the operator keeps it for itself. Take another name.",
            ),
        )
        for field in identity.MARKER_KEYS
    ),
    Row(
        "a number that is not exact would have two revisions",
        gen.snapshot(gen.method_secret(spec=gen.raw_spec(metadata={"n": 2**60}))),
        said(
            Reason.INVALID_SPEC,
            "spec.metadata holds a number that JSON cannot carry exactly: write it as a string.",
        ),
    ),
]

HOLDING = [
    Row("the value is there: say so", gen.snapshot(gen.synced()), synced()),
    Row(
        "a Secret that was written again with the same value needs no new secret, only its version noted",
        gen.snapshot(gen.synced(), source=gen.source(version="9000", uid="another")),
        synced(source=Source(uid="another", revision=gen.revision(), resource_version="9000")),
    ),
    Row(
        "a reconcile token is echoed",
        gen.snapshot(gen.synced(annotations={gen.RECONCILE: "t1"})),
        synced(reconcile_token="t1"),
    ),
    Row(
        "a rotation that changes nothing is handled by saying so",
        gen.snapshot(gen.synced(annotations={gen.ROTATE: "r1"})),
        synced(rotation_token="r1"),
    ),
    Row(
        "not active yet: ask",
        gen.snapshot(gen.synced(status={"status": "processing"})),
        Confirm(SECRET_ID),
    ),
    Row(
        "active by now",
        gen.snapshot(
            gen.synced(status={"status": "processing"}), evidence={SECRET_ID: gen.remote(SECRET_ID)}
        ),
        synced(secret=gen.remote(SECRET_ID)),
    ),
    Row(
        "an unknown status is waiting, never a reason to create",
        gen.snapshot(
            gen.synced(status={"status": "processing"}),
            evidence={SECRET_ID: gen.remote(SECRET_ID, status="frozen")},
        ),
        said(Reason.PENDING, NOT_ACTIVE, base_id=SECRET_ID, retry="backoff", secret=FROZEN),
    ),
    Row(
        "our own id that Method does not show yet is waited for",
        gen.snapshot(gen.synced(status={"status": "processing"}), evidence={SECRET_ID: None}),
        said(Reason.PENDING, Sentence.MISSING.format(id=SECRET_ID), base_id=SECRET_ID, retry=60.0),
    ),
]

UNTRUSTED = [
    Row(
        "a status that somebody else wrote is not believed unasked",
        gen.snapshot(gen.synced(), trusted=False),
        Confirm(SECRET_ID),
    ),
    Row(
        "evidence about another id is none",
        gen.snapshot(gen.synced(), trusted=False, evidence={"sec_other": gen.remote("sec_other")}),
        Confirm(SECRET_ID),
    ),
    Row(
        "active with our marker: it is ours",
        gen.snapshot(gen.synced(), trusted=False, evidence={SECRET_ID: gen.remote(SECRET_ID)}),
        synced(secret=gen.remote(SECRET_ID)),
    ),
    Row(
        "ours, but not active: wait",
        gen.snapshot(
            gen.synced(), trusted=False, evidence={SECRET_ID: gen.remote(SECRET_ID, status="frozen")}
        ),
        said(Reason.PENDING, NOT_ACTIVE, base_id=SECRET_ID, retry="backoff", secret=FROZEN),
    ),
    Row(
        "another object's secret is not this one's, whatever its status says",
        gen.snapshot(
            gen.synced(),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=gen.marker(owner=f"{gen.CLUSTER}/a/b"))},
        ),
        a_create(),
    ),
    Row(
        "our secret, but with another value",
        gen.snapshot(
            gen.synced(),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=gen.marker(revision=OTHER))},
        ),
        a_create(),
    ),
    Row(
        "a secret without a marker is nobody's proof",
        gen.snapshot(gen.synced(), trusted=False, evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=None)}),
        a_create(),
    ),
    Row(
        "a forged id that Method does not have",
        gen.snapshot(gen.synced(), trusted=False, evidence={SECRET_ID: None}),
        a_create(),
    ),
]

THEIRS = gen.remote(SECRET_ID, metadata=gen.marker(owner=f"{gen.CLUSTER}/a/b"))
WAITING_SPEC: dict[str, Any] = {"spec": ON_REQUEST, "status": {"source": FORMER_SOURCE}}
ELSEWHERE = (
    f"{SECRET_ID} belongs to sandbox, and this object now asks for production: set it back, or request a"
    " rotation with the annotation methodfi.com/rotation-requested-at." + STAYS
)

UNTRUSTED_AND_CHANGED = [
    Row(
        "OnRequest: whether the id is ours is asked before anybody is made to wait",
        gen.snapshot(gen.synced(**WAITING_SPEC), trusted=False),
        Confirm(SECRET_ID),
    ),
    Row(
        "OnRequest: it is ours, with the former value: the change waits",
        gen.snapshot(
            gen.synced(**WAITING_SPEC),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=gen.marker(revision=OTHER))},
        ),
        said(Reason.SYNCED, WAITS, base_id=SECRET_ID, rotation_pending=WAITS),
    ),
    Row(
        "OnRequest: it is ours and holds the wanted value, whatever the status says",
        gen.snapshot(gen.synced(**WAITING_SPEC), trusted=False, evidence={SECRET_ID: gen.remote(SECRET_ID)}),
        synced(secret=gen.remote(SECRET_ID)),
    ),
    *(
        Row(
            f"OnRequest: {why}: nothing of this object's is there that could wait",
            gen.snapshot(gen.synced(**WAITING_SPEC), trusted=False, evidence={SECRET_ID: remote}),
            a_create(),
        )
        for why, remote in (
            ("another object's", THEIRS),
            ("there is no such id", None),
            ("deleted", gen.remote(SECRET_ID, status="deleted")),
            ("nobody's", gen.remote(SECRET_ID, metadata=None)),
        )
    ),
    Row(
        "OnRequest: not ours, and ours is in the inventory: asked about, and taken",
        gen.snapshot(
            gen.synced(**WAITING_SPEC), trusted=False, evidence={SECRET_ID: None}, marked=(gen.marked(),)
        ),
        Confirm("sec_marked1"),
    ),
    Row(
        "another environment in an untrusted status: look before believing it",
        gen.snapshot(gen.synced(status={"environment": "sandbox", "source": FORMER_SOURCE}), trusted=False),
        Confirm(SECRET_ID),
    ),
    Row(
        "the id is here after all: then the environment is the lie, and the changed value is stored",
        gen.snapshot(
            gen.synced(status={"environment": "sandbox", "source": FORMER_SOURCE}),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=gen.marker(revision=OTHER))},
        ),
        a_create(),
    ),
    Row(
        "it is not here, as it should be where the account has changed: a person must say which",
        gen.snapshot(
            gen.synced(status={"environment": "sandbox", "source": FORMER_SOURCE}),
            trusted=False,
            evidence={SECRET_ID: None},
        ),
        said(Reason.ACCOUNT_CHANGED, ELSEWHERE, base_id=SECRET_ID),
    ),
    Row(
        "a requested rotation needs no look at what it replaces",
        gen.snapshot(gen.synced(annotations={gen.ROTATE: "r1"}, **WAITING_SPEC), trusted=False),
        a_create(),
    ),
]

CHANGED = [
    Row("nothing stored yet: create", gen.snapshot(), a_create()),
    Row(
        "metadata goes along, and the marker beside it",
        gen.snapshot(gen.method_secret(spec=gen.raw_spec(metadata={"team": "payments"}))),
        a_create(metadata={"team": "payments"}),
    ),
    Row("a changed value is a new secret", gen.snapshot(changed_value()), a_create()),
    Row(
        "so is changed metadata",
        gen.snapshot(gen.synced(spec=gen.raw_spec(metadata={"team": "payments"}))),
        a_create(metadata={"team": "payments"}),
    ),
    Row(
        "an id of which nobody knows what it holds is replaced",
        gen.snapshot(gen.synced(status={"source": None})),
        a_create(),
    ),
    Row(
        "OnRequest: the change waits, and the former value is what is wanted",
        gen.snapshot(gen.synced(spec=ON_REQUEST, status={"source": FORMER_SOURCE})),
        said(Reason.SYNCED, WAITS, base_id=SECRET_ID, rotation_pending=WAITS),
    ),
    Row(
        "OnRequest: a token that was handled asks for nothing",
        gen.snapshot(
            gen.synced(
                spec=ON_REQUEST,
                annotations={gen.ROTATE: "r1"},
                status={"source": FORMER_SOURCE, "lastHandledRotationAt": "r1"},
            )
        ),
        said(Reason.SYNCED, WAITS, base_id=SECRET_ID, rotation_pending=WAITS, rotation_token="r1"),
    ),
    Row(
        "OnRequest: a new token lets the change through",
        gen.snapshot(
            gen.synced(
                spec=ON_REQUEST,
                annotations={gen.ROTATE: "r2"},
                status={"source": FORMER_SOURCE, "lastHandledRotationAt": "r1"},
            )
        ),
        a_create(),
    ),
    Row(
        "OnRequest: the first secret needs no request",
        gen.snapshot(gen.method_secret(spec=ON_REQUEST)),
        a_create(),
    ),
    Row(
        "another account than the id's: a person must say which",
        gen.snapshot(gen.synced(), account=AccountReady(environment="sandbox")),
        said(
            Reason.ACCOUNT_CHANGED,
            f"{SECRET_ID} belongs to production, and this object now asks for sandbox: set it back, or"
            " request a rotation with the annotation methodfi.com/rotation-requested-at." + STAYS,
            base_id=SECRET_ID,
        ),
    ),
    Row(
        "another account, and a rotation was requested: there it goes",
        gen.snapshot(gen.synced(annotations={gen.ROTATE: "r1"}), account=AccountReady(environment="sandbox")),
        a_create(environment="sandbox"),
    ),
    Row(
        "where no environment is known, none has changed",
        gen.snapshot(gen.synced(status={"environment": None}), account=AccountReady(environment="sandbox")),
        a_create(environment="sandbox"),
    ),
]

ORDINALS = [
    Row(
        "the count goes on where this process knows it",
        gen.snapshot(attempt=gen.attempt(revision=gen.revision(), ordinal=3)),
        a_create(ordinal=3),
    ),
    Row(
        "what the process knows is newer than what the status says",
        gen.snapshot(
            gen.method_secret(
                status={"observedGeneration": 1, "pending": {"revision": gen.revision(), "ordinal": 2}}
            ),
            attempt=gen.attempt(revision=gen.revision(), ordinal=5),
        ),
        a_create(ordinal=5),
    ),
    Row(
        "after a restart it goes on from the status",
        gen.snapshot(
            gen.method_secret(
                status={"observedGeneration": 1, "pending": {"revision": gen.revision(), "ordinal": 2}}
            )
        ),
        a_create(ordinal=2),
    ),
    Row(
        "another value counts from zero",
        gen.snapshot(
            gen.method_secret(status={"observedGeneration": 1, "pending": {"revision": OTHER, "ordinal": 2}}),
            attempt=gen.attempt(revision=OTHER, ordinal=4),
        ),
        a_create(),
    ),
]

FIRST_THINGS = [
    Row(
        "an unresolved create comes first, with its own key and body, though the value has changed",
        gen.snapshot(attempt=UNKNOWN_OUTCOME),
        UNRESOLVED,
    ),
    Row(
        "and though the value is gone",
        gen.snapshot(attempt=UNKNOWN_OUTCOME, source=NO_SOURCE),
        UNRESOLVED,
    ),
    Row(
        "and though the spec is wrong by now",
        gen.snapshot(gen.method_secret(spec=gen.raw_spec(metadata={"k8s_uid": 1})), attempt=UNKNOWN_OUTCOME),
        UNRESOLVED,
    ),
    Row(
        "and though the status is not trusted",
        gen.snapshot(gen.synced(), attempt=UNKNOWN_OUTCOME, trusted=False),
        UNRESOLVED,
    ),
]

TABLE = [*AT_REST, *WAITING, *HOLDING, *UNTRUSTED, *UNTRUSTED_AND_CHANGED, *CHANGED, *ORDINALS, *FIRST_THINGS]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_what_is_decided(row: Row) -> None:
    assert decide(row.snapshot) == row.expected


def test_an_unresolved_create_is_asked_again_as_it_was() -> None:
    # The very object: to rebuild it is to risk another byte under the same key.
    assert decide(gen.snapshot(attempt=UNKNOWN_OUTCOME, source=gen.source("newer"))) is UNRESOLVED


@pytest.mark.parametrize(("total", "fits"), [(999, True), (1000, True), (1001, False)])
@pytest.mark.parametrize("filler", ["x", "ä"])
def test_the_border_of_metadatas_size(total: int, fits: bool, filler: str) -> None:  # noqa: FBT001 - a table's column
    marker_only = identity.size(gen.create().metadata)
    room = total - marker_only - len('"note":"",')
    width = len(filler.encode())
    metadata = {"note": filler * (room // width) + "x" * (room % width)}
    action = decide(gen.snapshot(gen.method_secret(spec=gen.raw_spec(metadata=metadata))))
    if fits:
        assert identity.size(gen.as_create(action).metadata) == total
        return
    user = identity.size(metadata)
    assert action == said(
        Reason.METADATA_TOO_LARGE,
        f"spec.metadata takes {user} bytes and the operator's marker {total - user}; Method takes at most"
        " 1000 bytes of both: shorten spec.metadata.",
    )


# --- settled: nothing to do, found out without any call ----------------------------------------------

SETTLED: dict[str, Any] = {
    "source": (SECRET_UID, SECRET_VERSION),
    "environment": "production",
    "trusted": True,
}


class Unsettled(NamedTuple):
    """What of a synced object differs, so that it needs a look."""

    reason: str
    obj: Any
    changed: dict[str, Any] = {}  # noqa: RUF012 - never changed


UNSETTLED = [
    Unsettled("never looked at", gen.method_secret()),
    Unsettled("somebody else wrote its status", gen.synced(), {"trusted": False}),
    Unsettled("not ready", gen.synced(status={"conditions": [gen.raw_condition("Ready", "False")]})),
    Unsettled("no Ready at all", gen.synced(status={"conditions": []})),
    Unsettled(
        "a rotation waits",
        gen.synced(status={"conditions": [gen.raw_condition("Ready"), gen.raw_condition("RotationPending")]}),
    ),
    Unsettled("its spec has changed", gen.synced(generation=2)),
    Unsettled("not active", gen.synced(status={"status": "processing"})),
    Unsettled("another environment", gen.synced(), {"environment": "dev"}),
    Unsettled("a create is pending", gen.synced(status={"pending": {"revision": OTHER, "ordinal": 0}})),
    Unsettled("its value's origin is not known", gen.synced(status={"source": None})),
    Unsettled("its Secret is gone", gen.synced(), {"source": None}),
    Unsettled("its Secret is another", gen.synced(), {"source": ("another", SECRET_VERSION)}),
    Unsettled("its Secret has moved on", gen.synced(), {"source": (SECRET_UID, "8124")}),
    Unsettled("a look was asked for", gen.synced(annotations={gen.RECONCILE: "t"})),
    Unsettled("a rotation was asked for", gen.synced(annotations={gen.ROTATE: "t"})),
    Unsettled("a token was taken away", gen.synced(status={"lastHandledReconcileAt": "t"})),
]


def test_a_synced_object_is_settled() -> None:
    assert decision.settled(gen.synced(), **SETTLED)
    tokens = gen.synced(
        annotations={gen.RECONCILE: "a", gen.ROTATE: "b"},
        status={"lastHandledReconcileAt": "a", "lastHandledRotationAt": "b"},
    )
    assert decision.settled(tokens, **SETTLED)


@pytest.mark.parametrize("row", UNSETTLED, ids=lambda row: row.reason)
def test_an_object_is_not_settled(row: Unsettled) -> None:
    assert not decision.settled(row.obj, **(SETTLED | row.changed))
