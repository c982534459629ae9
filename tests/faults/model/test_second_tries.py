"""Histories of a create that is tried again after it was done in silence; random ones have found them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from methodsecret_operator.errors import MethodError, MethodRejected, MethodUnauthorized, MethodUnavailable
from tests.faults.model.network import Call
from tests.faults.model.world import Rules, World

_TIMEOUT = MethodUnavailable(operation="create", kind="timeout")
_SERVER_ERROR = MethodUnavailable(operation="create", kind="http", status=500)


@contextmanager
def _history(rules: Rules) -> Iterator[World]:
    """Give a world with an object and an operator; all trouble ends with the block, and it is checked."""
    world = World(rules)
    try:
        world.cluster.apply({})
        world.start()
        yield world
        world.heal()
        world.check_at_rest()
    finally:
        for process in world.processes:
            process.kill()


def _create(world: World) -> Call:
    """Answer everything up to the next create, and return that; a pause before a retry passes."""
    for _ in range(100):
        found = next((call for call in world.network.calls if call.operation.startswith("create")), None)
        if found is not None:
            return found
        for process in world.processes:
            process.deliver(objects=1, secrets=1)
        if world.network.calls:
            world.network.deliver(world.network.calls[0])
        else:
            world.tick(1)
    raise AssertionError("no create is sent")


@pytest.mark.parametrize(
    "refusal",
    [
        MethodUnauthorized(operation="create", kind="http", status=401),
        MethodUnauthorized(operation="create", kind="http", status=403),
        MethodRejected(operation="create", kind="http", status=422),
    ],
    ids=lambda refusal: str(refusal.status),
)
def test_a_create_that_was_done_in_silence_and_is_refused_when_asked_again(refusal: MethodError) -> None:
    """As when an API key is revoked while Method is slow: the next ordinal would make a second secret."""
    with _history(Rules()) as world:
        first = _create(world)
        world.network.arrive(first)
        world.network.lose(first, _TIMEOUT)
        world.network.lose(_create(world), refusal)


@pytest.mark.parametrize("lag", [0.0, 300.0], ids=["", "lists lag"])
def test_a_create_that_is_done_and_answered_with_a_5xx_at_the_end_of_a_long_silence(lag: float) -> None:
    """Had the ten minutes counted from the first try, no list were waited for after the last."""
    with _history(Rules(lists_fail=lag > 0)) as world:
        world.method.list_lag = lag
        world.network.lose(_create(world), _TIMEOUT)
        world.clock.seconds += 650
        last = _create(world)
        world.network.arrive(last)
        world.network.lose(last, _SERVER_ERROR)
