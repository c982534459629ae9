"""Tells a history of the model step by step: a world that is checked at its end, and the way to a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.model.network import Call
from tests.faults.model.world import Rules, World

_STEPS = 1000
"""More than any history takes to its next call: that one does not come is to be seen."""


@contextmanager
def told(rules: Rules, **spec: Any) -> Iterator[World]:  # noqa: ANN401 - any JSON
    """Give a world with an object and an operator; check it at the end, when all trouble is over."""
    world = World(rules)
    try:
        world.cluster.apply(spec)
        world.start()
        yield world
        world.heal()
        world.check_at_rest()
    finally:
        for process in world.processes:
            process.kill()


def until(world: World, operation: str) -> Call:
    """Answer everything up to a call of this operation, and return that; a pause before a retry passes."""
    for _ in range(_STEPS):
        found = next((call for call in world.network.calls if call.operation.startswith(operation)), None)
        if found is not None:
            return found
        for process in world.processes:
            process.deliver(objects=1, secrets=1)
        if world.network.calls:
            world.network.deliver(world.network.calls[0])
        else:
            world.tick(1)
    raise AssertionError(f"no {operation} is sent")
