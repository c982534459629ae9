"""Leader election with operators as processes: one works, the next takes over, the loser ends, no duplicate.

The Lease holds 3 s here. How long a takeover took is printed at the end and never asserted: that it came when
it may is told by the Lease's own fields, by logs, and by Leases that hold longer than a test waits.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from dev.operator_process import OperatorProcess
from tests.integration.canary import CANARY
from tests.integration.conftest import SYSTEM
from tests.integration.world import Object, World, ready

SECONDS = 3
LONG = 300
"""Seconds that a Lease holds that must not be waited for."""

MARGIN = 20.0
"""Seconds for a look at the Lease every 0.4 s, and a machine with other things to do."""

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/methodsecret-operator"


@pytest.fixture(autouse=True)
def _no_lease(world: World) -> None:
    """Begin without the Lease of another test's operators, which are gone."""
    world.plane.http.delete(LEASE)


async def _start(world: World, seconds: int = SECONDS) -> OperatorProcess:
    return await world.start_operator(
        wait=False, LEADER_ELECTION="true", LEASE_SECONDS=str(seconds), LOG_LEVEL="DEBUG"
    )


async def _pair(world: World, leads_for: int = SECONDS) -> tuple[OperatorProcess, OperatorProcess]:
    """Start a leader, and then a standby."""
    leader = await _start(world, leads_for)
    await asyncio.to_thread(leader.wait_ready)
    standby = await _start(world)
    await asyncio.to_thread(standby.wait_event, "standing by")
    return leader, standby


def _lease(world: World) -> Object:
    return dict(world.plane.http.get(LEASE).raise_for_status().json())


def _since_renewed(before: Object, after: Object) -> float:
    """Return the seconds from the last renewal of one holder until the next took the Lease."""
    renewed, acquired = before["spec"]["renewTime"], after["spec"]["acquireTime"]
    return (datetime.fromisoformat(acquired) - datetime.fromisoformat(renewed)).total_seconds()


def _edit_lease(world: World, **spec: object) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    world.plane.http.patch(LEASE, headers=headers, json={"spec": spec}).raise_for_status()


def _start_apiserver(world: World) -> None:
    """Start it, and wait until it serves MethodSecrets as well: some seconds of 429 after it is ready."""
    world.plane.start_apiserver()
    deadline = time.monotonic() + 30
    while (answer := world.plane.http.get(world.path("methodsecrets"))).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)  # nothing to wait on: the server says 429 or 404 until it is there


async def _stored(world: World) -> list[dict[str, Any]]:
    return [secret for secret in await world.control.secrets() if secret["status"] == "active"]


async def test_one_works_and_the_other_only_looks(world: World) -> None:
    leader, standby = await _pair(world)
    world.secret()
    world.method_secret()
    obj = await world.until(ready())
    assert [secret["id"] for secret in await _stored(world)] == [obj["status"]["id"]]
    assert '"running"' not in standby.log_text()
    assert obj["status"]["id"] in leader.log_text()
    assert obj["status"]["id"] not in standby.log_text()
    assert await asyncio.to_thread(standby.stop) == 0
    assert leader.running, "a standby that goes does not touch the Lease"
    assert _lease(world)["spec"]["holderIdentity"] in leader.log_text()


async def test_a_standby_takes_over_from_a_killed_leader(
    world: World,
    record_property: Callable[[str, object], None],
) -> None:
    leader, standby = await _pair(world)
    world.secret()
    first = world.method_secret()
    await world.until(ready())
    killed = time.monotonic()
    leader.kill()
    left = _lease(world)
    world.secret("second")
    world.method_secret("second", source="second")
    await world.until(ready(), "second", seconds=SECONDS + MARGIN)
    took = time.monotonic() - killed
    record_property("figure", f"failover after SIGKILL: {took:.2f} s with a Lease of {SECONDS} s")
    assert _since_renewed(left, _lease(world)) >= SECONDS, "not while the dead leader's Lease holds"
    assert len(await _stored(world)) == 2
    assert world.get()["metadata"]["uid"] == first["metadata"]["uid"]
    assert _lease(world)["spec"]["leaseTransitions"] == 1
    assert await asyncio.to_thread(standby.stop) == 0


async def test_what_the_leader_has_written_is_believed_by_its_successor(world: World) -> None:
    """Where it was not, an adopted id would be given up: only the status says that it is ours."""
    (theirs,) = await world.control.seed(1, api_key="sk_test_default")
    leader, standby = await _pair(world)
    world.secret()
    world.method_secret(adopt={"id": theirs})
    await world.until(ready("Adopted"))
    generation = world.method_secret()["metadata"]["generation"]
    await world.until(lambda obj: obj["status"]["observedGeneration"] == generation)
    world.method_secret("own")
    await world.until(ready(), "own")
    before = {name: world.get(name)["metadata"]["resourceVersion"] for name in ("acme", "own")}
    leader.kill()
    await asyncio.to_thread(standby.wait_event, "resynced")
    world.method_secret("fence")  # comes after what the resync has queued
    await world.until(ready(), "fence")
    after = {name: world.get(name)["metadata"]["resourceVersion"] for name in ("acme", "own")}
    assert after == before
    assert await world.control.count("retrieve") == 1, "the leader's, to adopt"
    assert await world.control.count("create") == 2


async def test_a_standby_takes_over_at_once_from_a_leader_that_is_stopped(
    world: World,
    record_property: Callable[[str, object], None],
) -> None:
    leader, standby = await _pair(world, LONG)
    world.secret()
    world.method_secret()
    await world.until(ready())
    leader.signal(signal.SIGTERM)
    assert await asyncio.to_thread(leader.wait) == 0
    assert '"lease released"' in leader.log_text()
    ended = time.monotonic()
    await asyncio.to_thread(standby.wait_ready)
    took = time.monotonic() - ended
    record_property("figure", f"failover after SIGTERM: {took:.2f} s, looking every {SECONDS * 2 / 15:g} s")
    assert len(await _stored(world)) == 1


async def test_a_leader_that_stood_still_ends_and_makes_no_duplicate(world: World) -> None:
    leader, standby = await _pair(world)
    leader.signal(signal.SIGSTOP)
    world.secret()
    world.method_secret()
    await asyncio.to_thread(standby.wait_ready)
    obj = await world.until(ready())
    leader.signal(signal.SIGCONT)  # it has everything to do that the other has done meanwhile
    assert await asyncio.to_thread(leader.wait, MARGIN) == 1
    assert "the lease is lost" in leader.log_text()
    assert [secret["id"] for secret in await _stored(world)] == [obj["status"]["id"]]
    assert world.get()["status"]["id"] == obj["status"]["id"]
    assert await world.control.count("create") == 1


@pytest.mark.parametrize("deleted", [False, True], ids=["given to another", "deleted"])
async def test_a_leader_whose_lease_is_taken_away_ends_at_once(world: World, deleted: bool) -> None:  # noqa: FBT001 - a parameter
    leader = await _start(world)
    await asyncio.to_thread(leader.wait_ready)
    if deleted:
        world.plane.http.delete(LEASE).raise_for_status()
    else:
        _edit_lease(world, holderIdentity="somebody-else")
    assert await asyncio.to_thread(leader.wait, MARGIN) == 1
    expected = "somebody has deleted it" if deleted else "it is held by somebody-else"
    assert expected in leader.log_text(), "at the next renewal, not at the deadline"


async def test_a_leader_ends_when_the_lease_cannot_be_renewed(world: World) -> None:
    leader = await _start(world)
    await asyncio.to_thread(leader.wait_ready)
    world.plane.stop_apiserver()
    try:
        assert await asyncio.to_thread(leader.wait, SECONDS + MARGIN) == 1
    finally:
        await asyncio.to_thread(_start_apiserver, world)
    assert "it was not renewed for 2 s" in leader.log_text(), "before another may begin: they hold 3 s"


async def test_a_short_outage_of_the_apiserver_costs_nothing(world: World) -> None:
    leader = await world.start_operator(LEADER_ELECTION="true", LEASE_SECONDS="60")
    world.plane.stop_apiserver()
    await asyncio.to_thread(_start_apiserver, world)
    world.secret()
    world.method_secret()
    await world.until(ready(), seconds=30)
    assert leader.running


async def test_a_lease_that_somebody_else_lets_go_or_lets_run_out_is_taken(world: World) -> None:
    body = {
        "metadata": {"name": "methodsecret-operator", "labels": {"kept": "yes"}},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 1,
            "renewTime": "2999-01-01T00:00:00.000000Z",
        },
    }
    world.plane.http.post(LEASE.rsplit("/", 1)[0], json=body).raise_for_status()
    operator = await _start(world)
    await asyncio.to_thread(operator.wait_ready)
    taken = _lease(world)
    assert taken["spec"]["holderIdentity"] in operator.log_text()
    assert taken["spec"]["leaseDurationSeconds"] == SECONDS
    assert taken["metadata"]["labels"] == {"kept": "yes"}
    assert await asyncio.to_thread(operator.stop) == 0
    assert not _lease(world)["spec"].get("holderIdentity")


COUNT = 200


async def test_two_operators_forced_to_run_at_once_make_no_duplicate(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    await world.control.change_settings(writes_per_minute=0, reads_per_minute=0)
    fast: dict[str, Any] = {
        "LEADER_ELECTION": "false",
        "WRITES_PER_MINUTE": "1000000",
        "READS_PER_MINUTE": "1000000",
    }
    both = [await world.start_operator(**fast), await world.start_operator(**fast)]

    def apply() -> None:
        for number in range(COUNT):
            world.secret(f"s-{number}", value=f"{CANARY}-{number}")
            world.method_secret(f"s-{number}", source=f"s-{number}")

    await asyncio.to_thread(apply)
    pending = {f"s-{number}" for number in range(COUNT)}
    synced = ready()

    def done(obj: Object) -> bool:
        if synced(obj):
            pending.discard(obj["metadata"]["name"])
        return not pending

    await asyncio.to_thread(world._watch, "methodsecrets", None, done, 100)
    for operator in both:
        assert await asyncio.to_thread(operator.stop) == 0
    stored = {secret["id"]: secret for secret in await world.control.secrets()}
    objects = world.list()
    assert len(objects) == COUNT
    assert {obj["status"]["id"] for obj in objects} == set(stored), "one secret for each object, no more"
    for obj in objects:
        assert synced(obj)
        marker = stored[obj["status"]["id"]]["metadata"]
        assert marker["k8s_uid"] == obj["metadata"]["uid"]
        assert marker["k8s_revision"] == obj["status"]["source"]["revision"]
        assert not obj["status"].get("superseded")
    ids = [secret_id for secret_id in stored if all(secret_id in one.log_text() for one in both)]
    assert ids, "the two have never met: nothing was shown"
    record_property("figure", f"two operators at once: {len(ids)} of {COUNT} ids were in the hands of both")
