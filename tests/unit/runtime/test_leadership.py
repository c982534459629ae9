"""Leader election as a state machine: its clock and its pauses are the test's; the Lease lives in a dict.

The same against a real kube-apiserver, with processes: tests/integration/test_leadership.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.errors import KubeConflict, KubeError, KubeForbidden, KubeNotFound, KubeUnavailable
from methodsecret_operator.kube import lease as leases
from methodsecret_operator.kube.lease import Lease
from methodsecret_operator.runtime.leadership import Leadership, LeaseLostError, Watched

SECONDS = 15
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def held(holder: str = "other", *, seconds: object = SECONDS, renewed: str = "1") -> Lease:
    return Lease(
        {
            "metadata": {"name": "l", "resourceVersion": "1"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": renewed},
        }
    )


class Row(NamedTuple):
    """What was read and when; whether it may be taken at the last of these looks."""

    reason: str
    looks: list[tuple[float, Lease]]
    free: bool


ROWS = [
    Row("nobody holds it", [(0, held(""))], free=True),
    Row("it has no record at all", [(0, leases.new("ns", "l"))], free=True),
    Row("seen for the first time: its age is not known, whatever it says", [(1000, held())], free=False),
    Row("heard of a moment ago", [(0, held()), (14.9, held())], free=False),
    Row("not heard of for as long as it said", [(0, held()), (15, held())], free=True),
    Row("its holder's own duration counts", [(0, held(seconds=60)), (59, held(seconds=60))], free=False),
    Row("no duration: ours counts", [(0, held(seconds=None)), (15, held(seconds=None))], free=True),
    Row(
        "a renewal starts the time anew",
        [(0, held()), (14, held(renewed="2")), (28, held(renewed="2"))],
        free=False,
    ),
    Row("so does another holder", [(0, held()), (14, held("third")), (28, held("third"))], free=False),
    Row("a renewal seen late counts from then", [(0, held()), (99, held(renewed="2"))], free=False),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.reason)
def test_when_a_lease_may_be_taken(row: Row) -> None:
    watched = Watched(seconds=SECONDS)
    assert [watched.free(lease, now=now) for now, lease in row.looks][-1] is row.free


def test_what_is_written() -> None:
    lease = Lease({"metadata": {"labels": {"a": "b"}}, "spec": {"leaseTransitions": 4, "strategy": "kept"}})
    claimed = lease.claimed(holder="me", seconds=15, now=NOW)
    stamp = "2026-01-02T03:04:05.000678Z"
    assert claimed.document == {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "strategy": "kept",
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": 5,
        },
    }
    assert claimed.released(now=NOW).holder is None
    assert claimed.renewed(seconds=15, now=NOW.replace(year=2027)).spec["acquireTime"] == stamp
    assert leases.new("ns", "l").claimed(holder="me", seconds=15, now=NOW).spec["leaseTransitions"] == 0


class Server:
    """A Lease under its optimistic lock; `faults` are raised first, one a call."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0
        self.faults: list[Exception] = []
        self.writes = 0

    async def get_lease(self, namespace: str, name: str) -> Lease:
        del namespace, name
        self._fail()
        if self.lease is None:
            raise KubeNotFound(verb="get", what="l", status=404)
        return self.lease

    async def write_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        del namespace, name
        self._fail()
        sent = lease.document["metadata"].get("resourceVersion")
        if self.lease is None and sent:
            raise KubeNotFound(verb="update", what="l", status=404)
        if self.lease is not None and sent != str(self.version):
            raise KubeConflict(verb="update", what="l", status=409)
        self.writes += 1
        return self.put(lease.document)

    def put(self, document: Any) -> Lease:  # noqa: ANN401 - JSON
        """Write over whatever is there."""
        self.version += 1
        self.lease = Lease(
            {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}
        )
        return self.lease

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


class World:
    """A clock that moves by the pauses of the code, and what happens at each of them."""

    def __init__(self) -> None:
        self.server = Server()
        self.time = 100.0
        self.pauses: list[float] = []
        self.during: Callable[[int], None] = lambda _: None
        self.leadership = Leadership(
            kube=self.server,
            namespace="ns",
            name="l",
            identity="me",
            seconds=SECONDS,
            clock=lambda: self.time,
            now=lambda: NOW,
            sleep=self.sleep,
            rng=random.Random(1),  # noqa: S311 - jitter
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds
        self.during(len(self.pauses))
        await asyncio.sleep(0)


class _EnoughError(Exception):
    """The test has seen what it wanted."""


def _stop_after(count: int) -> Callable[[int], None]:
    def during(pause: int) -> None:
        if pause >= count:
            raise _EnoughError

    return during


def unavailable() -> KubeError:
    return KubeUnavailable(verb="update", what="l", kind="connection")


async def test_the_first_makes_the_lease_and_renews_it() -> None:
    world = World()
    world.during = _stop_after(4)
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    assert world.leadership.acquired.is_set()
    assert world.pauses == [2.0] * 4
    assert world.server.writes == 4
    assert world.server.lease is not None
    assert world.server.lease.holder == "me"


async def test_a_standby_waits_for_the_whole_duration_and_then_takes_it() -> None:
    world = World()
    world.server.put(held().document)

    def during(_: int) -> None:
        if world.leadership.acquired.is_set():
            raise _EnoughError

    world.during = during
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    waiting = world.pauses[:-1]
    assert SECONDS <= sum(waiting) < SECONDS + 2.4
    assert all(2.0 <= pause <= 2.4 for pause in waiting)
    assert len(set(waiting)) > 1, "several that wait do not all ask at once"


@pytest.mark.parametrize(
    "fault",
    [unavailable(), TimeoutError(), KubeForbidden(verb="get", what="l", status=403)],
    ids=["away", "no answer", "no rights yet"],
)
async def test_a_candidate_outlives_what_fails(fault: Exception) -> None:
    world = World()
    world.server.faults = [fault]
    world.during = _stop_after(3)
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    assert world.leadership.acquired.is_set()


async def test_of_two_that_try_at_once_the_slower_waits() -> None:
    world = World()
    world.server.faults = [KubeNotFound(verb="get", what="l"), KubeConflict(verb="create", what="l")]
    world.server.put(held().document)
    world.during = _stop_after(2)
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    assert not world.leadership.acquired.is_set()


async def test_a_failed_renewal_is_tried_again_until_the_deadline() -> None:
    world = World()
    world.during = lambda pause: world.server.faults.append(unavailable()) if pause < 20 else None
    with pytest.raises(LeaseLostError, match="not renewed for 10 s"):
        await world.leadership.run()
    assert world.time == 110.0, "10 s after the last renewal was sent, well before the 15 s of the others"


async def test_one_success_before_the_deadline_is_enough() -> None:
    world = World()

    def during(pause: int) -> None:
        if pause <= 3:
            world.server.faults.append(unavailable())
        if pause > 9:
            raise _EnoughError

    world.during = during
    with pytest.raises(_EnoughError):
        await world.leadership.run()


async def test_a_write_that_arrived_although_its_answer_did_not_is_known_again() -> None:
    world = World()

    def during(pause: int) -> None:
        if pause == 1:
            assert world.server.lease is not None
            world.server.put(world.server.lease.document)
        elif pause > 2:
            raise _EnoughError

    world.during = during
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    assert world.server.writes == 3


async def test_who_stood_still_does_not_ask_but_ends() -> None:
    world = World()

    def during(_: int) -> None:
        world.time += 3600

    world.during = during
    with pytest.raises(LeaseLostError, match="not renewed"):
        await world.leadership.run()
    assert world.server.writes == 1, "the Lease may be another's by now"


@pytest.mark.parametrize(
    ("taken", "said"),
    [(held("other"), "held by other"), (held(""), "held by nobody"), (None, "deleted")],
    ids=["by another", "emptied", "deleted"],
)
async def test_a_lease_taken_away_is_lost_at_the_next_renewal(taken: Lease | None, said: str) -> None:
    world = World()

    def during(_: int) -> None:
        if taken is None:
            world.server.lease = None
        else:
            world.server.put(taken.document)

    world.during = during
    with pytest.raises(LeaseLostError, match=said):
        await world.leadership.run()
    assert world.pauses == [2.0]
    await world.leadership.release()
    assert world.server.writes == 1, "another's Lease is not let go"


async def test_release_lets_go_what_is_held_and_only_that() -> None:
    world = World()
    await world.leadership.release()
    assert world.server.writes == 0
    world.during = _stop_after(1)
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    await world.leadership.release()
    assert world.server.lease is not None
    assert world.server.lease.holder is None
    world.server.faults = [unavailable()]
    await world.leadership.release()
    assert world.server.writes == 2


async def test_a_failed_release_is_no_failure() -> None:
    world = World()
    world.during = _stop_after(1)
    with pytest.raises(_EnoughError):
        await world.leadership.run()
    world.server.faults = [unavailable()]
    await world.leadership.release()
    assert not world.server.faults
