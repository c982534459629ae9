"""What counts as dead, and what does not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from methodsecret_operator.runtime.liveness import Liveness
from methodsecret_operator.runtime.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from methodsecret_operator.runtime.workqueue import TimerHandle

LIMIT = 300.0


class Clock:
    """The queue's and liveness' time, moved by the test."""

    def __init__(self) -> None:
        self.time = 10_000.0

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        raise AssertionError((delay, callback))


class Watch(NamedTuple):
    """Seconds since a watch heard and tried."""

    heard: float = 0.0
    tried: float = 0.0
    at: float = 10_000.0

    @property
    def last_contact(self) -> float:
        return self.at - self.heard

    @property
    def last_try(self) -> float:
        return self.at - self.tried


def liveness(clock: Clock, queue: WorkQueue, watch: Watch | None, *, held_up: bool = False) -> Liveness:
    return Liveness(
        seconds=LIMIT,
        clock=clock.now,
        queue=queue,
        watches={"secrets": lambda: watch},
        held_up=lambda: held_up,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(timer=clock, rng=random.Random(1))  # noqa: S311 - jitter


class Row(NamedTuple):
    """A watch, and whether it is alive."""

    reason: str
    watch: Watch | None
    alive: bool


WATCHES = [
    Row("heard just now", Watch(), alive=True),
    Row("as long as a server is silent", Watch(heard=LIMIT, tried=LIMIT), alive=True),
    Row("silent and idle", Watch(heard=LIMIT + 1, tried=LIMIT + 1), alive=False),
    Row("the server is away, and is asked again and again", Watch(heard=99_999, tried=3), alive=True),
    Row("an old stream that still brings something", Watch(heard=3, tried=99_999), alive=True),
    Row("nobody needs it", None, alive=True),
]


@pytest.mark.parametrize("row", WATCHES, ids=lambda row: row.reason)
def test_a_watch(clock: Clock, queue: WorkQueue, row: Row) -> None:
    found = liveness(clock, queue, row.watch)
    said = "the watch on secrets has neither heard nor asked for 300 s"
    assert found.problem() == (None if row.alive else said)
    assert found.age("secrets") == (None if row.watch is None else row.watch.heard)


async def test_workers_that_take_nothing_up_are_dead(clock: Clock, queue: WorkQueue) -> None:
    found = liveness(clock, queue, None)
    clock.time += 10 * LIMIT
    assert found.problem() is None, "nothing is due"
    for key in ("a", "b", "c"):
        queue.add(key)
    clock.time += LIMIT
    assert found.problem() is None
    held = await queue.get()
    clock.time += LIMIT
    assert found.problem() is None, "one was taken"
    clock.time += 1
    assert found.problem() == "no object was taken up or finished for 300 s while some are due"
    queue.done(held)
    assert found.problem() is None, "one was finished"


async def test_one_look_that_takes_long_is_not_death(clock: Clock, queue: WorkQueue) -> None:
    queue.add("a")
    await queue.get()
    clock.time += 10 * LIMIT
    assert liveness(clock, queue, None).problem() is None, "nothing else is due"


def test_workers_that_have_to_wait_are_not_dead(clock: Clock, queue: WorkQueue) -> None:
    queue.add("a")
    clock.time += 10 * LIMIT
    assert liveness(clock, queue, None, held_up=True).problem() is None
    assert liveness(clock, queue, None).problem() is not None
