"""The later life of an object, row by row: linking, settling late, drift, a lost digest key, finalizers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from methodsecret_operator.core import decision, identity
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.decision import decide
from methodsecret_operator.core.remote import DELETED, RemoteSecret
from methodsecret_operator.core.resource import FINALIZER, Adopted, MethodSecret, Source
from methodsecret_operator.core.snapshot import (
    MISSING_FOR,
    AccountReady,
    Action,
    Adoption,
    Confirm,
    Create,
    Delete,
    Examine,
    Finding,
    Leave,
    ListAnew,
    Problem,
    SetFinalizer,
    Snapshot,
)
from methodsecret_operator.core.status import summarize
from tests.unit import gen
from tests.unit.gen import CLUSTER, NAME, NAMESPACE, NOW, SECRET_ID, SECRET_UID, SECRET_VERSION, UID

ON_REQUEST = gen.raw_spec(rotation={"policy": "OnRequest"})
DELETE = gen.raw_spec(deletionPolicy="Delete")
LISTED: dict[str, Any] = {"listed": frozenset({SECRET_ID})}
ROTATED = {"annotations": {gen.ROTATE: "r1"}}
OTHER = gen.revision(value="former value")
LOST_KEY = gen.revision(key=identity.DigestKey(b"the digest key that was lost, say"))
FORMER_SOURCE = {"uid": SECRET_UID, "revision": OTHER, "resourceVersion": "8000"}
OLD_KEY_SOURCE = {"uid": SECRET_UID, "revision": LOST_KEY, "resourceVersion": SECRET_VERSION}
HELD = Source(uid=SECRET_UID, revision=gen.revision(), resource_version=SECRET_VERSION)
LONG_AGO = gen.later(seconds=-60)
JUST_NOW = gen.later(seconds=-59)
TEN = timedelta(minutes=10)
CREATE = gen.create()


class Row(NamedTuple):
    """One snapshot and what it calls for: an action, or of a finding its reason, sentence and secret."""

    reason: str
    snapshot: Snapshot
    expected: Action | tuple[Reason, Sentence, str | None]


def former(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return an entry of status.superseded that holds the ordinary value."""
    return {"id": "sec_old1", "revision": gen.revision(), "supersededAt": gen.EARLIER, **changed}


def changed(**status: Any) -> MethodSecret:  # noqa: ANN401 - any JSON
    """Return an object whose status holds the former value: the ordinary one is new to it."""
    return gen.synced(status={"source": FORMER_SOURCE, **status})


def changed_on_request() -> MethodSecret:
    """Return one whose new value waits to be asked for."""
    return gen.synced(spec=ON_REQUEST, status={"source": FORMER_SOURCE})


def alias() -> RemoteSecret:
    owner = identity.owner(cluster="old-name", namespace=NAMESPACE, name=NAME)
    return gen.remote("sec_marked1", metadata=gen.marker(owner=owner))


LINKING = [
    Row(
        "one of ours with this value: asked about",
        gen.snapshot(marked=(gen.marked(),)),
        Confirm("sec_marked1"),
    ),
    Row(
        "active: taken, no second one is made",
        gen.snapshot(marked=(gen.marked(),), evidence={"sec_marked1": gen.remote("sec_marked1")}),
        (Reason.SYNCED, Sentence.SYNCED, "sec_marked1"),
    ),
    Row(
        "under a former name of the cluster as well",
        gen.snapshot(marked=(gen.marked(),), evidence={"sec_marked1": alias()}, aliases=("old-name",)),
        (Reason.SYNCED, Sentence.SYNCED, "sec_marked1"),
    ),
    Row(
        "one that another object goes by since it was adopted away is that object's",
        gen.snapshot(
            marked=(gen.marked(),),
            claimed=frozenset({"sec_marked1"}),
            evidence={"sec_marked1": gen.remote("sec_marked1")},
        ),
        CREATE,
    ),
    Row(
        "one that another object is about to adopt is neither taken nor made a second time: it is waited for",
        gen.snapshot(gen.method_secret(), marked=(gen.marked(),), contended=frozenset({"sec_marked1"})),
        (Reason.PENDING, Sentence.CONTENDED, None),
    ),
    Row(
        "another of this value that is free is taken",
        gen.snapshot(
            marked=(gen.marked(), gen.marked("sec_marked2")),
            contended=frozenset({"sec_marked1"}),
            evidence={"sec_marked2": gen.remote("sec_marked2")},
        ),
        (Reason.SYNCED, Sentence.SYNCED, "sec_marked2"),
    ),
    Row(
        "neither as a former one that the status names",
        gen.snapshot(
            changed(superseded=[former()]),
            claimed=frozenset({"sec_old1"}),
            evidence={"sec_old1": gen.remote("sec_old1")},
        ),
        CREATE,
    ),
    Row(
        "nor as the one in a status that was put back",
        gen.snapshot(
            gen.synced(),
            trusted=False,
            claimed=frozenset({SECRET_ID}),
            evidence={SECRET_ID: gen.remote(SECRET_ID)},
        ),
        CREATE,
    ),
    Row(
        "nor where that would make it wait for a person",
        gen.snapshot(
            changed_on_request(),
            trusted=False,
            claimed=frozenset({SECRET_ID}),
            evidence={SECRET_ID: gen.remote(SECRET_ID)},
        ),
        CREATE,
    ),
    Row(
        "a name that is not ours any more is not",
        gen.snapshot(marked=(gen.marked(),), evidence={"sec_marked1": alias()}),
        CREATE,
    ),
    Row(
        "gone for so long that it is believed",
        gen.snapshot(
            marked=(gen.marked(),),
            evidence={"sec_marked1": None},
            missing={"sec_marked1": gen.NOW - MISSING_FOR},
        ),
        CREATE,
    ),
    Row(
        "unless the list shows it still: then that is read again first",
        gen.snapshot(
            marked=(gen.marked(),),
            evidence={"sec_marked1": None},
            missing={"sec_marked1": gen.NOW - MISSING_FOR},
            listed=frozenset({"sec_marked1"}),
        ),
        ListAnew(since=gen.NOW - MISSING_FOR),
    ),
    Row(
        "deleted by now",
        gen.snapshot(
            marked=(gen.marked(),), evidence={"sec_marked1": gen.remote("sec_marked1", status="deleted")}
        ),
        CREATE,
    ),
    Row(
        "its marker says another value by now",
        gen.snapshot(
            marked=(gen.marked(),),
            evidence={"sec_marked1": gen.remote("sec_marked1", metadata=gen.marker(revision=OTHER))},
        ),
        CREATE,
    ),
    Row("listed with another value", gen.snapshot(marked=(gen.marked(revision=OTHER),)), CREATE),
    Row("listed as deleted", gen.snapshot(marked=(gen.marked(status=DELETED),)), CREATE),
    Row(
        "listed with a status that nobody knows: asked about, whichever uid it was made for",
        gen.snapshot(marked=(gen.marked(status="frozen", uid="before"),)),
        Confirm("sec_marked1"),
    ),
    Row(
        "named and waited for: it may be active again, and then there were two",
        gen.snapshot(
            gen.method_secret(),
            marked=(gen.marked(status="frozen"),),
            evidence={"sec_marked1": gen.remote("sec_marked1", status="frozen")},
        ),
        (Reason.PENDING, Sentence.KNOWN_NOT_ACTIVE, "sec_marked1"),
    ),
    Row(
        "just waited for where an id is in use, which goes on working",
        gen.snapshot(
            changed(),
            marked=(gen.marked(status="frozen"),),
            evidence={"sec_marked1": gen.remote("sec_marked1", status="frozen")},
        ),
        (Reason.PENDING, Sentence.KNOWN_NOT_ACTIVE, None),
    ),
    Row(
        "also where the list has not heard of that status",
        gen.snapshot(
            gen.method_secret(),
            marked=(gen.marked(),),
            evidence={"sec_marked1": gen.remote("sec_marked1", status="frozen")},
        ),
        (Reason.PENDING, Sentence.KNOWN_NOT_ACTIVE, "sec_marked1"),
    ),
    Row(
        "another of this value that is active is taken meanwhile",
        gen.snapshot(
            marked=(gen.marked(status="frozen"), gen.marked("sec_marked2")),
            evidence={
                "sec_marked1": gen.remote("sec_marked1", status="frozen"),
                "sec_marked2": gen.remote("sec_marked2"),
            },
        ),
        (Reason.SYNCED, Sentence.SYNCED, "sec_marked2"),
    ),
    Row(
        "not waited for: its marker says another value by now",
        gen.snapshot(
            marked=(gen.marked(status="frozen"),),
            evidence={
                "sec_marked1": gen.remote("sec_marked1", status="frozen", metadata=gen.marker(revision=OTHER))
            },
        ),
        CREATE,
    ),
    Row(
        "the first that can be taken is taken",
        gen.snapshot(
            marked=(gen.marked(), gen.marked("sec_marked2")),
            evidence={"sec_marked1": None, "sec_marked2": gen.remote("sec_marked2")},
        ),
        (Reason.SYNCED, Sentence.SYNCED, "sec_marked2"),
    ),
    Row(
        "rolled back where listing is refused: the status remembers what the former one held",
        gen.snapshot(changed(superseded=[former()])),
        Confirm("sec_old1"),
    ),
    Row(
        "and it is taken back",
        gen.snapshot(changed(superseded=[former()]), evidence={"sec_old1": gen.remote("sec_old1")}),
        (Reason.SYNCED, Sentence.SYNCED, "sec_old1"),
    ),
    Row(
        "one whose DELETE was ever sent is never used again, by the status: is it still there?",
        gen.snapshot(changed(superseded=[former(deleting=True)])),
        Confirm("sec_old1"),
    ),
    Row(
        "nor by the inventory",
        gen.snapshot(changed(superseded=[former(deleting=True)]), marked=(gen.marked("sec_old1"),)),
        Confirm("sec_old1"),
    ),
    Row(
        "where it is, it goes before another of its revision is made",
        gen.snapshot(
            changed(superseded=[former(deleting=True)]), evidence={"sec_old1": gen.remote("sec_old1")}
        ),
        Delete("sec_old1"),
    ),
    Row(
        "where it is gone, another is made",
        gen.snapshot(
            changed(superseded=[former(deleting=True)]),
            evidence={"sec_old1": gen.remote("sec_old1", status=DELETED)},
        ),
        CREATE,
    ),
    Row(
        "nor does one that Method lists count as gone because it is not known when asked: it lists again",
        gen.snapshot(
            changed(superseded=[former(deleting=True)]),
            evidence={"sec_old1": None},
            missing={"sec_old1": gen.NOW - MISSING_FOR},
            listed=frozenset({"sec_old1"}),
        ),
        ListAnew(since=gen.NOW - MISSING_FOR),
    ),
    Row(
        "where no list shows it, another is made",
        gen.snapshot(changed(superseded=[former(deleting=True)]), evidence={"sec_old1": None}),
        CREATE,
    ),
    Row(
        "one that another object goes by is that object's, whatever its list says",
        gen.snapshot(
            changed(superseded=[former(deleting=True)]),
            evidence={"sec_old1": None},
            listed=frozenset({"sec_old1"}),
            claimed=frozenset({"sec_old1"}),
        ),
        CREATE,
    ),
    Row(
        "and where Method refuses to delete it",
        gen.snapshot(
            changed(superseded=[former(deleting=True)]),
            evidence={"sec_old1": gen.remote("sec_old1")},
            undeletable=frozenset({"sec_old1"}),
        ),
        CREATE,
    ),
    Row(
        "one of another revision is in nobody's way",
        gen.snapshot(changed(superseded=[former(deleting=True, revision="1:aaaaaaaa:bb")])),
        CREATE,
    ),
    Row(
        "one in both is asked about once",
        gen.snapshot(
            changed(superseded=[former()]),
            marked=(gen.marked("sec_old1"),),
            evidence={"sec_old1": None},
            missing={"sec_old1": gen.NOW - MISSING_FOR},
        ),
        CREATE,
    ),
    Row(
        "a former one with another value", gen.snapshot(changed(superseded=[former(revision=OTHER)])), CREATE
    ),
]


def held_by_a_lost_key(**kept: Any) -> MethodSecret:  # noqa: ANN401 - as in gen.raw_object
    return gen.synced(status={"source": OLD_KEY_SOURCE}, **kept)


LOST_DIGEST_KEY = [
    Row(
        "the very same version of the very same Secret is proof as well, and the revision is told anew",
        gen.snapshot(held_by_a_lost_key()),
        (Reason.SYNCED, Sentence.SYNCED, None),
    ),
    Row(
        "another version is none: whether the value is another, nobody can tell",
        gen.snapshot(held_by_a_lost_key(), source=gen.source(version="9000")),
        (Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST, None),
    ),
    Row(
        "another Secret of that version is none",
        gen.snapshot(held_by_a_lost_key(), source=gen.source(uid="another")),
        (Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST, None),
    ),
    Row(
        "a spec that has changed since is none",
        gen.snapshot(held_by_a_lost_key(generation=2)),
        (Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST, None),
    ),
    Row(
        "nor is that version proof of what another environment holds: the id stayed in the former one",
        gen.snapshot(held_by_a_lost_key(), account=AccountReady(environment="sandbox")),
        (Reason.ACCOUNT_CHANGED, Sentence.ACCOUNT_CHANGED, None),
    ),
    Row(
        "where no environment is known, none has changed",
        gen.snapshot(
            gen.synced(status={"source": OLD_KEY_SOURCE, "environment": None}),
            account=AccountReady(environment="sandbox"),
        ),
        (Reason.SYNCED, Sentence.SYNCED, None),
    ),
    Row(
        "edited by somebody since the key was lost: its marker, under that key, still names this very object",
        gen.snapshot(
            gen.synced(),
            trusted=False,
            evidence={
                gen.SECRET_ID: gen.remote(gen.SECRET_ID, metadata=gen.marker(revision=LOST_KEY)),
            },
        ),
        (Reason.SYNCED, Sentence.SYNCED, gen.SECRET_ID),
    ),
    Row(
        "a revision under the key of today says what it says, whatever the versions",
        gen.snapshot(changed(source={**FORMER_SOURCE, "resourceVersion": SECRET_VERSION})),
        CREATE,
    ),
    Row(
        "status lost too, and secrets of ours that cannot be compared: a person must say",
        gen.snapshot(marked=(gen.marked(revision=LOST_KEY),)),
        (Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST, None),
    ),
    Row(
        "of a status that nobody knows as well: it may be active again",
        gen.snapshot(marked=(gen.marked(revision=LOST_KEY, status="frozen"),)),
        (Reason.DIGEST_KEY_LOST, Sentence.DIGEST_KEY_LOST, None),
    ),
    Row(
        "a requested rotation is such a word",
        gen.snapshot(gen.method_secret(**ROTATED), marked=(gen.marked(revision=LOST_KEY),)),
        CREATE,
    ),
    Row(
        "one that is no longer in use stands in nobody's way",
        gen.snapshot(marked=(gen.marked(status="deleted", revision=LOST_KEY),)),
        CREATE,
    ),
    Row(
        "with an id in the status, the change of value is known",
        gen.snapshot(changed(), marked=(gen.marked(revision=LOST_KEY),)),
        CREATE,
    ),
]


def doubted(obj: MethodSecret | None = None, remote: Any = None, **more: Any) -> Snapshot:  # noqa: ANN401 - as in gen
    return gen.snapshot(obj or gen.synced(), doubted=True, evidence={SECRET_ID: remote}, **more)


GONE = gen.remote(SECRET_ID, status="deleted")
MISSED = {SECRET_ID: LONG_AGO}
WAITING = gen.synced(spec=ON_REQUEST, status={"source": FORMER_SOURCE})
DELETED_WAITING = gen.synced(spec=ON_REQUEST, status={"source": FORMER_SOURCE, "status": "deleted"})
FOUND_DELETED = gen.synced(spec=ON_REQUEST, status={"status": "deleted"})
FROZEN_WAITING = gen.synced(spec=ON_REQUEST, status={"source": FORMER_SOURCE, "status": "frozen"})

DRIFT = [
    Row("not in the inventory: asked about", gen.snapshot(gen.synced(), doubted=True), Confirm(SECRET_ID)),
    Row(
        "there after all",
        doubted(remote=gen.remote(SECRET_ID)),
        (Reason.SYNCED, Sentence.SYNCED, SECRET_ID),
    ),
    Row(
        "drift is judged by the id, whatever the marker",
        doubted(remote=gen.remote(SECRET_ID, metadata=None)),
        (Reason.SYNCED, Sentence.SYNCED, SECRET_ID),
    ),
    Row(
        "there, but not active: never a reason to create",
        doubted(remote=gen.remote(SECRET_ID, status="frozen")),
        (Reason.PENDING, Sentence.NOT_YET_ACTIVE, SECRET_ID),
    ),
    Row("deleted: made anew", doubted(remote=GONE), CREATE),
    Row(
        "deleted, OnRequest: a person must ask for it",
        doubted(gen.synced(spec=ON_REQUEST), GONE),
        (Reason.REMOTE_DELETED, Sentence.REMOTE_DELETED, None),
    ),
    Row("and does", doubted(gen.synced(spec=ON_REQUEST, **ROTATED), GONE), CREATE),
    Row("unknown, once: lists and reads may lag", doubted(), (Reason.PENDING, Sentence.MISSING, None)),
    Row(
        "unknown for 59 s: not yet",
        doubted(missing={SECRET_ID: JUST_NOW}),
        (Reason.PENDING, Sentence.MISSING, None),
    ),
    Row("unknown for 60 s: believed", doubted(missing=MISSED), CREATE),
    Row(
        "unknown for 60 s, and listed: before either is believed the account is listed again",
        doubted(missing=MISSED, **LISTED, listed_at=LONG_AGO),
        ListAnew(since=LONG_AGO),
    ),
    Row(
        "not again within 60 s, however long that list took: it goes on waiting",
        doubted(missing=MISSED, **LISTED, scanned_at=LONG_AGO, listed_at=JUST_NOW),
        (Reason.PENDING, Sentence.MISSING, None),
    ),
    Row(
        "but then it is, for as long as the two contradict each other",
        doubted(missing={SECRET_ID: LONG_AGO - TEN}, **LISTED, listed_at=LONG_AGO),
        ListAnew(since=LONG_AGO - TEN),
    ),
    Row(
        "listed by our own answer only: the first list of all",
        doubted(missing=MISSED, **LISTED),
        ListAnew(since=LONG_AGO),
    ),
    Row(
        "listed, and unknown for 59 s: not yet",
        doubted(missing={SECRET_ID: JUST_NOW}, **LISTED, listed_at=LONG_AGO),
        (Reason.PENDING, Sentence.MISSING, None),
    ),
    Row(
        "a clock that was put back lists nothing anew",
        doubted(missing=MISSED, **LISTED, listed_at=gen.later(hours=1)),
        (Reason.PENDING, Sentence.MISSING, None),
    ),
    Row("deleted, says its GET: no list outweighs that", doubted(remote=GONE, **LISTED), CREATE),
    Row(
        "another id's absence says nothing",
        doubted(missing={"sec_other": LONG_AGO}),
        (Reason.PENDING, Sentence.MISSING, None),
    ),
    Row(
        "unknown for 60 s, OnRequest: a person must ask for it",
        doubted(gen.synced(spec=ON_REQUEST), missing=MISSED),
        (Reason.REMOTE_DELETED, Sentence.REMOTE_DELETED, None),
    ),
    Row(
        "found deleted before: only Method can say that it is back",
        gen.snapshot(FOUND_DELETED),
        Confirm(SECRET_ID),
    ),
    Row(
        "and it is",
        gen.snapshot(FOUND_DELETED, evidence={SECRET_ID: gen.remote(SECRET_ID)}),
        (Reason.SYNCED, Sentence.SYNCED, SECRET_ID),
    ),
    Row(
        "still unknown: believed once, it is no news that needs time",
        gen.snapshot(FOUND_DELETED, evidence={SECRET_ID: None}),
        (Reason.REMOTE_DELETED, Sentence.REMOTE_DELETED, None),
    ),
    Row(
        "unless somebody else has written that",
        gen.snapshot(DELETED_WAITING, trusted=False, evidence={SECRET_ID: None}),
        CREATE,
    ),
    Row(
        "a change waits to be asked for, and what was in use is deleted",
        gen.snapshot(DELETED_WAITING),
        Confirm(SECRET_ID),
    ),
    Row(
        "too many at once: that is no drift but another account",
        doubted(missing=MISSED, account_changed=True),
        (Reason.ACCOUNT_CHANGED, Sentence.IDS_MISSING, None),
    ),
    Row(
        "unless a rotation is requested",
        doubted(gen.synced(**ROTATED), missing=MISSED, account_changed=True),
        CREATE,
    ),
    Row(
        "nor is a changed value stored in what may be the wrong account",
        doubted(changed(), missing=MISSED, account_changed=True),
        (Reason.ACCOUNT_CHANGED, Sentence.IDS_MISSING, None),
    ),
    Row(
        "whether the id is among the missing is asked first",
        gen.snapshot(changed(), doubted=True, account_changed=True),
        Confirm(SECRET_ID),
    ),
    Row(
        "also where only a GET has missed it so far",
        gen.snapshot(changed(), missing=MISSED, account_changed=True),
        Confirm(SECRET_ID),
    ),
    Row(
        "one that is there is of this account, and the changed value is stored",
        doubted(changed(), gen.remote(SECRET_ID), account_changed=True),
        CREATE,
    ),
    Row(
        "the changed value is stored where a rotation is requested",
        doubted(
            gen.synced(status={"source": FORMER_SOURCE}, **ROTATED), missing=MISSED, account_changed=True
        ),
        CREATE,
    ),
    Row(
        "with no id in the status nothing is missing",
        gen.snapshot(account_changed=True),
        CREATE,
    ),
    Row(
        "one that says itself that it is deleted is, however many others are missing",
        doubted(remote=GONE, account_changed=True),
        CREATE,
    ),
    Row(
        "a change waits to be asked for: what is in use meanwhile is asked about",
        gen.snapshot(WAITING, doubted=True),
        Confirm(SECRET_ID),
    ),
    Row(
        "it is active: the change waits on",
        doubted(WAITING, gen.remote(SECRET_ID)),
        (Reason.SYNCED, Sentence.ROTATION_PENDING, None),
    ),
    Row(
        "it is active again: the status says so",
        gen.snapshot(FROZEN_WAITING, evidence={SECRET_ID: gen.remote(SECRET_ID)}),
        (Reason.SYNCED, Sentence.ROTATION_PENDING, SECRET_ID),
    ),
    Row(
        "it is deleted: nothing is in use, whatever waits",
        doubted(WAITING, GONE),
        (Reason.REMOTE_DELETED, Sentence.REMOTE_DELETED, None),
    ),
    Row(
        "it is unknown, once",
        doubted(WAITING),
        (Reason.PENDING, Sentence.MISSING, None),
    ),
    Row(
        "it is not active, whoever has written the status",
        gen.snapshot(WAITING, trusted=False, evidence={SECRET_ID: gen.remote(SECRET_ID, status="frozen")}),
        (Reason.PENDING, Sentence.NOT_YET_ACTIVE, SECRET_ID),
    ),
    Row(
        "one that is there is not missing",
        gen.snapshot(gen.synced(), account_changed=True),
        (Reason.SYNCED, Sentence.SYNCED, None),
    ),
]

SINCE = gen.later(minutes=-20)
FORMER_CREATE = replace(CREATE, value=SecretStr("former value"), revision=OTHER)
THEIR_MARK = gen.marked(uid="another-uid", revision=OTHER)
SETTLED_BY_OTHER = changed()
OPEN: dict[str, Any] = {
    "attempt": gen.attempt(
        revision=OTHER, ordinal=0, since=SINCE, unresolved=FORMER_CREATE, failing_since=SINCE
    )
}
AS_IT_WAS: dict[str, Any] = {"source": gen.source("former value"), **OPEN}
NEXT = replace(
    gen.create(gen.snapshot(source=gen.source("former value"))),
    ordinal=1,
    idempotency_key=identity.idempotency_key(uid=UID, revision=OTHER, ordinal=1),
)
DONE = (gen.marked(revision=OTHER),)
SETTLING = [
    Row("not in any scan: the same again", gen.snapshot(**OPEN), FORMER_CREATE),
    Row("in the inventory: asked about", gen.snapshot(**OPEN, marked=DONE), Confirm("sec_marked1")),
    Row(
        "there: it was done; the value has moved on since",
        gen.snapshot(
            **OPEN,
            marked=DONE,
            evidence={"sec_marked1": gen.remote("sec_marked1", metadata=gen.marker(revision=OTHER))},
        ),
        (Reason.PENDING, Sentence.CHANGED_MEANWHILE, "sec_marked1"),
    ),
    Row(
        "not there: the same again",
        gen.snapshot(**OPEN, marked=DONE, evidence={"sec_marked1": None}),
        FORMER_CREATE,
    ),
    Row(
        "there, not active: its answer, not the inventory, says what becomes of it",
        gen.snapshot(
            **OPEN, marked=DONE, evidence={"sec_marked1": gen.remote("sec_marked1", status="frozen")}
        ),
        FORMER_CREATE,
    ),
    Row(
        "one whose DELETE was ever sent is never used again: the answer to the same key tells",
        gen.snapshot(
            changed(superseded=[former(id="sec_marked1", revision=OTHER, deleting=True)]),
            **OPEN,
            marked=DONE,
            evidence={SECRET_ID: None},
        ),
        FORMER_CREATE,
    ),
    Row("another uid's is not this create", gen.snapshot(**OPEN, marked=(THEIR_MARK,)), FORMER_CREATE),
    Row("another value is not this create", gen.snapshot(**OPEN, marked=(gen.marked(),)), FORMER_CREATE),
    Row(
        "not active in the list",
        gen.snapshot(**OPEN, marked=(gen.marked(status="deleted", revision=OTHER),)),
        FORMER_CREATE,
    ),
    Row(
        "5xx for ten minutes, and a scan from after that without it: another key",
        gen.snapshot(**AS_IT_WAS, scanned_at=SINCE + TEN),
        NEXT,
    ),
    Row(
        "and where the value has changed since, that one's turn comes: the former may never be taken",
        gen.snapshot(**OPEN, scanned_at=SINCE + TEN),
        CREATE,
    ),
    Row(
        "where there is none any more, nothing is made",
        gen.snapshot(
            **OPEN,
            scanned_at=SINCE + TEN,
            source=Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND),
        ),
        (Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND, None),
    ),
    Row(
        "unless that scan shows it, though a GET does not know it: it may be there",
        gen.snapshot(
            **OPEN,
            marked=DONE,
            evidence={"sec_marked1": None},
            scanned_at=SINCE + TEN,
            listed=frozenset({"sec_marked1"}),
        ),
        FORMER_CREATE,
    ),
    Row(
        "another operator may have had more luck: its id in the status is asked about, before another key",
        gen.snapshot(SETTLED_BY_OTHER, **OPEN, scanned_at=SINCE + TEN),
        Confirm(gen.SECRET_ID),
    ),
    Row(
        "and taken",
        gen.snapshot(
            SETTLED_BY_OTHER,
            **OPEN,
            scanned_at=SINCE + TEN,
            evidence={gen.SECRET_ID: gen.remote(gen.SECRET_ID, metadata=gen.marker(revision=OTHER))},
        ),
        (Reason.PENDING, Sentence.CHANGED_MEANWHILE, gen.SECRET_ID),
    ),
    Row(
        "if it is ours",
        gen.snapshot(
            gen.synced(status={"source": {**FORMER_SOURCE, "revision": OTHER}}),
            trusted=False,
            **AS_IT_WAS,
            scanned_at=SINCE + TEN,
            evidence={gen.SECRET_ID: gen.remote(gen.SECRET_ID, metadata=None)},
        ),
        NEXT,
    ),
    Row(
        "one that is known to be missing is not asked for again and again",
        gen.snapshot(SETTLED_BY_OTHER, **OPEN, scanned_at=SINCE + TEN, missing={gen.SECRET_ID: SINCE}),
        CREATE,
    ),
    Row(
        "a scan that began a second earlier might have missed it",
        gen.snapshot(**OPEN, scanned_at=SINCE + TEN - timedelta(seconds=1)),
        FORMER_CREATE,
    ),
    Row(
        "time-outs say nothing about the key: the same for ever",
        gen.snapshot(attempt=replace(OPEN["attempt"], failing_since=None), scanned_at=SINCE + TEN),
        FORMER_CREATE,
    ),
    Row(
        "the ten minutes count from the first 5xx, not from a silence before it",
        gen.snapshot(
            attempt=replace(OPEN["attempt"], failing_since=SINCE + timedelta(minutes=5)),
            scanned_at=SINCE + TEN,
        ),
        FORMER_CREATE,
    ),
    Row(
        "the last try may have been done: a list from before it shows nothing",
        gen.snapshot(
            attempt=replace(OPEN["attempt"], tried_at=SINCE + TEN + timedelta(seconds=1)),
            scanned_at=SINCE + TEN,
        ),
        FORMER_CREATE,
    ),
    Row(
        "one from after it does",
        gen.snapshot(
            source=gen.source("former value"),
            attempt=replace(OPEN["attempt"], tried_at=SINCE + TEN + timedelta(seconds=1)),
            scanned_at=SINCE + TEN + timedelta(seconds=1),
        ),
        NEXT,
    ),
]

HAS: dict[str, Any] = {"finalizers": (FINALIZER,)}
FINALIZERS = [
    Row(
        "Delete: the finalizer comes before the POST",
        gen.snapshot(gen.method_secret(spec=DELETE)),
        SetFinalizer(present=True),
    ),
    Row("Delete, with it: on", gen.snapshot(gen.method_secret(spec=DELETE, **HAS)), CREATE),
    Row("Retain: never a finalizer", gen.snapshot(gen.synced(**HAS)), SetFinalizer(present=False)),
    Row(
        "it needs no account",
        gen.snapshot(
            gen.method_secret(spec=DELETE),
            account=Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY),
        ),
        SetFinalizer(present=True),
    ),
    Row(
        "paused: no writes",
        gen.snapshot(gen.method_secret(spec=DELETE, annotations={gen.PAUSED: "true"})),
        Leave(),
    ),
    Row("a finalizer of others is no concern", gen.snapshot(gen.method_secret(finalizers=("a/b",))), CREATE),
]

ADOPTS = gen.raw_spec(adopt={"id": "sec_wanted"})
WANTED = gen.remote("sec_wanted", metadata=None)
BY_ADOPTION = {"source": None, "adopted": {**HELD.model_dump(by_alias=True), "id": SECRET_ID}}
ADOPTED_CHANGED = {"source": None, "adopted": {**FORMER_SOURCE, "id": SECRET_ID}}
ADOPTS_CURRENT = gen.raw_spec(adopt={"id": SECRET_ID})
ADOPTS_ON_REQUEST = gen.raw_spec(adopt={"id": SECRET_ID}, rotation={"policy": "OnRequest"})


def examined(remote: Any = WANTED, claimed_by: str | None = None, *, owner_alive: bool = False) -> Snapshot:  # noqa: ANN401 - a RemoteSecret
    found = Adoption(remote=remote, claimed_by=claimed_by, owner_alive=owner_alive)
    return gen.snapshot(gen.method_secret(spec=ADOPTS), adoption=found)


ADOPTION = [
    Row("first it is looked at", gen.snapshot(gen.method_secret(spec=ADOPTS)), Examine("sec_wanted")),
    Row("nobody's: taken", examined(), (Reason.ADOPTED, Sentence.ADOPTED, "sec_wanted")),
    Row("not there", examined(None), (Reason.ADOPTION_FAILED, Sentence.ADOPT_NOT_ACTIVE, None)),
    Row(
        "deleted",
        examined(gen.remote("sec_wanted", status="deleted")),
        (Reason.ADOPTION_FAILED, Sentence.ADOPT_NOT_ACTIVE, None),
    ),
    Row(
        "another object's status names it",
        examined(claimed_by="payments/other"),
        (Reason.ADOPTION_FAILED, Sentence.ADOPT_CLAIMED, None),
    ),
    Row(
        "its owner lives", examined(owner_alive=True), (Reason.ADOPTION_FAILED, Sentence.ADOPT_FOREIGN, None)
    ),
    Row(
        "a rebuild after a rotation does not fall back to it",
        gen.snapshot(gen.method_secret(spec=ADOPTS), marked=(gen.marked(),)),
        Confirm("sec_marked1"),
    ),
    Row(
        "nor while the marked one is of a status that nobody knows",
        gen.snapshot(gen.method_secret(spec=ADOPTS), marked=(gen.marked(status="frozen", revision=OTHER),)),
        CREATE,
    ),
    Row(
        "one that is deleted keeps nobody from it",
        gen.snapshot(gen.method_secret(spec=ADOPTS), marked=(gen.marked(status=DELETED),)),
        Examine("sec_wanted"),
    ),
    Row(
        "one of ours that another object has adopted since is not: it adopts what it is told to",
        gen.snapshot(
            gen.method_secret(spec=ADOPTS), marked=(gen.marked(),), claimed=frozenset({"sec_marked1"})
        ),
        Examine("sec_wanted"),
    ),
    Row(
        "nor where the marked one holds another value",
        gen.snapshot(gen.method_secret(spec=ADOPTS), marked=(gen.marked(revision=OTHER),)),
        CREATE,
    ),
    Row(
        "taken over and nothing new: never called Synced",
        gen.snapshot(gen.synced(spec=ADOPTS_CURRENT, status=BY_ADOPTION)),
        (Reason.ADOPTED, Sentence.ADOPTED, None),
    ),
    Row(
        "its first rotation stores the value as it is known",
        gen.snapshot(gen.synced(spec=ADOPTS_CURRENT, status=BY_ADOPTION, **ROTATED)),
        CREATE,
    ),
    Row(
        "a changed value is a rotation",
        gen.snapshot(gen.synced(spec=ADOPTS_CURRENT, status=ADOPTED_CHANGED)),
        CREATE,
    ),
    Row(
        "untrusted: the spec is the proof",
        gen.snapshot(
            gen.synced(spec=ADOPTS_CURRENT, status=BY_ADOPTION),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=None)},
        ),
        (Reason.ADOPTED, Sentence.ADOPTED, SECRET_ID),
    ),
    Row(
        "untrusted, and another object goes by it: it would have to be examined",
        gen.snapshot(
            gen.synced(spec=ADOPTS_CURRENT, status=BY_ADOPTION),
            trusted=False,
            claimed=frozenset({SECRET_ID}),
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=None)},
        ),
        CREATE,
    ),
    Row(
        "untrusted, and the spec names another",
        gen.snapshot(
            gen.synced(status=BY_ADOPTION),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=None)},
        ),
        CREATE,
    ),
    Row(
        "untrusted, with a change that waits: the spec is the proof then as well",
        gen.snapshot(
            gen.synced(spec=ADOPTS_ON_REQUEST, status=ADOPTED_CHANGED),
            trusted=False,
            evidence={SECRET_ID: gen.remote(SECRET_ID, metadata=None)},
        ),
        (Reason.SYNCED, Sentence.ROTATION_PENDING, None),
    ),
]

TABLE = [*LINKING, *LOST_DIGEST_KEY, *DRIFT, *SETTLING, *FINALIZERS, *ADOPTION]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_what_is_decided(row: Row) -> None:
    action = decide(row.snapshot)
    if not isinstance(row.expected, tuple):
        assert action == row.expected
        return
    reason, sentence, secret_id = row.expected
    assert isinstance(action, Finding), action
    assert (action.reason, action.secret and action.secret.id) == (reason, secret_id)
    assert action.message.startswith(_filled(sentence, row.snapshot, secret_id))


def _filled(sentence: Sentence, whole: Snapshot, secret_id: str | None) -> str:
    names: dict[str, Any] = {"id": secret_id or whole.object.status.id, "secret": "acme", "key": "api-key"}
    names |= {"former": whole.object.status.environment}
    names |= {"environment": getattr(whole.account, "environment", "")}
    if sentence in (Sentence.KNOWN_NOT_ACTIVE, Sentence.CONTENDED):
        names["id"] = "sec_marked1"
    return sentence.format(**names, adopt="sec_wanted", claimed_by="payments/other")


def test_a_missing_id_is_looked_for_again_when_it_can_be_believed() -> None:
    action = decide(doubted())
    assert isinstance(action, Finding)
    assert action.retry == 60.0


def test_before_another_is_made_a_condemned_one_that_is_listed_is_waited_for() -> None:
    obj = changed(superseded=[former(deleting=True)])
    action = decide(gen.snapshot(obj, evidence={"sec_old1": None}, listed=frozenset({"sec_old1"})))
    assert isinstance(action, Finding)
    assert action.reason is Reason.PENDING
    assert action.message.startswith(Sentence.MISSING.format(id="sec_old1"))
    assert action.retry == 60.0


def test_the_revision_is_told_anew_after_a_lost_key() -> None:
    action = decide(gen.snapshot(held_by_a_lost_key()))
    assert isinstance(action, Finding)
    assert action.source == HELD


def test_what_an_adopted_secret_may_hold_is_remembered_with_it() -> None:
    action = decide(examined())
    assert isinstance(action, Finding)
    assert action.adopted == Adopted(id="sec_wanted", **HELD.model_dump())
    assert action.source is None


@pytest.mark.parametrize(
    ("spec", "held"),
    [(ADOPTS_CURRENT, BY_ADOPTION), (ADOPTS_ON_REQUEST, ADOPTED_CHANGED)],
    ids=["nothing changed", "a change waits"],
)
def test_an_adopted_secret_that_is_not_active_for_a_while_stays_adopted(
    spec: dict[str, Any], held: dict[str, Any]
) -> None:
    """Without that it would be unknown what it holds, and another be made in its place."""
    obj = gen.synced(spec=spec, status=held)
    for word in ("frozen", "active"):
        said = decide(doubted(obj, gen.remote(SECRET_ID, status=word, metadata=None)))
        assert isinstance(said, Finding)
        obj = obj.model_copy(update={"status": summarize(obj, said, now=NOW)})
        assert (obj.status.id, obj.status.status) == (SECRET_ID, word)
        assert obj.status.adopted == gen.synced(status=held).status.adopted


class Missing(NamedTuple):
    """Since when Method does not know an id, and whether that is believed."""

    reason: str
    since: datetime | None
    missed: bool


@pytest.mark.parametrize(
    "row",
    [
        Missing("it was never missing", None, missed=False),
        Missing("just now", NOW, missed=False),
        Missing("a moment short of 60 s", LONG_AGO + timedelta(microseconds=1), missed=False),
        Missing("60 s", LONG_AGO, missed=True),
        Missing("a clock that was set back believes nothing", gen.later(hours=1), missed=False),
    ],
    ids=lambda row: row.reason,
)
def test_missed(row: Missing) -> None:
    missing = {} if row.since is None else {"sec_a": row.since}
    assert gen.snapshot(missing=missing).missed("sec_a") is row.missed


@pytest.mark.parametrize(
    ("reason", "obj"),
    [
        ("Delete without the finalizer", gen.synced(spec=DELETE)),
        ("Retain with it", gen.synced(**HAS)),
        (
            "former secrets that are to be deleted in time",
            gen.synced(
                spec=gen.raw_spec(rotation={"deleteSupersededAfter": "1h"}),
                status={"superseded": [former()]},
            ),
        ),
        ("being deleted", gen.synced(deleted=True)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_not_settled(reason: str, obj: MethodSecret) -> None:
    assert not decision.settled(
        obj, source=(SECRET_UID, SECRET_VERSION), environment="production", trusted=True
    ), reason


@pytest.mark.parametrize(
    "obj",
    [
        gen.synced(spec=DELETE, **HAS),
        gen.synced(status={"superseded": [former()]}),
        gen.synced(spec=gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})),
        gen.synced(spec=ADOPTS_CURRENT, status=BY_ADOPTION),
    ],
)
def test_settled(obj: MethodSecret) -> None:
    assert decision.settled(obj, source=(SECRET_UID, SECRET_VERSION), environment="production", trusted=True)


def test_no_create_is_made_twice_under_one_key_for_two_environments() -> None:
    other = decide(gen.snapshot(account=AccountReady(environment="dev")))
    assert isinstance(other, Create)
    assert other.idempotency_key != CREATE.idempotency_key
    assert f"{CLUSTER}/{NAMESPACE}/{NAME}" in str(other.metadata)


def test_listed_and_not_known_is_a_lag_and_creates_nothing() -> None:
    lagging = gen.snapshot(
        marked=(gen.marked(),), evidence={"sec_marked1": None}, missing={"sec_marked1": NOW}
    )
    action = decide(lagging)
    assert isinstance(action, Finding), action
    assert (action.reason, action.retry) == (Reason.PENDING, MISSING_FOR.total_seconds())
    assert action.message == Sentence.MISSING.format(id="sec_marked1")


def test_one_that_can_be_taken_is_taken_before_a_lag_is_waited_for() -> None:
    two = gen.snapshot(
        marked=(gen.marked(), gen.marked("sec_marked2")),
        evidence={"sec_marked1": None, "sec_marked2": gen.remote("sec_marked2")},
    )
    action = decide(two)
    assert isinstance(action, Finding), action
    assert action.secret is not None
    assert action.secret.id == "sec_marked2"
