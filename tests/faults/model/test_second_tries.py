"""Histories of a create that is tried again after it was done in silence; random ones have found them."""

from __future__ import annotations

import pytest

from methodsecret_operator.errors import MethodError, MethodRejected, MethodUnauthorized, MethodUnavailable
from tests.faults.model.telling import told, until
from tests.faults.model.world import Rules

_TIMEOUT = MethodUnavailable(operation="create", kind="timeout")
_SERVER_ERROR = MethodUnavailable(operation="create", kind="http", status=500)

refused = pytest.mark.parametrize(
    "refusal",
    [
        MethodUnauthorized(operation="create", kind="http", status=401),
        MethodUnauthorized(operation="create", kind="http", status=403),
        MethodRejected(operation="create", kind="http", status=422),
    ],
    ids=lambda refusal: str(refusal.status),
)


@refused
def test_a_create_that_was_done_in_silence_and_is_refused_when_asked_again(refusal: MethodError) -> None:
    """As when an API key is revoked while Method is slow: the next ordinal would make a second secret."""
    with told(Rules()) as world:
        first = until(world, "create")
        world.network.arrive(first)
        world.network.lose(first, _TIMEOUT)
        world.network.lose(until(world, "create"), refusal)


@pytest.mark.parametrize("lag", [0.0, 300.0], ids=["", "lists lag"])
def test_a_create_that_is_done_and_answered_with_a_5xx_at_the_end_of_a_long_silence(lag: float) -> None:
    """Had the ten minutes counted from the first try, no list were waited for after the last."""
    with told(Rules(lists_fail=lag > 0)) as world:
        world.method.list_lag = lag
        world.network.lose(until(world, "create"), _TIMEOUT)
        world.clock.seconds += 650
        last = until(world, "create")
        world.network.arrive(last)
        world.network.lose(last, _SERVER_ERROR)


@refused
@pytest.mark.parametrize("lists", ["refused", "lag"])
def test_a_create_that_is_done_after_two_refusals_and_whose_process_dies(
    refusal: MethodError, lists: str
) -> None:
    """Had each refusal taken the key with it, the next process would go by one that Method has never seen."""
    with told(Rules(lists_fail=True)) as world:
        world.method.refuses_lists, world.method.list_lag = lists == "refused", 300.0 * (lists == "lag")
        for _ in range(2):
            world.network.lose(until(world, "create"), refusal)
            world.tick(601)
            for process in world.processes:
                process.resync()
        done = until(world, "create")
        world.network.arrive(done)
        world.kill(world.processes[0])
        world.start()
        world.settle()


@refused
def test_a_refusal_before_the_create_and_a_status_that_is_wiped_later(refusal: MethodError) -> None:
    """Neither list nor status tells how often it was tried: the keys have to."""
    with told(Rules(lists_fail=True, meddling=True)) as world:
        world.method.refuses_lists = True
        world.network.lose(until(world, "create"), refusal)
        world.tick(601)
        for process in world.processes:
            process.resync()
        world.network.deliver(until(world, "create"))
        world.settle()
        world.kill(world.processes[0])
        world.meddle({"observedGeneration": -1})
        world.start()
        world.settle()


def test_an_object_that_is_applied_anew_while_lists_lag() -> None:
    """It makes another key: all that tells of its predecessor's secret is what was answered to that."""
    with told(Rules(lists_fail=True)) as world:
        world.method.list_lag = 300.0
        world.settle()
        [process] = world.processes
        [made] = world.ours
        assert made.marker is not None
        world.cluster.delete()
        world.settle()
        world.tick(1)
        process.scan()  # for another object of the account
        world.settle()
        world.cluster.apply({})
        world.settle()
        assert world.method.twins(made.marker.owner, made.marker.revision) == [made]
