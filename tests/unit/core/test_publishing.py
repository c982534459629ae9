"""What is due on the ConfigMap that shows the id, row by row, and when nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.core import decision, publishing
from methodsecret_operator.core.conditions import Reason, Sentence
from methodsecret_operator.core.resource import FINALIZER, MethodSecret, Published
from methodsecret_operator.core.snapshot import (
    ApplyConfigMap,
    ConfigMapSeen,
    ConfigMapState,
    Create,
    CreateConfigMap,
    DeleteConfigMap,
    Finding,
    Problem,
    ReadConfigMap,
    Snapshot,
)
from methodsecret_operator.core.status import summarize
from tests.unit import gen
from tests.unit.gen import SECRET_ID, UID

TARGET = {"name": "shown", "key": "id", "labels": {"app": "checkout"}}
SPEC = gen.raw_spec(publish={"configMap": TARGET})
ENTRY = {"configMap": "shown", "id": SECRET_ID, "resourceVersion": "7", "observedGeneration": 1}
NAMED = {"configMap": "shown"}
FORMER = {**ENTRY, "configMap": "former"}
OWNER = {"apiVersion": "methodfi.com/v1", "kind": "MethodSecret", "name": gen.NAME, "controller": True}
OURS = ConfigMapSeen(uid="cm", resource_version="7", owners=({**OWNER, "uid": UID},))
EDITED = ConfigMapSeen(uid="cm", resource_version="8", owners=OURS.owners)
FOREIGN = ConfigMapSeen(uid="cm", resource_version="7")
PREDECESSOR = ConfigMapSeen(uid="cm", resource_version="7", owners=({**OWNER, "uid": "gone"},))
WHOLE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "shown",
        "namespace": gen.NAMESPACE,
        "labels": {"app": "checkout", "app.kubernetes.io/managed-by": "methodsecret-operator"},
        "annotations": {},
        "ownerReferences": [{**OWNER, "uid": UID, "blockOwnerDeletion": False}],
    },
    "data": {"id": SECRET_ID},
}
BARE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "shown",
        "namespace": gen.NAMESPACE,
        "labels": {"app.kubernetes.io/managed-by": "methodsecret-operator"},
        "ownerReferences": WHOLE["metadata"]["ownerReferences"],
    },
}
APPLIED = ConfigMapSeen(uid="cm", resource_version="9", owners=OURS.owners, applied=WHOLE)
WRITTEN = Published(config_map="shown", id=SECRET_ID, resource_version="9", observed_generation=1)


def obj(*published: dict[str, Any], asked: bool = True, **changed: Any) -> MethodSecret:  # noqa: ANN401 - see gen
    spec = SPEC if asked else gen.raw_spec()
    return gen.synced(**({"spec": spec} | changed), status={"published": list(published)})


def snapshot(one: MethodSecret, *, seen: str | None = None, **maps: ConfigMapState) -> Snapshot:
    return gen.snapshot(one, config_map_version=seen, config_maps=maps)


AWAY = Problem(Reason.SOURCE_NOT_FOUND, Sentence.SOURCE_NOT_FOUND, retry=7.0)


def without(one: MethodSecret, *, seen: str | None = None, **maps: ConfigMapState) -> Snapshot:
    """Return the same where the source is away: the id in use goes on being used."""
    return replace(snapshot(one, seen=seen, **maps), source=AWAY)


class Step(NamedTuple):
    """A snapshot and the step on a ConfigMap that it calls for."""

    reason: str
    snapshot: Snapshot
    expected: ReadConfigMap | CreateConfigMap | ApplyConfigMap | DeleteConfigMap


READ = ReadConfigMap(name="shown")
STEPS = [
    Step("whose it is, is found out before it is named", snapshot(obj()), READ),
    Step("once named, it is looked at again", snapshot(obj(NAMED)), READ),
    Step(
        "made where there is none, with nothing in it: whose it is has to be sure before anything is",
        snapshot(obj(NAMED), shown=None),
        CreateConfigMap(BARE),
    ),
    Step(
        "made just now, or in a try whose answer was lost: filled",
        snapshot(obj(NAMED), shown=OURS),
        ApplyConfigMap(WHOLE, OURS),
    ),
    Step("the watch has another version", snapshot(obj(ENTRY), seen="8"), READ),
    Step("the watch has none", snapshot(obj(ENTRY)), READ),
    Step("edited", snapshot(obj(ENTRY), seen="8", shown=EDITED), ApplyConfigMap(WHOLE, EDITED)),
    Step("deleted", snapshot(obj(ENTRY), shown=None), CreateConfigMap(BARE)),
    Step("it holds a former id", snapshot(obj({**ENTRY, "id": "sec_old"}), seen="7"), READ),
    Step(
        "it holds a former id, as was read",
        snapshot(obj({**ENTRY, "id": "sec_old"}), seen="7", shown=OURS),
        ApplyConfigMap(WHOLE, OURS),
    ),
    Step("its labels may have changed", snapshot(obj(ENTRY, generation=2), seen="7"), READ),
    Step(
        "what was applied is of another spec",
        snapshot(obj(NAMED), shown=ConfigMapSeen("cm", "9", OURS.owners, {**WHOLE, "data": {"old": "x"}})),
        ApplyConfigMap(WHOLE, ConfigMapSeen("cm", "9", OURS.owners, {**WHOLE, "data": {"old": "x"}})),
    ),
    Step("the former one goes last", snapshot(obj(FORMER, NAMED), shown=APPLIED), ReadConfigMap("former")),
    Step(
        "the former one goes, in the version that was seen",
        snapshot(obj(FORMER, NAMED), shown=APPLIED, former=EDITED),
        DeleteConfigMap("former", "cm", "8"),
    ),
    Step("not asked for any more", snapshot(obj(ENTRY, asked=False)), READ),
    Step(
        "not asked for any more, and ours",
        snapshot(obj(ENTRY, asked=False), shown=OURS),
        DeleteConfigMap("shown", "cm", "7"),
    ),
    Step("without a source: the watch has none", without(obj(ENTRY)), READ),
    Step("without a source: edited", without(obj(ENTRY), shown=EDITED), ApplyConfigMap(WHOLE, EDITED)),
    Step("without a source: deleted", without(obj(ENTRY), shown=None), CreateConfigMap(BARE)),
    Step(
        "without a source: not asked for any more",
        without(obj(ENTRY, asked=False), shown=OURS),
        DeleteConfigMap("shown", "cm", "7"),
    ),
    Step("without a source: asked for by now", without(obj()), READ),
    Step(
        "without an API key as well",
        replace(without(obj(ENTRY)), account=Problem(Reason.CREDENTIALS_NOT_FOUND, Sentence.NO_DEFAULT_KEY)),
        READ,
    ),
]


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row.reason)
def test_a_step_on_a_config_map(row: Step) -> None:
    assert decision.decide(row.snapshot) == row.expected


class Said(NamedTuple):
    """A snapshot and what is said: the reason, and the ConfigMaps that the status names from then on."""

    reason: str
    snapshot: Snapshot
    word: Reason
    published: tuple[Published, ...]
    retry: object = "resync"


SAID = [
    Said(
        "as the watch has it: no call",
        snapshot(obj(ENTRY), seen="7"),
        Reason.SYNCED,
        obj(ENTRY).status.published,
    ),
    Said("as it was read", snapshot(obj(ENTRY), shown=OURS), Reason.SYNCED, obj(ENTRY).status.published),
    Said("applied just now", snapshot(obj(NAMED), shown=APPLIED), Reason.SYNCED, (WRITTEN,)),
    Said(
        "the former is gone",
        snapshot(obj(FORMER, NAMED), shown=APPLIED, former=None),
        Reason.SYNCED,
        (WRITTEN,),
    ),
    Said(
        "the former is somebody else's by now",
        snapshot(obj(FORMER, NAMED), shown=APPLIED, former=FOREIGN),
        Reason.SYNCED,
        (WRITTEN,),
    ),
    Said("gone, and not asked for", snapshot(obj(ENTRY, asked=False), shown=None), Reason.SYNCED, ()),
    Said(
        "named before it is made",
        snapshot(obj(), shown=None),
        Reason.PENDING,
        (Published(config_map="shown"),),
        0.0,
    ),
    Said(
        "the former stays named with the new one",
        snapshot(obj(FORMER), shown=None),
        Reason.PENDING,
        (*obj(FORMER).status.published, Published(config_map="shown")),
        0.0,
    ),
    Said("somebody else's", snapshot(obj(), shown=FOREIGN), Reason.PUBLISH_CONFLICT, (), "backoff"),
    Said("no longer ours", snapshot(obj(ENTRY), shown=FOREIGN), Reason.PUBLISH_CONFLICT, (), "backoff"),
    Said(
        "in a conflict the former one stays",
        snapshot(obj(FORMER), shown=FOREIGN),
        Reason.PUBLISH_CONFLICT,
        obj(FORMER).status.published,
        "backoff",
    ),
    Said("of the object's predecessor", snapshot(obj(), shown=PREDECESSOR), Reason.PENDING, (), "backoff"),
    Said(
        "reading or writing is refused",
        snapshot(obj(NAMED), shown="refused"),
        Reason.PENDING,
        obj(NAMED).status.published,
        "backoff",
    ),
]


MEANWHILE = [
    Said(
        "in place: no call", without(obj(ENTRY), seen="7"), Reason.SOURCE_NOT_FOUND,
        obj(ENTRY).status.published, 7.0,
    ),
    Said("applied just now", without(obj(NAMED), shown=APPLIED), Reason.SOURCE_NOT_FOUND, (WRITTEN,), 7.0),
    Said(
        "named before it is made, and gone on with at once", without(obj(), shown=None),
        Reason.SOURCE_NOT_FOUND, obj(NAMED).status.published, 0.0,
    ),
    Said(
        "somebody else's, but that is not the first thing to do", without(obj(ENTRY), shown=FOREIGN),
        Reason.SOURCE_NOT_FOUND, (), 7.0,
    ),
    Said(
        "refused", without(obj(NAMED), shown="refused"),
        Reason.SOURCE_NOT_FOUND, obj(NAMED).status.published, 7.0,
    ),
    Said(
        "a status that somebody has edited shows nothing", replace(without(obj(ENTRY)), trusted=False),
        Reason.SOURCE_NOT_FOUND, obj(ENTRY).status.published, 7.0,
    ),
]  # fmt: skip
"""The same where something else is wrong: that is what is said."""


def test_an_id_that_is_not_active_is_not_shown_for_the_first_time() -> None:
    former = {**ENTRY, "id": "sec_old"}
    one = gen.synced(spec=SPEC, status={"status": "frozen", "published": [former]})
    said = decision.decide(without(one))
    assert isinstance(said, Finding)
    assert said.published is None


def test_what_goes_with_its_object_is_left_to_kubernetes() -> None:
    one = obj(ENTRY, deleted=True, finalizers=(FINALIZER,), spec={**SPEC, "deletionPolicy": "Delete"})
    said = decision.decide(replace(without(one), account=AWAY))
    assert isinstance(said, Finding)
    assert said.reason is Reason.SOURCE_NOT_FOUND


def test_a_create_waits_for_nothing() -> None:
    changed = replace(snapshot(obj(ENTRY)), source=gen.source("another value"))
    assert isinstance(decision.decide(changed), Create)


@pytest.mark.parametrize("row", [*SAID, *MEANWHILE], ids=lambda row: row.reason)
def test_what_is_said(row: Said) -> None:
    said = decision.decide(row.snapshot)
    assert isinstance(said, Finding)
    status = summarize(row.snapshot.object, said, now=gen.NOW)
    assert (said.reason, said.retry, status.published) == (row.word, row.retry, row.published)
    assert status.id == SECRET_ID


def test_a_new_id_is_ready_only_once_it_is_published() -> None:
    one = gen.method_secret(spec=SPEC)
    whole = gen.snapshot(one)
    said = decision.created(whole, gen.create(whole), gen.remote())
    status = summarize(one, said, now=gen.NOW)
    assert (said.reason, said.retry, status.id) == (Reason.PENDING, 0.0, "sec_new1")
    assert status.published == (Published(config_map="shown"),)


def test_an_untrusted_entry_is_no_proof() -> None:
    whole = gen.snapshot(
        obj(ENTRY),
        trusted=False,
        config_map_version="7",
        evidence={SECRET_ID: gen.remote(SECRET_ID)},
    )
    assert decision.decide(whole) == READ


@pytest.mark.parametrize(
    ("reason", "one", "seen", "expected"),
    [
        ("never asked for", obj(asked=False), None, True),
        ("as it was written", obj(ENTRY), "7", True),
        ("one is left over", obj(ENTRY, asked=False), "7", False),
        ("not written yet", obj(NAMED), "7", False),
        ("not named yet", obj(), None, False),
        ("edited", obj(ENTRY), "8", False),
        ("gone", obj(ENTRY), None, False),
        ("a former one is left", obj(FORMER, ENTRY), "7", False),
        ("another is left behind it", obj(ENTRY, FORMER), "7", False),
        ("another id", obj({**ENTRY, "id": "sec_old"}), "7", False),
        ("another name", obj(FORMER), "7", False),
        ("another spec", obj({**ENTRY, "observedGeneration": 0}), "7", False),
    ],
)
def test_when_nothing_is_due(reason: str, one: MethodSecret, seen: str | None, expected: bool) -> None:  # noqa: FBT001 - a column
    assert publishing.in_place(one, seen=seen) is expected, reason
