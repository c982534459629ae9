"""The promise, held against random histories: and each rule that it rests on, taken away, is missed by them.

A failure shows the history's trace. `make soak` looks further, and makes the history as short as it can.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from methodsecret_operator.core import decision, deletion, identity, linking, outcome, status
from methodsecret_operator.core.outcome import SERVER_ERROR_FOR
from methodsecret_operator.core.snapshot import Action, Attempt, Create, Snapshot
from methodsecret_operator.method.inventory import Inventory
from tests.faults.model.machine import WORLDS, Machine
from tests.faults.model.remote import Violation
from tests.faults.model.world import Rules

# The same histories in every run; for others, take derandomize away.
QUICK = settings(
    max_examples=300,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG = settings(
    QUICK,
    max_examples=5_000,
    stateful_step_count=150,
    derandomize=False,
    phases=[Phase.generate, Phase.shrink],
)


def machine(*worlds: Rules) -> type[Machine]:
    """Return the machine for histories in these worlds only."""
    return type("Histories", (Machine,), {"worlds": worlds, "tally": Counter()})


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_no_history_breaks_the_promise(world: Rules, record_property: Callable[[str, object], None]) -> None:
    histories = machine(world)
    run_state_machine_as_test(histories, settings=QUICK)
    record_property("figure", f"model: {world}: {dict(sorted(histories.tally.items()))}")
    assert [event for event in _must_happen(world) if not histories.tally[event]] == []


def _must_happen(world: Rules) -> Iterator[str]:
    """Yield what a run without it would show nothing of."""
    yield from ("create, its answer lost", "create, failed", "retrieve, failed")
    yield from ("delete, its answer lost", "delete, failed")
    if world.late_calls:
        yield "create, late"


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_no_long_history_breaks_the_promise(world: Rules) -> None:
    run_state_machine_as_test(machine(world), settings=LONG)


_decide, _deletion, _settle, _key = (
    decision._decide,
    deletion.decide,
    decision._settle,
    identity.idempotency_key,
)
_count = itertools.count()


def _another_key(**_: Any) -> str:  # noqa: ANN401 - none of it matters
    return f"key {next(_count)}"


def _own_key(**rest: Any) -> str:  # noqa: ANN401 - handed through
    return _key(**rest) + str(id(asyncio.get_running_loop()))  # a process of the model has a loop of its own


def _lists_are_believed(s: Snapshot, attempt: Attempt, create: Create) -> Action | None:
    long_ago = attempt.since - SERVER_ERROR_FOR
    return _settle(s, replace(attempt, failing_since=long_ago, tried_at=None), create)


def _next_at_once(snapshot: Snapshot, create: Create, *, failing: bool) -> Attempt:
    del failing
    return outcome._next(snapshot, create)


def _alive(s: Snapshot) -> Action:
    if s.object.status.id is not None:
        return _deletion(s)
    metadata = s.object.metadata.model_copy(update={"deletion_timestamp": None})
    return _decide(replace(s, object=s.object.model_copy(update={"metadata": metadata})))


class Mutant(NamedTuple):
    """A rule taken away, in a world that needs it; `seen` is part of what the model says to it."""

    reason: str
    module: Any
    name: str
    instead: Callable[..., Any]
    world: Rules
    seen: str


@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(
            "every try has another idempotency key", identity, "idempotency_key", _another_key,
            Rules(lists_fail=True), "a second secret",
        ),
        Mutant(
            "the inventory is skipped", Inventory, "of", lambda *_: (),
            Rules(keys_expire=True), "a second secret|are left",
        ),
        Mutant(
            "what the inventory has is not linked", linking, "link", lambda *_, **__: None,
            Rules(keys_expire=True), "a second secret",
        ),
        Mutant(
            "the next ordinal after an outcome that is not known", outcome, "_same", _next_at_once,
            Rules(), "a second secret|are left",
        ),
        Mutant(
            "a create that a list does not show is believed not to come any more", decision, "_settle",
            _lists_are_believed, Rules(late_calls=True), "a second secret",
        ),
        Mutant(
            "each operator has idempotency keys of its own", identity, "idempotency_key", _own_key,
            Rules(two_operators=True), "a second secret",
        ),
        Mutant(
            "a create for an object that is being deleted", deletion, "decide", _alive,
            Rules(), "a create is sent for an object that is being deleted|not ready",
        ),
        Mutant(
            "the former id is forgotten when the id moves", status, "_with", lambda entries, _: entries,
            Rules(), "is forgotten",
        ),
        Mutant(
            "what no status names is left there", deletion, "extras", lambda *_: None,
            Rules(keys_expire=True, lists_fail=True, late_calls=True), "nobody knows",
        ),
        Mutant(
            "a secret is deleted whatever its mark", deletion, "_owned", lambda *_: True,
            Rules(), "somebody else's",
        ),
    ],
    ids=lambda mutant: mutant.reason,
)  # fmt: skip
def test_a_rule_taken_away_is_missed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant.module, mutant.name, mutant.instead)
    with pytest.raises(Violation, match=mutant.seen):
        run_state_machine_as_test(machine(mutant.world), settings=QUICK)
