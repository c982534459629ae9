"""Histories that broke the promise once, step by step: random ones come by them too seldom to rely on.

Each is told with the rule that mends it taken away as well, and then must break it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.core import absence
from methodsecret_operator.core.snapshot import Snapshot
from methodsecret_operator.errors import MethodUnavailable
from methodsecret_operator.method.inventory import Inventory
from tests.faults.model.remote import Violation
from tests.faults.model.telling import told, until
from tests.faults.model.world import Rules


def applied_anew_with_its_create_open() -> None:
    with told(Rules()) as world:
        create = until(world, "create")
        world.network.arrive(create)
        world.network.lose(create, MethodUnavailable(operation="create", kind="timeout"))
        world.cluster.delete()
        world.cluster.apply({})
        world.settle()


def listed_and_not_known_when_asked() -> None:
    with told(Rules(keys_expire=True, reads_lag=True, meddling=True)) as world:
        world.method.read_lag = 200.0
        world.settle()
        world.meddle({"observedGeneration": -1})
        world.settle()
        for _ in range(3):
            world.tick(61)
            world.settle()


def replayed_and_not_known_when_asked() -> None:
    with told(Rules(reads_lag=True)) as world:
        world.method.read_lag = 200.0
        create = until(world, "create")
        world.network.arrive(create)
        world.network.lose(create, MethodUnavailable(operation="create", kind="timeout"))
        for _ in range(3):
            world.settle()
            world.tick(61)


def deleted_while_listed_and_not_known() -> None:
    with told(Rules(reads_lag=True), deletionPolicy="Delete") as world:
        world.method.read_lag = 200.0
        world.settle()
        world.cluster.delete()
        world.settle()


class History(NamedTuple):
    """A history, the rule that it needs, what it is without that, and what the model says then."""

    tell: Callable[[], None]
    module: Any
    name: str
    instead: Callable[..., Any]
    seen: str


HISTORIES = [
    History(applied_anew_with_its_create_open, Inventory, "outdate", lambda _: None, "a second secret"),
    History(listed_and_not_known_when_asked, absence, "gone", Snapshot.missed, "a second secret"),
    History(replayed_and_not_known_when_asked, absence, "gone", Snapshot.missed, "a second secret"),
    History(
        deleted_while_listed_and_not_known, absence, "contradicted", lambda *_: False, "left of a deleted"
    ),
]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.tell.__name__)
def test_the_promise_is_kept(history: History) -> None:
    history.tell()


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.tell.__name__)
def test_without_its_rule_it_is_not(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history.module, history.name, history.instead)
    with pytest.raises(Violation, match=history.seen):
        history.tell()
