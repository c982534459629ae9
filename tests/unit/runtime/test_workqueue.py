"""The work queue: its promises one by one, then under every order of events that hypothesis finds."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from methodsecret_operator.runtime.workqueue import (
    BASE_SECONDS,
    FEW,
    MAX_SECONDS,
    LoopTimer,
    QueueClosed,
    WorkQueue,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeHandle:
    """A call that can be called off."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeTimer:
    """A clock that goes when told to, calling what falls due on the way, in order."""

    def __init__(self) -> None:
        self.time = 0.0
        self._calls: list[tuple[float, int, FakeHandle]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeHandle:
        handle = FakeHandle(callback)
        heapq.heappush(self._calls, (self.time + delay, next(self._order), handle))
        return handle

    def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while self._calls and self._calls[0][0] <= end:
            self.time, _, handle = heapq.heappop(self._calls)
            if handle.callback is not None:
                handle.callback()
        self.time = end

    @property
    def pending(self) -> int:
        return sum(handle.callback is not None for _, _, handle in self._calls)


@pytest.fixture
def timer() -> FakeTimer:
    return FakeTimer()


@pytest.fixture
def queue(timer: FakeTimer) -> WorkQueue:
    return WorkQueue(timer=timer, rng=random.Random(1))  # noqa: S311 - jitter, not secrets


async def take_all(queue: WorkQueue) -> list[str]:
    """Take what is ready, and give it back at once."""
    taken = []
    for _ in range(len(queue)):
        taken.append(await queue.get())
        queue.done(taken[-1])
    return taken


async def settle() -> None:
    """Let every task that can run, run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served_and_once_each(queue: WorkQueue) -> None:
    for key in ("b", "a", "b", "c", "a"):
        queue.add(key)
    assert len(queue) == 3
    assert await take_all(queue) == ["b", "a", "c"]


async def test_what_is_added_while_processing_is_handed_out_exactly_once_more(queue: WorkQueue) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    for _ in range(5):
        queue.add("a")
    assert len(queue) == 0, "nobody else may get it before done"
    queue.done("a")
    assert await take_all(queue) == ["a"]


async def test_a_delay_is_kept_to_the_second(queue: WorkQueue, timer: FakeTimer) -> None:
    queue.add_after("a", 10)
    timer.advance(9.999)
    assert (len(queue), queue.delayed) == (0, 1)
    timer.advance(0.001)
    assert (len(queue), queue.delayed) == (1, 0)


async def test_the_earlier_due_time_wins(queue: WorkQueue, timer: FakeTimer) -> None:
    for seconds in (10, 60, 5, 30):
        queue.add_after("a", seconds)
    timer.advance(5)
    assert await take_all(queue) == ["a"]
    timer.advance(100)
    assert len(queue) == 0, "the other times are superseded, not queued"
    assert timer.pending == 0


async def test_add_takes_the_place_of_a_delay(queue: WorkQueue, timer: FakeTimer) -> None:
    queue.add_after("a", 10)
    queue.add("a")
    assert await take_all(queue) == ["a"]
    timer.advance(20)
    assert len(queue) == 0
    assert timer.pending == 0


async def test_a_delay_does_nothing_for_a_key_that_is_ready_or_added_again(
    queue: WorkQueue, timer: FakeTimer
) -> None:
    queue.add("a")
    queue.add_after("a", 10)
    assert await queue.get() == "a"
    queue.add("a")
    queue.add_after("a", 10)
    queue.done("a")
    assert await take_all(queue) == ["a"]
    assert timer.pending == 0


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_delay_is_ready_at_once(queue: WorkQueue, seconds: float) -> None:
    queue.add_after("a", seconds)
    assert await take_all(queue) == ["a"]


async def test_a_delay_that_ends_while_processing_waits_for_done(queue: WorkQueue, timer: FakeTimer) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add_after("a", 10)
    timer.advance(10)
    assert len(queue) == 0
    queue.done("a")
    assert await take_all(queue) == ["a"]


async def test_backoff_doubles_within_its_bounds_and_forget_resets_it(timer: FakeTimer) -> None:
    class Upper(random.Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0
            return b

    queue = WorkQueue(timer=timer, rng=Upper())
    delays = [queue.retry("a") for _ in range(11)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert queue.retries("a") == 11
    assert queue.retry("b") == BASE_SECONDS, "each key has its own backoff"
    queue.forget("a")
    assert queue.retries("a") == 0
    assert queue.retry("a") == BASE_SECONDS


async def test_backoff_never_overflows(queue: WorkQueue) -> None:
    assert all(0 <= queue.retry("a") <= MAX_SECONDS for _ in range(2000))


async def test_jitter_spreads_over_the_whole_span(queue: WorkQueue) -> None:
    delays = [queue.retry(f"key-{number}") for number in range(1000)]
    assert min(delays) < 0.05 * BASE_SECONDS
    assert max(delays) > 0.95 * BASE_SECONDS


async def test_a_retry_becomes_ready_after_its_delay(queue: WorkQueue, timer: FakeTimer) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    delay = queue.retry("a")
    queue.done("a")
    assert len(queue) == 0
    timer.advance(delay)
    assert await take_all(queue) == ["a"]


async def test_add_during_backoff_is_served_now_and_keeps_the_count(queue: WorkQueue) -> None:
    queue.retry("a")
    queue.add("a")
    assert await take_all(queue) == ["a"]
    assert queue.retries("a") == 1


async def test_fresh_keys_and_retries_take_turns(queue: WorkQueue, timer: FakeTimer) -> None:
    for number in range(100):
        queue.add_after(f"old-{number}", 1)
    timer.advance(1)
    queue.add("fresh-0")
    queue.add("fresh-1")
    assert (await take_all(queue))[:5] == ["fresh-0", "old-0", "fresh-1", "old-1", "old-2"]


async def test_a_fresh_key_does_not_wait_for_all_that_refer_to_one_secret(
    queue: WorkQueue, timer: FakeTimer
) -> None:
    for number in range(100):
        queue.add_referring(f"shared-{number}")
        queue.add_after(f"old-{number}", 1)
    timer.advance(1)
    queue.add("fresh-0")
    queue.add("fresh-1")
    taken = await take_all(queue)
    assert taken[:6] == ["fresh-0", "shared-0", "old-0", "fresh-1", "shared-1", "old-1"]
    assert sorted(taken) == sorted({*taken})


async def test_only_so_many_are_in_hand_that_nobody_waits_for(timer: FakeTimer) -> None:
    queue = WorkQueue(timer=timer, rng=random.Random(1), unawaited=2)  # noqa: S311 - jitter, not secrets
    for number in range(3):
        queue.add_referring(f"shared-{number}")
    queue.add_after("old", 1)
    timer.advance(1)
    held = [await queue.get() for _ in range(2)]
    assert held == ["shared-0", "old"]
    idle = [asyncio.create_task(queue.get()) for _ in range(2)]
    await settle()
    assert not any(worker.done() for worker in idle), "two are in hand"
    queue.add("fresh")
    await settle()
    assert [worker.result() for worker in idle if worker.done()] == ["fresh"]
    queue.done("fresh")
    await settle()
    assert not all(worker.done() for worker in idle), "it has made no room for another"
    queue.done("old")
    await settle()
    assert sorted(worker.result() for worker in idle) == ["fresh", "shared-1"]


async def test_a_few_that_depend_on_one_thing_are_changed_with_it_and_a_crowd_is_not(
    queue: WorkQueue,
) -> None:
    queue.add_dependents([f"crowd-{number}" for number in range(FEW + 1)])
    queue.add_dependents([f"few-{number}" for number in range(FEW)])
    queue.add("fresh")
    taken = await take_all(queue)
    assert taken[:4] == ["few-0", "crowd-0", "few-1", "crowd-1"], "two lanes, in turn"
    assert taken.index("few-7") < taken.index("fresh") < taken.index("crowd-8"), "few in the changed one's"


async def test_each_lane_gets_its_turn_where_one_at_most_may_be_in_hand_that_nobody_waits_for(
    timer: FakeTimer,
) -> None:
    """A worker that takes a change meanwhile must not begin the round anew: the last lane would starve."""
    queue = WorkQueue(timer=timer, rng=random.Random(1), unawaited=1)  # noqa: S311 - jitter, not secrets
    for number in range(9):
        queue.add(f"fresh-{number}")
        queue.add_referring(f"shared-{number}")
        queue.add_after(f"old-{number}", 1)
    timer.advance(1)
    taken: list[str] = []
    held: str | None = None
    for _ in range(12):
        key = await queue.get()
        taken.append(key)
        if key.startswith("fresh"):
            queue.done(key)
            if held is not None:
                queue.done(held)
                held = None
        else:
            held = key
    assert [key for key in taken if not key.startswith("fresh")][:4] == [
        "shared-0",
        "old-0",
        "shared-1",
        "old-1",
    ]


async def test_what_comes_while_it_is_held_waits_in_the_soonest_lane(queue: WorkQueue) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    for number in range(3):
        queue.add_referring(f"shared-{number}")
    queue.add_referring("a")
    queue.add("a")
    queue.add_referring("a")
    queue.done("a")
    assert await take_all(queue) == ["shared-0", "a", "shared-1", "shared-2"]


async def test_a_key_that_was_due_and_is_added_leaves_by_the_sooner_lane_once(
    queue: WorkQueue, timer: FakeTimer
) -> None:
    for number in range(5):
        queue.add_after(f"old-{number}", 1)
    timer.advance(1)
    queue.add("old-4")
    assert await take_all(queue) == ["old-4", "old-0", "old-1", "old-2", "old-3"]


async def test_discard_drops_all_that_is_planned(queue: WorkQueue, timer: FakeTimer) -> None:
    queue.add("ready")
    queue.retry("delayed")
    queue.discard("ready")
    queue.discard("delayed")
    assert (len(queue), queue.delayed, queue.retries("delayed"), timer.pending) == (0, 0, 0, 0)

    queue.add("held")
    assert await queue.get() == "held"
    queue.add("held")
    queue.discard("held")
    assert queue.in_flight == 1
    queue.done("held")
    assert len(queue) == 0


async def test_done_without_get_is_refused(queue: WorkQueue) -> None:
    with pytest.raises(ValueError, match=r"done\('a'\) without get"):
        queue.done("a")


async def test_waiting_workers_are_woken_one_for_each_key(queue: WorkQueue) -> None:
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(queue.get()) for _ in range(3)]
        await settle()
        queue.add("a")
        queue.add("b")
        await settle()
        assert [worker.done() for worker in workers] == [True, True, False]
        queue.add("c")
    assert [worker.result() for worker in workers] == ["a", "b", "c"]


async def test_a_worker_cancelled_as_it_is_woken_passes_the_key_on(queue: WorkQueue) -> None:
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await settle()
    queue.add("a")
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert second.result() == "a"


async def test_a_worker_cancelled_just_before_a_key_comes_does_not_get_it(queue: WorkQueue) -> None:
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await settle()
    first.cancel()
    queue.add("a")
    await settle()
    assert first.cancelled()
    assert second.done()
    assert second.result() == "a"


async def test_close_ends_workers_and_drops_what_is_planned(queue: WorkQueue, timer: FakeTimer) -> None:
    queue.add("held")
    assert await queue.get() == "held"
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await settle()
    queue.add_after("later", 10)
    queue.retry("failed")
    queue.close()
    queue.add("new")
    queue.add_after("new", 1)
    queue.retry("new")
    await settle()
    for task in waiting:
        with pytest.raises(QueueClosed):
            task.result()
    with pytest.raises(QueueClosed):
        await queue.get()
    assert (len(queue), queue.delayed, queue.retries("failed"), queue.retries("new")) == (0, 0, 0, 0)
    assert timer.pending == 0


async def test_ready_keys_are_not_handed_out_after_close(queue: WorkQueue) -> None:
    queue.add("a")
    queue.close()
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_drained_waits_for_the_last_worker(queue: WorkQueue) -> None:
    queue.add("a")
    queue.add("b")
    await queue.get()
    await queue.get()
    queue.close()
    drained = asyncio.create_task(queue.drained())
    queue.done("a")
    await settle()
    assert not drained.done()
    queue.done("b")
    await settle()
    assert drained.done()
    await queue.drained()


async def test_oldest_wait(queue: WorkQueue, timer: FakeTimer) -> None:
    assert queue.oldest_wait == 0
    queue.add_after("due", 5)
    timer.advance(7)
    assert queue.oldest_wait == 2
    queue.add("fresh")
    timer.advance(1)
    queue.add("due")
    assert queue.oldest_wait == 3, "added again, it has not waited less"
    assert await queue.get() == "fresh"
    assert queue.oldest_wait == 3
    assert await queue.get() == "due"
    assert queue.oldest_wait == 0


async def test_the_event_loops_own_clock() -> None:
    queue = WorkQueue(timer=LoopTimer(), rng=random.Random(1))  # noqa: S311 - jitter, not secrets
    loop = asyncio.get_running_loop()
    started = loop.time()
    queue.add_after("a", 0.02)
    assert await asyncio.wait_for(queue.get(), 10) == "a"
    assert loop.time() - started >= 0.02 - 0.001  # the loop's clock resolution
    queue.done("a")


KEYS = st.sampled_from(["a", "b", "c"])
SECONDS = st.integers(min_value=0, max_value=8)


class QueueMachine(RuleBasedStateMachine):
    """Any order of events, against a model that says only what must hold, not how."""

    unawaited = float("inf")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.timer = FakeTimer()
        rng = random.Random(7)  # noqa: S311 - jitter, not secrets
        self.queue = WorkQueue(timer=self.timer, rng=rng, unawaited=self.unawaited)
        self.workers: list[asyncio.Task[str]] = []
        self.held: set[str] = set()
        self.owed: set[str] = set()  # must be handed out once, as soon as nobody holds it
        self.awaited: set[str] = set()  # of these, those that somebody has changed
        self.others: set[str] = set()  # those that stand in another lane (too)
        self.held_for: dict[str, str] = {}  # why each was taken: "change", "other", or either
        self.due: dict[str, float] = {}
        self.failures: dict[str, int] = {}

    def teardown(self) -> None:
        for worker in self.workers:
            worker.cancel()
        self.loop.run_until_complete(settle())
        self.loop.close()

    def settle(self) -> None:
        """Let workers run, and check each key that they took against the model."""
        self.loop.run_until_complete(settle())
        for worker in [worker for worker in self.workers if worker.done()]:
            self.workers.remove(worker)
            key = worker.result()
            assert key not in self.held, "two hold one key"
            assert key in self.owed, "handed out without a reason"
            why = {(True, False): "change", (False, True): "other"}
            self.held_for[key] = why.get((key in self.awaited, key in self.others), "either")
            self.owed.remove(key)
            self.awaited.discard(key)
            self.others.discard(key)
            self.held.add(key)

    def plan(self, key: str, delay: float) -> None:
        if key in self.owed:
            return
        if delay <= 0:
            self.owed.add(key)
            self.others.add(key)
            self.due.pop(key, None)
        else:
            self.due[key] = min(self.due.get(key, float("inf")), self.timer.time + delay)

    @rule(key=KEYS, times=st.integers(min_value=1, max_value=3))
    def add(self, key: str, times: int) -> None:
        for _ in range(times):
            self.queue.add(key)
        self.owed.add(key)
        self.awaited.add(key)
        self.due.pop(key, None)
        self.settle()

    @rule(key=KEYS)
    def add_referring(self, key: str) -> None:
        self.queue.add_referring(key)
        self.owed.add(key)
        self.others.add(key)
        self.due.pop(key, None)
        self.settle()

    @rule(key=KEYS, seconds=SECONDS)
    def add_after(self, key: str, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        self.plan(key, seconds)
        self.settle()

    @rule(key=KEYS)
    def retry(self, key: str) -> None:
        delay = self.queue.retry(key)
        failures = self.failures.get(key, 0)
        assert 0 <= delay <= min(MAX_SECONDS, BASE_SECONDS * 2**failures)
        self.failures[key] = failures + 1
        self.plan(key, delay)
        self.settle()

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        self.failures.pop(key, None)

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        self.queue.discard(key)
        self.owed.discard(key)
        self.awaited.discard(key)
        self.others.discard(key)
        self.due.pop(key, None)
        self.failures.pop(key, None)
        self.settle()

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def start_worker(self) -> None:
        self.workers.append(self.loop.create_task(self.queue.get()))
        self.settle()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), key=KEYS, add_first=st.booleans())
    def cancel_worker_while_a_key_comes(self, data: st.DataObject, key: str, *, add_first: bool) -> None:
        worker = self.workers.pop(data.draw(st.integers(min_value=0, max_value=len(self.workers) - 1)))
        if not add_first:
            worker.cancel()
        self.queue.add(key)
        if add_first:
            worker.cancel()
        self.owed.add(key)
        self.awaited.add(key)
        self.due.pop(key, None)
        self.settle()
        assert worker.cancelled()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(key)
        del self.held_for[key]
        if key in self.awaited:
            self.others.discard(key)  # what came while it was held goes to one lane, the soonest
        self.queue.done(key)
        self.settle()

    @rule(seconds=st.integers(min_value=1, max_value=10))
    def time_passes(self, seconds: int) -> None:
        self.timer.advance(seconds)
        for key in [key for key, due in self.due.items() if due <= self.timer.time]:
            del self.due[key]
            self.owed.add(key)
            self.others.add(key)
        self.settle()

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.owed - self.held)
        assert self.queue.in_flight == len(self.held)
        assert self.queue.delayed == len(self.due) == self.timer.pending
        for key in ("a", "b", "c"):
            assert self.queue.retries(key) == self.failures.get(key, 0)

    @invariant()
    def no_worker_waits_while_a_key_is_ready(self) -> None:
        assert not (self.workers and self.awaited - self.held)
        if sum(why != "change" for why in self.held_for.values()) < self.unawaited:
            assert not (self.workers and self.owed - self.held)

    @invariant()
    def no_more_than_so_many_are_held_that_nobody_waits_for(self) -> None:
        assert sum(why == "other" for why in self.held_for.values()) <= self.unawaited

    @invariant()
    def nothing_leaks(self) -> None:
        queue = self.queue
        remembered = {
            *queue._ready_since, *(key for lane in queue._lanes for key in lane), *queue._again,
            *queue._delayed, *queue._retries, *queue._processing, *queue._unawaited,
        }  # fmt: skip
        assert remembered <= self.owed | self.held | self.due.keys() | self.failures.keys()
        assert len(queue._getters) == len(self.workers)


class BoundedQueueMachine(QueueMachine):
    """The same where one key at most may be in hand that nobody waits for."""

    unawaited = 1


TestEveryOrderOfEvents = QueueMachine.TestCase
TestEveryOrderOfEvents.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEveryOrderOfBoundedEvents = BoundedQueueMachine.TestCase
TestEveryOrderOfBoundedEvents.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


async def test_how_long_a_key_was_ready_is_told_when_it_is_taken(timer: FakeTimer) -> None:
    waits: list[float] = []
    queue = WorkQueue(timer=timer, rng=random.Random(1), waited=waits.append)  # noqa: S311 - jitter
    queue.add("a")
    timer.advance(3)
    queue.add("b")
    timer.advance(1)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert waits == [4, 1]
