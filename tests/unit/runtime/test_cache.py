"""The cache of objects: who is woken by what, whose write it was, and what is never believed."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.errors import SchemaError
from methodsecret_operator.runtime.cache import ObjectCache
from tests.unit import gen

KEY = f"{gen.NAMESPACE}/{gen.NAME}"
OTHER_UID = "ffffffff-1111-4222-8333-944444444444"


class Woken(list[str]):
    """The keys that were woken, since last asked."""

    def taken(self) -> list[str]:
        keys = list(self)
        self.clear()
        return keys


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def cache(woken: Woken) -> ObjectCache:
    """Return a cache that finds its first object at the start."""
    objects = ObjectCache(wake=woken.append, starting=lambda: not objects.keys())
    return objects


def version(cache: ObjectCache) -> int | None:
    return cache.version(KEY)


class Held(NamedTuple):
    """An object as it comes by, and whether the cache, with version 100 of it, has that already."""

    reason: str
    raw: dict[str, Any]
    holds: bool


HELD = [
    Held(
        "the very version: the event of our own write, whose answer came first", gen.raw_object(), holds=True
    ),
    Held("an older one: a watch that was taken up again", gen.raw_object(version=99), holds=True),
    Held("a later one", gen.raw_object(version=101), holds=False),
    Held("another object by that name", gen.raw_object(uid=OTHER_UID, version=99), holds=False),
    Held("another object", gen.raw_object(name="other"), holds=False),
]


@pytest.mark.parametrize("row", HELD, ids=lambda row: row.reason)
def test_what_is_held_already(cache: ObjectCache, row: Held) -> None:
    cache.observe(gen.raw_object())
    assert cache.holds(row.raw) is row.holds


# --- observing --------------------------------------------------------------------------------------


def test_a_new_object_wakes_and_is_trusted(cache: ObjectCache, woken: Woken) -> None:
    # What is there at the start is taken as we left it: a restart must not ask about every id.
    cache.observe(gen.raw_object(status=gen.raw_ready_status()))
    assert woken == [KEY]
    assert cache.get(KEY) == gen.synced(annotations={})
    assert (cache.trusted(KEY), version(cache), len(cache), cache.keys()) == (True, 100, 1, [KEY])


@pytest.mark.parametrize("before", ["nothing", "another", "one that is gone"])
def test_what_comes_with_a_status_after_the_start_is_not_trusted(woken: Woken, before: str) -> None:
    """Somebody else has put it there: a former object's, say, which speaks of another spec."""
    cache = ObjectCache(wake=woken.append)
    if before != "nothing":
        cache.observe(gen.raw_object(version=98))
    if before == "one that is gone":
        cache.forget(gen.raw_object(version=99))
    cache.observe(gen.raw_object(uid=OTHER_UID, status=gen.raw_ready_status()))
    assert not cache.trusted(KEY)
    cache.observe(gen.raw_object(uid=OTHER_UID, version=101, status={}))
    cache.drop(KEY, uid=OTHER_UID)
    cache.observe(gen.raw_object(version=102))
    assert cache.trusted(KEY), "as every object is made: without a status"


def test_what_is_not_there(cache: ObjectCache) -> None:
    assert (cache.get(KEY), version(cache), cache.trusted(KEY)) == (None, None, True)
    cache.trust(KEY)
    cache.take(gen.raw_object())
    cache.drop(KEY, uid=gen.UID)
    assert len(cache) == 0


class Event(NamedTuple):
    """A later event of the same object, and what it means."""

    reason: str
    changed: dict[str, Any]
    wakes: bool
    trusted: bool = True


EVENTS = [
    Event("nothing has changed", {}, wakes=False),
    Event("a label", {"labels": {"a": "b"}}, wakes=False),
    Event("somebody else's annotation", {"annotations": {"argocd/tracking": "x"}}, wakes=False),
    Event("a new spec", {"generation": 2, "spec": gen.raw_spec(metadata={"a": "b"})}, wakes=True),
    Event("deleted", {"deleted": True}, wakes=True),
    Event("paused", {"annotations": {gen.PAUSED: "true"}}, wakes=True),
    Event("asked to reconcile", {"annotations": {gen.RECONCILE: "t"}}, wakes=True),
    Event("asked to rotate", {"annotations": {gen.ROTATE: "t"}}, wakes=True),
    Event(
        "somebody else wrote the status",
        {"status": gen.raw_ready_status(id="sec_forged")},
        wakes=True,
        trusted=False,
    ),
    Event("somebody else emptied the status", {"status": {}}, wakes=True, trusted=False),
]


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.reason)
def test_what_a_later_event_means(cache: ObjectCache, woken: Woken, row: Event) -> None:
    before: dict[str, Any] = {"status": gen.raw_ready_status()}
    cache.observe(gen.raw_object(**before))
    woken.clear()
    cache.observe(gen.raw_object(version=101, **(before | row.changed)))
    assert woken.taken() == ([KEY] if row.wakes else [])
    assert cache.trusted(KEY) is row.trusted
    assert version(cache) == 101


@pytest.mark.parametrize("older", [99, 100])
def test_an_older_event_changes_nothing(cache: ObjectCache, woken: Woken, older: int) -> None:
    cache.observe(gen.raw_object())
    woken.clear()
    cache.observe(gen.raw_object(version=older, generation=2, status=gen.raw_ready_status()))
    assert (woken, version(cache), cache.trusted(KEY)) == ([], 100, True)
    assert cache.get(KEY) == gen.method_secret(annotations={})


def test_versions_are_compared_as_numbers(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object(version=99))
    cache.observe(gen.raw_object(version=100, generation=2))
    assert version(cache) == 100


def test_while_starting_every_status_is_taken_as_it_is_found(woken: Woken) -> None:
    starting = [True]
    cache = ObjectCache(wake=woken.append, starting=lambda: bool(starting))
    cache.observe(gen.raw_object())
    cache.observe(gen.raw_object(version=101, status=gen.raw_ready_status()))  # the leader's, we stand by
    assert cache.trusted(KEY)
    starting.clear()
    cache.observe(gen.raw_object(version=102, status=gen.raw_ready_status(id="sec_forged1")))
    assert not cache.trusted(KEY)


def test_trust_comes_back_by_confirmation_only(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object())
    cache.observe(gen.raw_object(version=101, status=gen.raw_ready_status()))
    cache.observe(gen.raw_object(version=102, status=gen.raw_ready_status(), generation=2))
    assert not cache.trusted(KEY)
    cache.trust(KEY)
    assert cache.trusted(KEY)


def test_an_object_created_again_under_its_name_is_another(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object())
    cache.observe(gen.raw_object(version=101, status=gen.raw_ready_status()))
    assert not cache.trusted(KEY)
    woken.clear()
    cache.observe(gen.raw_object(version=102, uid=OTHER_UID))
    assert woken == [KEY]
    assert cache.trusted(KEY)
    found = cache.get(KEY)
    assert found is not None
    assert found.metadata.uid == OTHER_UID


def test_a_late_event_of_the_former_object_does_not_bring_it_back(cache: ObjectCache, woken: Woken) -> None:
    # A list that began before the object was created again can say so after the watch has told of it.
    cache.observe(gen.raw_object(version=102, uid=OTHER_UID))
    woken.clear()
    cache.observe(gen.raw_object(version=101))
    found = cache.get(KEY)
    assert found is not None
    assert (found.metadata.uid, woken) == (OTHER_UID, [])


def test_an_object_that_does_not_fit_is_named_with_its_fields_and_without_its_content(
    cache: ObjectCache,
) -> None:
    cache.observe(
        gen.raw_object(spec={"valueFrom": {"secretKeyRef": {"name": gen.CANARY + "/", "key": "k"}}})
    )
    with pytest.raises(SchemaError) as caught:
        cache.get(KEY)
    assert (caught.value.key, caught.value.fields) == (KEY, ["spec.valueFrom.secretKeyRef.name"])
    assert gen.CANARY not in str(caught.value)
    assert caught.value.__context__ is None


class Misfit(NamedTuple):
    """A spec that does not fit, and what is left out of it where its object is being deleted."""

    reason: str
    spec: dict[str, Any]
    unread: tuple[str, ...]


def nested(levels: int) -> dict[str, Any]:
    """Return metadata of so many levels."""
    return {"a": nested(levels - 1)} if levels > 1 else {}


MISFITS = [
    Misfit("metadata that is nested too deeply", gen.raw_spec(metadata=nested(220)), ()),
    Misfit("another version's", gen.raw_spec(deletionPolicy="Archive"), ("spec.deletionPolicy",)),
]


@pytest.mark.parametrize("row", MISFITS, ids=lambda row: row.reason)
def test_what_does_not_fit_is_read_all_the_same_once_it_is_being_deleted(
    cache: ObjectCache, row: Misfit
) -> None:
    """Else our finalizer would hold it, and its namespace, for ever."""
    cache.observe(gen.raw_object(spec=row.spec))
    with pytest.raises(SchemaError):
        cache.get(KEY)
    cache.observe(gen.raw_object(version=101, deleted=True, spec=row.spec))
    found = cache.get(KEY)
    assert found is not None
    assert (found.unread, found.spec.value_from) == (row.unread, gen.method_secret().spec.value_from)


def test_only_what_is_needed_is_kept(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object(annotations={"kubectl/last-applied": gen.CANARY, gen.ROTATE: "t"}))
    assert gen.CANARY not in str(cache._entries)  # what is held in memory is the promise
    found = cache.get(KEY)
    assert found is not None
    assert found.metadata.annotations == {gen.ROTATE: "t"}


# --- our own writes ---------------------------------------------------------------------------------

WRITTEN = gen.raw_object(version=101, status=gen.raw_ready_status())


def test_our_own_write_wakes_nobody_when_its_event_comes_first(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object())
    woken.clear()
    with cache.own_write(KEY):
        cache.observe(WRITTEN)
        assert version(cache) == 100  # held back until it is known whose it is
        cache.take(WRITTEN)
    assert (woken, cache.trusted(KEY), version(cache)) == ([], True, 101)
    assert cache.get(KEY) == gen.synced(annotations={}, version=101)


def test_our_own_write_wakes_nobody_when_its_answer_comes_first(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object())
    woken.clear()
    with cache.own_write(KEY):
        cache.take(WRITTEN)
    cache.observe(WRITTEN)
    assert (woken, cache.trusted(KEY), version(cache)) == ([], True, 101)


def test_what_somebody_else_did_meanwhile_counts_once_our_write_is_over(
    cache: ObjectCache, woken: Woken
) -> None:
    cache.observe(gen.raw_object())
    woken.clear()
    with cache.own_write(KEY):
        cache.observe(gen.raw_object(version=102, status=gen.raw_ready_status(id="sec_forged")))
        cache.take(WRITTEN)
        assert woken == []
    assert (woken, cache.trusted(KEY), version(cache)) == ([KEY], False, 102)


def test_a_write_that_failed_holds_nothing_back_for_good(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object())
    woken.clear()
    with contextlib.suppress(RuntimeError), cache.own_write(KEY):
        cache.observe(gen.raw_object(version=101, status=gen.raw_ready_status()))
        raise RuntimeError
    assert (woken, cache.trusted(KEY), version(cache)) == ([KEY], False, 101)


def test_other_keys_are_not_held_back(cache: ObjectCache, woken: Woken) -> None:
    with cache.own_write(KEY):
        cache.observe(gen.raw_object(name="another"))
        assert woken == ["payments/another"]


def test_an_answer_older_than_what_is_known_is_not_taken(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object(version=103, generation=2))
    cache.take(WRITTEN)
    assert (version(cache), cache.get(KEY)) == (
        103,
        gen.method_secret(version=103, generation=2, annotations={}),
    )


def test_an_answer_for_a_former_object_is_not_taken(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object(uid=OTHER_UID))
    cache.take(WRITTEN)
    assert version(cache) == 100


def test_what_was_held_back_of_an_object_goes_with_it(cache: ObjectCache, woken: Woken) -> None:
    # The watch has told of our write and of the deletion before our write's answer was read.
    cache.observe(gen.raw_object())
    with cache.own_write(KEY):
        cache.observe(WRITTEN)
        cache.forget(gen.raw_object(version=102))
        cache.take(WRITTEN)
        woken.clear()
    assert (cache.get(KEY), woken) == (None, [])


def test_what_was_held_back_of_the_next_object_stays(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object())
    with cache.own_write(KEY):
        cache.observe(gen.raw_object(version=103, uid=OTHER_UID))
        cache.forget(gen.raw_object(version=102))
        woken.clear()
    assert woken == [KEY]
    assert version(cache) == 103


# --- forgetting -------------------------------------------------------------------------------------


def test_a_deleted_object_is_dropped_and_its_key_woken(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object())
    woken.clear()
    cache.forget(gen.raw_object(version=101))
    assert (cache.get(KEY), woken) == (None, [KEY])


def test_the_end_of_a_former_object_does_not_end_the_new_one(cache: ObjectCache, woken: Woken) -> None:
    cache.observe(gen.raw_object(version=102, uid=OTHER_UID))
    woken.clear()
    cache.forget(gen.raw_object(version=101))
    assert (len(cache), woken) == (1, [])


def test_prune_drops_what_a_list_no_longer_has(cache: ObjectCache, woken: Woken) -> None:
    for name, at in (("alive", 90), ("gone", 100), ("newer", 101)):
        cache.observe(gen.raw_object(name=name, version=at))
    cache.observe(gen.raw_object(namespace="payments-2", name="gone"))
    woken.clear()
    # At version 100 the list could not know of what came at 101; and it was of one namespace.
    cache.prune({"payments/alive"}, namespace="payments", before=100)
    assert sorted(cache.keys()) == ["payments-2/gone", "payments/alive", "payments/newer"]
    assert woken == ["payments/gone"]


def test_prune_of_all_namespaces(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object())
    cache.observe(gen.raw_object(namespace="other"))
    cache.prune({KEY}, namespace=None, before=100)
    assert cache.keys() == [KEY]


def test_waking_on_demand(cache: ObjectCache, woken: Woken) -> None:
    cache.wake(KEY)
    assert woken == [KEY]


# --- what comes late --------------------------------------------------------------------------------


class Gone(NamedTuple):
    """How an object went."""

    reason: str
    last: int


GONE = [
    Gone("the watch told its end, which is newer than all that was seen of it", 120),
    Gone("a call found it gone", 100),
]


@pytest.mark.parametrize("row", GONE, ids=lambda row: row.reason)
def test_a_late_page_does_not_bring_a_dropped_object_back(
    cache: ObjectCache, woken: Woken, row: Gone
) -> None:
    cache.observe(gen.raw_object())
    if row.last == 100:
        cache.drop(KEY, uid=gen.UID)
    else:
        cache.forget(gen.raw_object(version=row.last))
    assert woken.taken() == [KEY, KEY]
    cache.observe(gen.raw_object(version=99))
    cache.observe(gen.raw_object(version=row.last))
    assert (woken.taken(), len(cache)) == ([], 0)
    # Newer than its end: it was not gone (an aggregated API that was away for a moment, say).
    cache.observe(gen.raw_object(version=row.last + 1))
    assert (woken.taken(), len(cache)) == ([KEY], 1)


def test_not_even_one_that_was_never_seen(cache: ObjectCache) -> None:
    cache.forget(gen.raw_object(version=120))
    cache.observe(gen.raw_object(version=110))
    assert len(cache) == 0


def test_another_object_of_that_name_is_let_in(cache: ObjectCache) -> None:
    cache.forget(gen.raw_object(version=120))
    cache.observe(gen.raw_object(version=110, uid=OTHER_UID))
    assert len(cache) == 1


def test_the_end_of_a_former_object_is_not_the_end_of_this_one(cache: ObjectCache) -> None:
    cache.observe(gen.raw_object(version=130, uid=OTHER_UID))
    cache.forget(gen.raw_object(version=120))
    assert version(cache) == 130


def test_the_dead_are_forgotten_when_the_list_is_complete(cache: ObjectCache) -> None:
    for name in ("a", "b"):
        cache.forget(gen.raw_object(namespace=name, version=120))
    cache.prune(set(), namespace="a", before=130)
    for name in ("a", "b"):
        cache.observe(gen.raw_object(namespace=name, version=110))
    assert cache.keys() == [f"a/{gen.NAME}"]
