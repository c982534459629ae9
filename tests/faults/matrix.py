"""Runs a scenario: once undisturbed, to see what the operator sends, and then once for each point of that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from dev.operator_process import OperatorProcess, OperatorProcessError
from tests.faults.place import Place
from tests.faults.proxy import Hold, Point, Recorded, When
from tests.faults.scenarios import Scenario, problems

Places = Callable[[], AbstractAsyncContextManager[Place]]

AT_ONCE = 6
"""Points run side by side: an operator waits for the kube-apiserver for a good part of its life."""


async def record(scenario: Scenario, places: Places) -> list[Recorded]:
    """Return what the operator sends in an undisturbed run, from the change until all is done."""
    async with places() as place:
        operator, since = await _to_the_change(scenario, place)
        await scenario.settled(place)
        await _all_sent(scenario, place, since)
        log = place.proxy.log[since:]
        await asyncio.to_thread(operator.stop)
        assert await problems(scenario, place) == [], "undisturbed"
        return log


def points(log: list[Recorded]) -> list[Point]:
    """Return the points of a recorded run, each once."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for sent in log:
        seen[sent.end, sent.label] += 1
        found.append(Point(sent.end, sent.label, seen[sent.end, sent.label]))
    return found


async def kill_everywhere(
    scenario: Scenario, kills: list[Point], places: Places, *, forget: bool
) -> list[str]:
    """Kill before and after each point, each in a place of its own; return what went wrong where."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(point: Point, when: When) -> str | None:
        async with free:
            try:
                async with places() as place:
                    found = await _kill_at(scenario, point, when, place, forget=forget)
            except (AssertionError, OperatorProcessError) as error:
                found = [str(error)]
            return f"killed {when} {point}: {'; '.join(found)}" if found else None

    sides: tuple[When, When] = ("before", "after")
    done = await asyncio.gather(*(one(point, when) for point in kills for when in sides))
    return [problem for problem in done if problem is not None]


async def _all_sent(scenario: Scenario, place: Place, since: int) -> None:
    """Wait for what has nothing to do with the scenario's end: the watch, after a start, and the Events."""
    if scenario.change is None:
        await place.until_watching(after=since)

    def posted(log: list[Recorded]) -> bool:
        events = [record for record in log[since:] if record.label == "POST events"]
        return len(events) >= scenario.events and all(record.status is not None for record in events)

    await place.proxy.until(posted)


async def _kill_at(scenario: Scenario, point: Point, when: When, place: Place, *, forget: bool) -> list[str]:
    hold = Hold(point, when)
    operator, _ = await _to_the_change(scenario, place, hold=hold)
    try:
        await asyncio.wait_for(hold.reached.wait(), 30)
    except TimeoutError:
        return ["it was never sent"]
    operator.kill()
    hold.drop()
    await scenario.killed(place)
    if forget:
        await place.control.forget_idempotency()
    restarted = len(place.proxy.log)
    await place.start_operator(wait=False)
    await scenario.settled(place)
    await place.until_watching(after=restarted)
    await asyncio.to_thread(place.operators[-1].stop)
    return await problems(scenario, place)


async def _to_the_change(
    scenario: Scenario, place: Place, *, hold: Hold | None = None
) -> tuple[OperatorProcess, int]:
    """Do all up to and with the change; return the operator, and where in the log the change begins."""
    if scenario.change is None:
        await scenario.given(place)
        place.proxy.hold = hold
        return await place.start_operator(wait=False), 0
    operator = await place.start_operator()
    await place.until_watching()
    await scenario.given(place)
    place.proxy.hold = hold
    since = len(place.proxy.log)
    await scenario.change(place)
    return operator, since
