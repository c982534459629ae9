"""What objects cost in requests, counted: by the kube-apiserver's own metrics and the emulator's log.

Times are measured by `make bench`, never here.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from dev.controlplane.metrics import WRITES, requests
from tests.integration.canary import CANARY
from tests.integration.world import World, ready

COUNT = 200


async def test_synced_objects_cost_their_place_in_lists(world: World) -> None:
    operator = await world.start_operator()
    before = _asked(world)
    await asyncio.to_thread(_make, world)
    await _all_ready(world)
    assert await world.control.count("create") == COUNT

    # A restart: every object is looked at, none is written, and no source is read.
    assert operator.stop() == 0
    assert (_asked(world) - before)["PATCH", "methodsecrets/status"] == COUNT
    before, seen = _asked(world), len(await world.control.requests())
    operator = await world.start_operator(RESYNC_SECONDS="1")
    await asyncio.to_thread(operator.wait_event, "resynced")
    asked = _asked(world) - before
    assert _writes(asked) == []
    assert asked["GET", "secrets"] == 1, "the digest key, and no object's Secret"
    operations = [request["operation"] for request in await world.control.requests(after=seen)]
    assert operations == ["list"] * (COUNT // 100)

    # At rest: a resync is a list there and a list here.
    await world.control.wait_for_requests(2 * COUNT // 100, after=seen, operation="list")
    assert operator.stop() == 0
    asked = _asked(world) - before
    assert _writes(asked) == []
    assert asked["GET", "secrets"] == 1
    operations = [request["operation"] for request in await world.control.requests(after=seen)]
    assert set(operations) == {"list"}


async def test_a_created_object_is_one_write_and_two_with_the_policy_delete(world: World) -> None:
    await world.start_operator()
    world.secret("kept", value=f"{CANARY}-1")
    world.secret("deleted", value=f"{CANARY}-2")
    before = _asked(world)
    world.method_secret("kept", source="kept")
    await world.until(ready(), "kept")
    world.method_secret("deleted", source="deleted", deletionPolicy="Delete")
    await world.until(ready(), "deleted")
    world.operators[0].stop()

    asked = _asked(world) - before
    assert asked["PATCH", "methodsecrets/status"] == 2
    assert asked["PATCH", "methodsecrets"] == 1, "the finalizer"
    assert asked["GET", "secrets"] == 3, "each source once, and again after the finalizer was set"
    assert asked["POST", "events"] == 2


def _make(world: World) -> None:
    for number in range(COUNT):
        world.secret(f"cost-{number}", value=f"{CANARY}-{number}")
        world.method_secret(f"cost-{number}", source=f"cost-{number}")


async def _all_ready(world: World) -> None:
    pending = {f"cost-{number}" for number in range(COUNT)}

    def done(obj: dict[str, object]) -> bool:
        if ready()(obj):
            pending.discard(str(dict(obj["metadata"])["name"]))  # type: ignore[call-overload]  # JSON
        return not pending

    await asyncio.to_thread(world._watch, "methodsecrets", None, done, 60)


def _writes(asked: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the kinds of writes, without what empties the namespaces of earlier tests meanwhile.

    Of that the operator may do nothing: its role has neither deletecollection nor writes to namespaces.
    """
    return [
        (verb, what)
        for verb, what in asked
        if verb in WRITES - {"DELETECOLLECTION"} and what.partition("/")[0] != "namespaces"
    ]


def _asked(world: World) -> Counter[tuple[str, str]]:
    """Return what the kube-apiserver was asked for; what it and its controllers do by themselves is not."""
    counts = requests(world.plane.http.get("/metrics").text)
    ours = {"methodsecrets", "secrets", "configmaps", "events", "namespaces"}
    return Counter({call: n for call, n in counts.items() if call[1].partition("/")[0] in ours})
