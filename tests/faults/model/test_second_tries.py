"""Histories of a create that is tried again after it was done in silence; random ones have found them."""

from __future__ import annotations

import pytest

from methodsecret_operator.errors import MethodError, MethodRejected, MethodUnauthorized, MethodUnavailable
from tests.faults.model.telling import told, until
from tests.faults.model.world import Rules

_TIMEOUT = MethodUnavailable(operation="create", kind="timeout")
_SERVER_ERROR = MethodUnavailable(operation="create", kind="http", status=500)


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
