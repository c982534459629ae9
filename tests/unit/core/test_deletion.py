"""What is deleted at Method and when an object may go, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.core import deletion, identity
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.decision import decide
from methodsecret_operator.core.findings import finding, report
from methodsecret_operator.core.resource import FINALIZER, SUPERSEDED_LIMIT, MethodSecret
from methodsecret_operator.core.snapshot import (
    AccountReady,
    Action,
    Confirm,
    Delete,
    Finding,
    Leave,
    ListAnew,
    Problem,
    Retry,
    SetFinalizer,
    Snapshot,
)
from methodsecret_operator.core.status import summarize
from tests.unit import gen
from tests.unit.gen import CLUSTER, SECRET_ID

DELETE = gen.raw_spec(deletionPolicy="Delete")
OTHER = gen.revision(value="former value")
IN_USE = {"uid": gen.SECRET_UID, "revision": OTHER, "resourceVersion": "8000"}
LOST = identity.DigestKey(b"a digest key that another cluster has")
LOST_KEY = gen.revision(key=LOST)
NO_ACCOUNT = Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY)
RELEASE = SetFinalizer(present=False)
LET_GO = SetFinalizer(present=False, undone=(SECRET_ID,))
GONE = gen.remote(SECRET_ID, status="deleted")
OURS = gen.remote(SECRET_ID)
UNRESOLVED = gen.create()
OPEN = gen.attempt(ordinal=0, unresolved=UNRESOLVED)
FAILING = replace(OPEN, failing_since=gen.later(minutes=-11), tried_at=gen.later(seconds=-10))

# The object's deletionTimestamp is 60.25 s before gen.NOW; the API key is refused for longer.
DELETED_AT = gen.NOW - timedelta(seconds=60.25)
REFUSED_SINCE = gen.NOW - timedelta(hours=1)
TIMED_OUT: dict[str, Any] = {"deletion_timeout": 60.25, "refused_since": REFUSED_SINCE}
NOT_YET: dict[str, Any] = {"deletion_timeout": 60.5, "refused_since": REFUSED_SINCE}


def old(number: int = 1, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return an entry of status.superseded: by default three and a half days old."""
    return {"id": f"sec_old{number}", "revision": OTHER, "supersededAt": gen.EARLIER, **changed}


def deleted(obj: MethodSecret | None = None, **world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return the world around an object that is being deleted; by default one with a secret, to go."""
    return gen.snapshot(obj or gone(), source=NO_ACCOUNT, **world)


def gone(*, spec: dict[str, Any] = DELETE, **status: Any) -> MethodSecret:  # noqa: ANN401 - any JSON
    return gen.synced(deleted=True, finalizers=("a/b", FINALIZER), spec=spec, status=status)


def going(**world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return the world around an object whose namespace is being deleted."""
    return deleted(**world, namespace_terminating=True)


class Row(NamedTuple):
    """One snapshot and what it calls for."""

    reason: str
    snapshot: Snapshot
    expected: Action


WHOLE = [
    Row("without our finalizer there is nothing to do", deleted(gen.synced(deleted=True)), Leave()),
    Row("the finalizer of others is theirs", deleted(gen.synced(deleted=True, finalizers=("a/b",))), Leave()),
    Row("Retain: let it go", deleted(gone(spec=gen.raw_spec())), RELEASE),
    Row("what its marker says is asked first", deleted(), Confirm(SECRET_ID)),
    Row("ours: deleted", deleted(evidence={SECRET_ID: OURS}), Delete(SECRET_ID)),
    Row(
        "not active yet: deleted all the same",
        deleted(evidence={SECRET_ID: replace(OURS, status="frozen")}),
        Delete(SECRET_ID),
    ),
    Row("deleted already", deleted(evidence={SECRET_ID: GONE}), RELEASE),
    Row("a 404 is success", deleted(evidence={SECRET_ID: None}), RELEASE),
    Row("nothing was ever created", deleted(gone(id=None)), RELEASE),
    Row(
        "paused does not stop it",
        deleted(
            gen.synced(deleted=True, finalizers=(FINALIZER,), spec=DELETE, annotations={gen.PAUSED: "true"})
        ),
        Confirm(SECRET_ID),
    ),
    Row(
        "former ones as well, each after the other",
        deleted(gone(superseded=[old(1), old(2)]), evidence={SECRET_ID: None, "sec_old1": GONE}),
        Confirm("sec_old2"),
    ),
    Row(
        "and what the inventory has of our uid, whoever named it",
        deleted(marked=(gen.marked(),), evidence={SECRET_ID: None}),
        Confirm("sec_marked1"),
    ),
    Row(
        "an object of another uid is another object",
        deleted(marked=(gen.marked(uid="another"),), evidence={SECRET_ID: None}),
        RELEASE,
    ),
    Row(
        "an id in all three is asked about once",
        deleted(
            gone(superseded=[old(id=SECRET_ID)]), marked=(gen.marked(SECRET_ID),), evidence={SECRET_ID: None}
        ),
        RELEASE,
    ),
]


def absent(
    since: float = 0.0,
    obj: MethodSecret | None = None,
    **world: Any,  # noqa: ANN401 - Snapshot's fields
) -> Snapshot:
    """Return a deletion whose id Method does not know, nor most others; `since` is seconds ago."""
    missing = {SECRET_ID: gen.NOW - timedelta(seconds=since)}
    evidence = {SECRET_ID: None} | world.pop("evidence", {})
    return deleted(obj, **({"account_changed": True, "missing": missing} | world), evidence=evidence)


def held(snapshot: Snapshot, *, retry: float) -> Finding:
    """Return what is said of an id that is looked for in the wrong account."""
    said = finding(snapshot, Reason.ACCOUNT_CHANGED, Sentence.IDS_MISSING_AT_DELETION, id=SECRET_ID)
    return replace(said, retry=retry)


def moved(since: float = 0.0, **world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return a deletion of what was stored in production, where the object asks for sandbox by now."""
    apart: dict[str, Any] = {"account_changed": False, "account": AccountReady(environment="sandbox")}
    return absent(since, **(apart | world))


ELSEWHERE = [
    Row("another account's 404 is not believed", absent(), held(absent(), retry=60.0)),
    Row(
        "nor for most of the time-out",
        absent(20.0, deletion_timeout=30.5),
        held(absent(), retry=10.5),
    ),
    Row(
        "until it is over, counted from the first 404: then the id that stays is told",
        absent(30.0, deletion_timeout=30.0),
        SetFinalizer(present=False, undone=(SECRET_ID,)),
    ),
    Row(
        "in a namespace that goes it is counted from the deletion",
        absent(0.0, deletion_timeout=60.25, namespace_terminating=True),
        SetFinalizer(present=False, undone=(SECRET_ID,)),
    ),
    Row(
        "this very account had it, so it was deleted there", absent(vanished=frozenset({SECRET_ID})), RELEASE
    ),
    Row("its end was found out before the account changed", absent(obj=gone(status="deleted")), RELEASE),
    Row(
        "a status that somebody has edited says nothing about that",
        absent(obj=gone(status="deleted"), trusted=False),
        held(absent(), retry=60.0),
    ),
    Row(
        "nor is another environment's, where the id was never looked for",
        moved(),
        replace(
            finding(
                moved(),
                Reason.ACCOUNT_CHANGED,
                Sentence.ENVIRONMENT_CHANGED_AT_DELETION,
                id=SECRET_ID,
                former="production",
                environment="sandbox",
            ),
            retry=60.0,
        ),
    ),
    Row(
        "until the time-out is over there as well: the id that stays is told",
        moved(30.0, deletion_timeout=30.0),
        SetFinalizer(present=False, undone=(SECRET_ID,)),
    ),
    Row(
        "what the environment of today does know is deleted there",
        moved(evidence={SECRET_ID: gen.remote(SECRET_ID)}),
        Delete(SECRET_ID),
    ),
    Row(
        "others are deleted meanwhile",
        absent(marked=(gen.marked(),), evidence={"sec_marked1": gen.remote("sec_marked1")}),
        Delete("sec_marked1"),
    ),
    Row(
        "and asked about",
        absent(obj=gone(superseded=[old(1)])),
        Confirm("sec_old1"),
    ),
]


LISTED = frozenset({SECRET_ID})


def contradicted(since: float = 0.0, **world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return a deletion whose id Method lists, but does not know when asked; `since` is seconds ago."""
    apart: dict[str, Any] = {"account_changed": False, "listed": LISTED}
    return absent(since, **(apart | world))


def awaited(retry: float) -> Finding:
    """Return what is said of an id that is listed and not known."""
    said = finding(contradicted(), Reason.PENDING, Sentence.LISTED_AT_DELETION, id=SECRET_ID)
    return replace(said, retry=retry)


CONTRADICTED = [
    Row("a 404 does not outweigh the list", contradicted(), awaited(60.0)),
    Row("nor for 59 s", contradicted(59.0), awaited(60.0)),
    Row(
        "after 60 s the account is listed again",
        contradicted(60.0, listed_at=gen.NOW - timedelta(minutes=1)),
        ListAnew(since=gen.NOW - timedelta(minutes=1)),
    ),
    Row("which shows it still", contradicted(60.0, listed_at=gen.NOW), awaited(60.0)),
    Row("or not: then it is gone", contradicted(60.0, listed=frozenset()), RELEASE),
    Row("where listing is refused the 404 stands alone", contradicted(listed=frozenset()), RELEASE),
    Row(
        "it does not hold the object for ever: the id that may stay is told",
        contradicted(60.0, listed_at=gen.NOW, deletion_timeout=60.0),
        SetFinalizer(present=False, undone=(SECRET_ID,)),
    ),
    Row(
        "nor a namespace that goes, counted from the deletion",
        contradicted(deletion_timeout=60.25, namespace_terminating=True),
        SetFinalizer(present=False, undone=(SECRET_ID,)),
    ),
    Row("others are deleted meanwhile", contradicted(obj=gone(superseded=[old(1)])), Confirm("sec_old1")),
    Row(
        "one that may be in another account is told first",
        contradicted(
            obj=gone(superseded=[old(1)]), evidence={"sec_old1": None}, account_changed=True,
            listed=frozenset({"sec_old1"}),
        ),
        held(absent(), retry=60.0),
    ),
]  # fmt: skip


def marked(**changed: str) -> Snapshot:
    """Return a deletion whose secret carries another marker than ours in something."""
    remote = gen.remote(SECRET_ID, metadata=gen.marker(**changed))
    return deleted(evidence={SECRET_ID: remote}, aliases=("old-name",))


OWNERSHIP = [
    Row(
        "nobody's: never ours to delete", deleted(evidence={SECRET_ID: replace(OURS, metadata=None)}), RELEASE
    ),
    Row(
        "another object's: a status edited by hand deletes nothing",
        marked(owner=f"{CLUSTER}/payments/other"),
        RELEASE,
    ),
    Row("another cluster's", marked(owner=f"other/{gen.NAMESPACE}/{gen.NAME}"), RELEASE),
    Row(
        "under a former name of this cluster",
        marked(owner=f"old-name/{gen.NAMESPACE}/{gen.NAME}"),
        Delete(SECRET_ID),
    ),
    Row("of a former object by this name, under our digest key", marked(uid="former"), Delete(SECRET_ID)),
    Row(
        "our name and neither our uid nor our key: another cluster goes by our name",
        marked(uid="x", revision=LOST_KEY),
        RELEASE,
    ),
    Row("our uid under a lost digest key: ours", marked(revision=LOST_KEY), Delete(SECRET_ID)),
    Row("our name with what is no revision at all", marked(uid="x", revision="what"), RELEASE),
    Row(
        "taken over by another object, and still under our mark: a status put back deletes nothing of it",
        deleted(evidence={SECRET_ID: OURS}, claimed=frozenset({SECRET_ID})),
        SetFinalizer(present=False, claimed=(SECRET_ID,)),
    ),
    Row(
        "our own are deleted beside it",
        deleted(gone(superseded=[old()]), evidence={SECRET_ID: OURS}, claimed=frozenset({"sec_old1"})),
        Delete(SECRET_ID),
    ),
    Row(
        "nor is it missing where it is not known",
        absent(claimed=frozenset({SECRET_ID})),
        SetFinalizer(present=False, claimed=(SECRET_ID,)),
    ),
]

UNSETTLED = [
    Row("what may have been created is found out first", deleted(attempt=OPEN), UNRESOLVED),
    Row(
        "found in the inventory, it is known",
        deleted(attempt=OPEN, marked=(gen.marked(),), evidence={SECRET_ID: None}),
        Confirm("sec_marked1"),
    ),
    Row("another's is not it", deleted(attempt=OPEN, marked=(gen.marked(uid="x"),)), UNRESOLVED),
    Row("another value is not it", deleted(attempt=OPEN, marked=(gen.marked(revision=OTHER),)), UNRESOLVED),
    Row(
        "nor one whose DELETE was ever sent: that is none of this create",
        deleted(
            gone(superseded=[old(id="sec_marked1", revision=gen.revision(), deleting=True)]),
            attempt=OPEN,
            marked=(gen.marked(),),
        ),
        UNRESOLVED,
    ),
    Row(
        "nor one that another object goes by",
        deleted(attempt=OPEN, marked=(gen.marked(),), claimed=frozenset({"sec_marked1"})),
        UNRESOLVED,
    ),
    Row(
        "nor one that was not active when it was listed",
        deleted(attempt=OPEN, marked=(gen.marked(status="frozen"),)),
        UNRESOLVED,
    ),
    Row(
        "nothing but failures for ten minutes, and a list from after the last: it was not made",
        deleted(attempt=FAILING, scanned_at=gen.NOW),
        Confirm(SECRET_ID),
    ),
    Row(
        "a list from before the last try might have missed it",
        deleted(attempt=FAILING, scanned_at=gen.later(seconds=-11)),
        UNRESOLVED,
    ),
    Row("a settled one asks for nothing", deleted(attempt=gen.attempt()), Confirm(SECRET_ID)),
]

NO_WAY = [
    Row(
        "without credentials it holds until the time-out",
        deleted(account=NO_ACCOUNT, **NOT_YET),
        Finding(
            reason=Reason.CREDENTIALS_NOT_FOUND,
            message=Sentence.NO_DEFAULT_KEY.format() + f" {SECRET_ID} stays in use with the former value.",
            generation=1,
            base_id=SECRET_ID,
            retry=1.0,
        ),
    ),
    Row(
        "from when they were first missing",
        deleted(account=NO_ACCOUNT, deletion_timeout=30.0),
        Finding(
            reason=Reason.CREDENTIALS_NOT_FOUND,
            message=Sentence.NO_DEFAULT_KEY.format() + f" {SECRET_ID} stays in use with the former value.",
            generation=1,
            base_id=SECRET_ID,
            retry=30.0,
        ),
    ),
    Row(
        "then it goes, and says what stays behind",
        deleted(
            gone(superseded=[old()]), account=NO_ACCOUNT, marked=(gen.marked(), gen.marked("sec_x", uid="x")),
            **TIMED_OUT,
        ),
        SetFinalizer(present=False, undone=(SECRET_ID, "sec_old1", "sec_marked1")),
    ),
    Row(
        "with Retain there is nothing to wait for",
        deleted(gone(spec=gen.raw_spec()), account=NO_ACCOUNT, **NOT_YET), RELEASE,
    ),
]  # fmt: skip


def barred(sentence: Sentence, reason: Reason = Reason.CREDENTIALS_NOT_FOUND, **world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return a deletion, long overdue, whose API key is not the operator's to use for now."""
    obj = gone(spec={**DELETE, "account": gen.own_account()})
    return deleted(obj, account=Problem(reason, sentence), **TIMED_OUT, **world)


def waits(snapshot: Snapshot) -> Finding:
    """Return what is said, once a minute, while somebody can still make the deletion possible."""
    assert isinstance(snapshot.account, Problem)
    return report(snapshot, snapshot.account.reason, snapshot.account.sentence, retry=60.0)


FORBIDDEN = barred(Sentence.CREDENTIALS_NOT_READABLE)
NOT_ALLOWED = barred(Sentence.NAMESPACE_NOT_ALLOWED, Reason.NAMESPACE_NOT_ALLOWED)
BARRED = [
    Row("a right that was taken away is not a key that is gone", FORBIDDEN, waits(FORBIDDEN)),
    Row("nor is a setting that bars the namespace", NOT_ALLOWED, waits(NOT_ALLOWED)),
    Row(
        "an account of another version's schema may be read again",
        barred(Sentence.ACCOUNT_NOT_READABLE),
        waits(barred(Sentence.ACCOUNT_NOT_READABLE)),
    ),
    Row(
        "but a namespace that goes must be able to go",
        barred(Sentence.CREDENTIALS_NOT_READABLE, namespace_terminating=True),
        LET_GO,
    ),
    Row(
        "whatever bars it",
        barred(Sentence.NAMESPACE_NOT_ALLOWED, Reason.NAMESPACE_NOT_ALLOWED, namespace_terminating=True),
        LET_GO,
    ),
]

UNREAD = [
    Row(
        "a policy that nobody here knows deletes nothing, and says what stays",
        deleted(
            gone(spec=gen.raw_spec(), superseded=[old()]).model_copy(
                update={"unread": ("spec.deletionPolicy",)}
            ),
            marked=(gen.marked(),),
        ),
        SetFinalizer(present=False, undone=(SECRET_ID, "sec_old1", "sec_marked1")),
    ),
    Row(
        "what else cannot be read is of no use to a deletion",
        deleted(gone().model_copy(update={"unread": ("spec.rotation",)})),
        Confirm(SECRET_ID),
    ),
]

TABLE = [*WHOLE, *ELSEWHERE, *CONTRADICTED, *OWNERSHIP, *UNSETTLED, *NO_WAY, *BARRED, *UNREAD]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_what_becomes_of_a_deleted_object(row: Row) -> None:
    assert decide(row.snapshot) == row.expected


# --- when Method does not let it be done ------------------------------------------------------------

SAID = Finding(reason=Reason.UNAUTHORIZED, message="No.", generation=1, base_id=SECRET_ID, retry=300.0)
DOWN = replace(SAID, reason=Reason.METHOD_UNAVAILABLE, retry="backoff")


class Refused(NamedTuple):
    """A failed call of a deletion, and whether the object is let go."""

    reason: str
    said: Finding
    snapshot: Snapshot
    expected: Finding | SetFinalizer


REFUSED = [
    Refused("refused, and time is left: soon again", SAID, deleted(**NOT_YET), replace(SAID, retry=1.0)),
    Refused("much time: not later than in a minute", SAID, deleted(), replace(SAID, retry=60.0)),
    Refused(
        "some time: when it is over",
        SAID, deleted(deletion_timeout=90.0, refused_since=REFUSED_SINCE), replace(SAID, retry=29.75),
    ),
    Refused("refused, and time is over", SAID, deleted(**TIMED_OUT), LET_GO),
    Refused(
        "one refusal after a long outage is not enough",
        SAID, deleted(deletion_timeout=30.0), replace(SAID, retry=30.0),
    ),
    Refused(
        "nor is a second one soon after it",
        SAID,
        deleted(deletion_timeout=30.0, refused_since=gen.NOW - timedelta(seconds=20)),
        replace(SAID, retry=10.0),
    ),
    Refused(
        "but for as long as the time-out they are",
        SAID, deleted(deletion_timeout=30.0, refused_since=gen.NOW - timedelta(seconds=30)), LET_GO,
    ),
    Refused(
        "a namespace that goes waits for no second one",
        SAID, deleted(deletion_timeout=30.0, namespace_terminating=True), LET_GO,
    ),
    Refused("an outage never turns Delete into Retain", DOWN, deleted(**TIMED_OUT), DOWN),
    Refused(
        "but a namespace that goes must be able to go",
        DOWN, deleted(**TIMED_OUT, namespace_terminating=True), LET_GO,
    ),
    Refused(
        "in its time, and then at once",
        DOWN, deleted(**NOT_YET, namespace_terminating=True), replace(DOWN, retry=1.0),
    ),
    Refused(
        "until then with pauses that grow: of as long again as it has lasted",
        DOWN, deleted(namespace_terminating=True), replace(DOWN, retry=60.25),
    ),
    Refused(
        "of a second at least",
        DOWN, deleted(now=DELETED_AT, namespace_terminating=True), replace(DOWN, retry=1.0),
    ),
    Refused(
        "a pause that Method asks for ends there as well",
        replace(DOWN, retry=3600.0), deleted(namespace_terminating=True), replace(DOWN, retry=239.75),
    ),
    Refused(
        "or before",
        replace(DOWN, retry=90.0), deleted(namespace_terminating=True), replace(DOWN, retry=90.0),
    ),
    Refused(
        "what no retry mends is looked at then",
        replace(DOWN, retry="resync"), deleted(namespace_terminating=True), replace(DOWN, retry=239.75),
    ),
    Refused("elsewhere it waits for as long as it has to", replace(DOWN, retry=3600.0), deleted(),
        replace(DOWN, retry=3600.0),
    ),
    Refused(
        "what was deleted in this look does not stay",
        DOWN,
        deleted(
            gone(superseded=[old(1), old(2)]),
            evidence={SECRET_ID: GONE, "sec_old1": None}, **TIMED_OUT, namespace_terminating=True,
        ),
        SetFinalizer(present=False, undone=("sec_old1", "sec_old2")),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.reason)
def test_letting_go(row: Refused) -> None:
    assert deletion.given_up(row.snapshot, row.said) == row.expected


class HeldUp(NamedTuple):
    """A call that waits for our own budget, and what becomes of the object: nothing is said of it."""

    reason: str
    snapshot: Snapshot
    retry: Retry
    expected: Leave | SetFinalizer
    blocked: bool = True


HELD_UP = [
    HeldUp("the end of the block is waited for", gen.snapshot(gen.synced()), 3600.0, Leave(retry=3600.0)),
    HeldUp("its turn wakes it", gen.snapshot(gen.synced()), "resync", Leave()),
    HeldUp("our own pause never turns Delete into Retain", deleted(**TIMED_OUT), 3600.0, Leave(retry=3600.0)),
    HeldUp("nor does a turn that has not come", deleted(**TIMED_OUT), "resync", Leave()),
    HeldUp("a namespace that goes must be able to go", going(**TIMED_OUT), 3600.0, LET_GO),
    HeldUp("whatever it waits for", going(**TIMED_OUT), "resync", LET_GO),
    HeldUp("in its time", going(), 3600.0, Leave(retry=239.75)),
    HeldUp("in which a block may end", going(), 30.0, Leave(retry=30.0)),
    HeldUp("or a turn come", going(), "resync", Leave(retry=239.75)),
    HeldUp(
        "a block may still come before the turn does", going(), "resync", Leave(retry=239.75), blocked=False
    ),
    HeldUp(
        "within Method's limit it goes on, and is no failure",
        going(**TIMED_OUT), "resync", Leave(retry=60.0), blocked=False,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", HELD_UP, ids=lambda row: row.reason)
def test_waiting_for_our_own_budget(row: HeldUp) -> None:
    assert deletion.held_up(row.snapshot, retry=row.retry, blocked=row.blocked) == row.expected


def test_an_object_that_is_not_being_deleted_is_never_let_go() -> None:
    assert deletion.given_up(gen.snapshot(gen.synced(), deletion_timeout=0.0), SAID) == replace(
        SAID, retry=1.0
    )


# --- former secrets ---------------------------------------------------------------------------------


def expiring(*entries: dict[str, Any], after: str | None = "1h", **world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return a synced object with former secrets that go after a time."""
    rotation = {} if after is None else {"deleteSupersededAfter": after}
    return gen.snapshot(
        gen.synced(spec=gen.raw_spec(rotation=rotation), status={"superseded": list(entries)}), **world
    )


def waiting(*entries: dict[str, Any], **world: Any) -> Snapshot:  # noqa: ANN401 - Snapshot's fields
    """Return the same where a new value waits to be asked for: Ready with RotationPending."""
    rotation = {"policy": "OnRequest", "deleteSupersededAfter": "1h"}
    status = {"source": IN_USE, "superseded": list(entries)}
    return gen.snapshot(gen.synced(spec=gen.raw_spec(rotation=rotation), status=status), **world)


def at(**ago: float) -> str:
    return (gen.NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Former(NamedTuple):
    """Former secrets, and what of them: an action, or (the ids that stay, those marked, seconds to wait)."""

    reason: str
    snapshot: Snapshot
    expected: Action | tuple[list[str] | None, list[str], float | str]


DELETING = old(deleting=True)
THEIRS = gen.remote("sec_old1", metadata=gen.marker(owner="a/b/c"))
OLD_ONE = gen.remote("sec_old1")
FORMER = [
    Former("no time is set: kept", expiring(old(), after=None), (None, [], "resync")),
    Former("none is there", expiring(), (None, [], "resync")),
    Former(
        "not due yet: looked at when it is",
        expiring(old(supersededAt=at(minutes=59))),
        (["sec_old1"], [], 60.0),
    ),
    Former(
        "due to the moment: marked before anything is sent",
        expiring(old(supersededAt=at(hours=1))),
        (["sec_old1"], ["sec_old1"], 0.0),
    ),
    Former(
        "only what is due",
        expiring(old(1), old(2, supersededAt=at(minutes=1))),
        (["sec_old1", "sec_old2"], ["sec_old1"], 0.0),
    ),
    Former(
        "the first to come is waited for",
        expiring(old(1, supersededAt=at(minutes=10)), old(2, supersededAt=at(minutes=40))),
        (["sec_old1", "sec_old2"], [], 1200.0),
    ),
    Former(
        "a time that no calendar has: somebody has edited the status, and it is never due",
        expiring(old(1, supersededAt="9999-12-31T23:59:59Z"), old(2, supersededAt=at(minutes=59))),
        (["sec_old1", "sec_old2"], [], 60.0),
    ),
    Former(
        "a change that waits to be asked for does not keep the former ones longer",
        waiting(old(supersededAt=at(hours=1))),
        (["sec_old1"], ["sec_old1"], 0.0),
    ),
    Former("nor from their end", waiting(DELETING), Confirm("sec_old1")),
    Former("marked: its marker is looked at", expiring(DELETING), Confirm("sec_old1")),
    Former(
        "ours: deleted", expiring(DELETING, evidence={"sec_old1": gen.remote("sec_old1")}), Delete("sec_old1")
    ),
    Former("gone: no longer named", expiring(DELETING, evidence={"sec_old1": None}), ([], [], "resync")),
    Former("deleted: no longer named", expiring(DELETING, evidence={"sec_old1": GONE}), ([], [], "resync")),
    Former(
        "somebody else's: no longer named, and left alone",
        expiring(DELETING, evidence={"sec_old1": THEIRS}),
        ([], [], "resync"),
    ),
    Former(
        "taken over by another object: no longer named, and left alone",
        expiring(DELETING, evidence={"sec_old1": gen.remote("sec_old1")}, claimed=frozenset({"sec_old1"})),
        ([], [], "resync"),
    ),
    Former(
        "the one in use, put there by hand: no longer named, and left alone",
        expiring(old(id=SECRET_ID, deleting=True), evidence={SECRET_ID: OURS}),
        ([], [], "resync"),
    ),
    Former(
        "nor is it ever due",
        expiring(old(id=SECRET_ID), old(2, supersededAt=at(minutes=59))),
        (["sec_old2"], [], 60.0),
    ),
    Former(
        "not known to what may be another account: still named, and not asked for in haste",
        expiring(DELETING, evidence={"sec_old1": None}, account_changed=True),
        (["sec_old1"], ["sec_old1"], "resync"),
    ),
    Former(
        "Method refuses to delete it: still named, and tried again at the next resync",
        expiring(DELETING, evidence={"sec_old1": OLD_ONE}, undeletable=frozenset({"sec_old1"})),
        (["sec_old1"], ["sec_old1"], "resync"),
    ),
    Former(
        "and the others go",
        expiring(
            DELETING,
            old(2, deleting=True),
            evidence={"sec_old1": OLD_ONE, "sec_old2": gen.remote("sec_old2")},
            undeletable=frozenset({"sec_old1"}),
        ),
        Delete("sec_old2"),
    ),
    Former(
        "the others go on meanwhile",
        expiring(
            DELETING,
            old(2, supersededAt=at(minutes=59)),
            evidence={"sec_old1": None},
            account_changed=True,
        ),
        (["sec_old1", "sec_old2"], ["sec_old1"], 60.0),
    ),
    Former(
        "not known and listed: still named, and asked for again",
        expiring(DELETING, evidence={"sec_old1": None}, listed=frozenset({"sec_old1"})),
        (["sec_old1"], ["sec_old1"], 60.0),
    ),
    Former(
        "or sooner, where another is due",
        expiring(
            DELETING,
            old(2, supersededAt=at(minutes=59, seconds=30)),
            evidence={"sec_old1": None},
            listed=frozenset({"sec_old1"}),
        ),
        (["sec_old1", "sec_old2"], ["sec_old1"], 30.0),
    ),
    Former(
        "for 60 s: the account is listed again",
        expiring(
            DELETING,
            evidence={"sec_old1": None},
            listed=frozenset({"sec_old1"}),
            missing={"sec_old1": gen.NOW - timedelta(minutes=1)},
        ),
        ListAnew(since=gen.NOW - timedelta(minutes=1)),
    ),
    Former(
        "gone, and the next is due",
        expiring(DELETING, old(2), evidence={"sec_old1": None}),
        (["sec_old2"], ["sec_old2"], 0.0),
    ),
]


@pytest.mark.parametrize("row", FORMER, ids=lambda row: row.reason)
def test_what_becomes_of_former_secrets(row: Former) -> None:
    action = decide(row.snapshot)
    if not isinstance(row.expected, tuple):
        assert action == row.expected
        return
    ids, marked_ids, retry = row.expected
    assert isinstance(action, Finding)
    assert action.reason is Reason.SYNCED
    named = None if action.superseded is None else [entry.id for entry in action.superseded]
    assert (named, action.retry) == (ids, retry)
    assert [entry.id for entry in action.superseded or () if entry.deleting] == marked_ids


def test_none_goes_while_the_current_one_is_in_doubt() -> None:
    world = expiring(old(), doubted=True, evidence={SECRET_ID: None})
    action = decide(world)
    assert isinstance(action, Finding)
    assert (action.reason, action.superseded) == (Reason.PENDING, None)


# --- secrets that no status names -------------------------------------------------------------------

STRAY = gen.marked(revision=OTHER)
SECOND = gen.marked()


class Stray(NamedTuple):
    """What the inventory has beside the status, and what becomes of it."""

    reason: str
    snapshot: Snapshot
    expected: Action | list[str] | None


def strays(*entries: Any, **world: Any) -> Snapshot:  # noqa: ANN401 - MarkedSecrets; Snapshot's fields
    status = world.pop("status", {})
    return gen.snapshot(gen.synced(status=status), marked=entries, **world)


STRAYS = [
    Stray("the one that the status names is none", strays(gen.marked(SECRET_ID)), None),
    Stray(
        "a former one that it names is none",
        strays(STRAY, status={"superseded": [old(id="sec_marked1")]}),
        None,
    ),
    Stray("another uid's is a former object's, and stays", strays(gen.marked(uid="x")), None),
    Stray("one that is not active does no harm", strays(gen.marked(status="frozen")), None),
    Stray(
        "a second one of this value can be known to nobody: looked at",
        strays(gen.marked(SECRET_ID), SECOND),
        Confirm("sec_marked1"),
    ),
    Stray(
        "and deleted",
        strays(gen.marked(SECRET_ID), SECOND, evidence={"sec_marked1": gen.remote("sec_marked1")}),
        Delete("sec_marked1"),
    ),
    Stray(
        "the status names one that is not ours: then this may be the true one, and stays",
        strays(SECOND),
        None,
    ),
    Stray(
        "nor where Method refuses to delete it: it is named nowhere, so the next resync finds it again",
        strays(
            gen.marked(SECRET_ID),
            SECOND,
            evidence={"sec_marked1": gen.remote("sec_marked1")},
            undeletable=frozenset({"sec_marked1"}),
        ),
        None,
    ),
    Stray(
        "beside a change that waits to be asked for as well: a second one of the value in use",
        waiting(marked=(gen.marked(SECRET_ID, revision=OTHER), STRAY)),
        Confirm("sec_marked1"),
    ),
    Stray("gone meanwhile", strays(SECOND, evidence={"sec_marked1": None}), None),
    Stray("one of another value may be in use: it joins the former ones", strays(STRAY), ["sec_marked1"]),
    Stray(
        "after those that are there",
        strays(STRAY, status={"superseded": [old()]}),
        ["sec_old1", "sec_marked1"],
    ),
    Stray(
        "where there is no room they wait: to push out others would be to write for ever",
        strays(STRAY, status={"superseded": [old(number) for number in range(SUPERSEDED_LIMIT)]}),
        None,
    ),
]


@pytest.mark.parametrize("row", STRAYS, ids=lambda row: row.reason)
def test_what_no_status_names(row: Stray) -> None:
    action = decide(row.snapshot)
    if isinstance(row.expected, Confirm | Delete):
        assert action == row.expected
        return
    assert isinstance(action, Finding)
    assert action.reason is Reason.SYNCED
    if row.expected is None:
        assert action.superseded is None
        return
    assert action.superseded is not None
    assert [entry.id for entry in action.superseded] == row.expected
    joined = action.superseded[-1]
    assert (joined.revision, joined.superseded_at, action.retry) == (
        OTHER,
        gen.NOW.replace(microsecond=0),
        0.0,
    )


@pytest.mark.parametrize(
    ("reason", "stray"),
    [
        ("a status put back to a copy of before a rotation does not name what that made", STRAY),
        ("of the same value: the adopted one's value is unknown, so neither is a second one", SECOND),
    ],
)
def test_beside_an_adopted_one_all_of_ours_join_the_former_ones(reason: str, stray: Any) -> None:  # noqa: ANN401 - a MarkedSecret
    held = {"uid": gen.SECRET_UID, "revision": gen.revision(), "resourceVersion": gen.SECRET_VERSION}
    adopted = {"source": None, "adopted": {**held, "id": SECRET_ID}}
    action = decide(gen.snapshot(gen.synced(status=adopted), marked=(stray,)))
    assert isinstance(action, Finding), reason
    assert (action.reason, action.retry) == (Reason.ADOPTED, 0.0)
    assert [entry.id for entry in action.superseded or ()] == ["sec_marked1"]
    assert summarize(gen.synced(status=adopted), action, now=gen.NOW).adopted is not None
