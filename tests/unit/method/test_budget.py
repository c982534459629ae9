"""The budget: what it guarantees over any 60 s, its order, and what it takes back. No test waits."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methodsecret_operator.method.budget import MARGIN, Budget, BudgetBlocked, RollingWindow, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MINUTE = 60.0


# --- the arithmetic: a simulated process and a server that counts -----------------------------------


@dataclass
class Call:
    """One request: when it is wanted, how long it takes, when within that the server counts it."""

    wanted: float
    takes: float = 0.0
    counted_after: float = 0.0
    unused: bool = False


@dataclass
class Run:
    """What came of a simulation: when requests were admitted, and when the server counted them."""

    admitted: list[float] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)


def simulate(window: RollingWindow, calls: Iterable[Call], *, until: float = float("inf")) -> Run:
    """Send each call as early as the window allows, in order."""
    run = Run()
    ends: list[tuple[float, int, float, bool]] = []
    order = itertools.count()
    now = 0.0

    def end_until(moment: float) -> None:
        while ends and ends[0][0] <= moment:
            at, _, admitted_at, unused = heapq.heappop(ends)
            if unused:
                window.give_back(admitted_at, at)
            else:
                window.end(at)

    for call in calls:
        now = max(now, call.wanted)
        end_until(now)
        while (ready := window.ready_at(now)) is None or ready > now:
            moments = [moment for moment in (ready, ends[0][0] if ends else None) if moment is not None]
            now = max(now, min(moments))
            end_until(now)
        if now >= until:
            break
        window.admit(now)
        heapq.heappush(ends, (now + call.takes, next(order), now, call.unused))
        if not call.unused:
            run.admitted.append(now)
            run.counted.append(now + call.counted_after)
    run.counted.sort()
    return run


def busiest(times: Sequence[float]) -> int:
    """Return the most that any closed window of 60 s holds."""
    return max((bisect_right(times, t + MINUTE) - i for i, t in enumerate(times)), default=0)


@st.composite
def _calls(draw: st.DrawFn) -> list[Call]:
    """Return bursts: calls wanted together, which take equally long and are counted equally late."""
    wanted = 0.0
    calls = []
    for _ in range(draw(st.integers(1, 8))):
        wanted += draw(st.one_of(st.just(0.0), st.floats(0, 2), st.floats(30, 130)))
        takes = draw(st.one_of(st.just(0.0), st.floats(0, 2), st.floats(30, 130)))
        share = draw(st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1)))
        unused = draw(st.sampled_from([False] * 5 + [True]))
        calls += [Call(wanted, takes, takes * share, unused)] * draw(st.integers(1, 40))
    return calls


@settings(deadline=None, max_examples=300)
@given(limit=st.integers(1, 40), calls=_calls())
def test_the_api_never_counts_more_than_the_limit_in_any_minute(limit: int, calls: list[Call]) -> None:
    run = simulate(RollingWindow(limit=limit, now=0.0), calls)
    assert busiest(run.counted) <= limit
    assert busiest(run.admitted) <= max(1, limit * 0.95)


@pytest.mark.parametrize(
    ("limit", "takes", "reason"),
    [
        (1800, 0.0, "writes, answers at once"),
        (1800, 0.2, "writes, ordinary answers"),
        (1800, 2.0, "writes, slow answers"),
        (6000, 0.1, "reads"),
        (100, 1.0, "a sharer's part of the writes"),
    ],
)
def test_while_there_is_work_every_minute_is_used_to_94_percent(
    limit: int, takes: float, reason: str
) -> None:
    window = RollingWindow(limit=limit, now=0.0)
    endless = (Call(0.0, takes * (0.5 + n % 11 / 10), takes / 2) for n in itertools.count())
    run = simulate(window, endless, until=4 * MINUTE)
    assert busiest(run.counted) <= limit
    starts = [n * 0.1 for n in range(1800)]
    fewest = min(
        bisect_left(run.admitted, start + MINUTE + MARGIN) - bisect_left(run.admitted, start)
        for start in starts
    )
    assert fewest >= 0.94 * limit, reason


def _two_to_spare(limit: int) -> int:
    """Return the most in a minute of two processes: each must be able to send one, even where that is all."""
    return max(2, limit)


@settings(deadline=None, max_examples=40)
@given(limit=st.integers(1, 300), hung_up_at=st.floats(0, 200), pause=st.floats(0, 30))
def test_a_restart_under_steady_load_stays_within_the_limit(
    limit: int, hung_up_at: float, pause: float
) -> None:
    endless = [Call(0.0)] * (limit * 6)
    first = simulate(RollingWindow(limit=limit, now=0.0), endless, until=hung_up_at)
    start = hung_up_at + pause
    second = simulate(
        RollingWindow(limit=limit, now=start), [Call(start)] * (limit * 2), until=start + 2 * MINUTE
    )
    assert busiest(first.counted + second.counted) <= _two_to_spare(limit)


@st.composite
def _uneven(draw: st.DrawFn) -> list[Call]:
    """Return work that comes in bursts, with stalls between them; some slots are taken and not used."""
    wanted = 0.0
    calls = []
    for _ in range(draw(st.integers(1, 5))):
        wanted += draw(st.floats(0, 25))
        held = draw(st.sampled_from([0.0, 3.0, 15.0]))
        calls += [Call(wanted, held, unused=held > 0)] * draw(st.integers(0, 60))
        calls += [Call(wanted)] * draw(st.integers(1, 400))
    return calls


def _from(start: float, calls: Iterable[Call]) -> list[Call]:
    """Return the same work, wanted from then on."""
    return [replace(call, wanted=start + call.wanted) for call in calls]


@settings(deadline=None, max_examples=50)
@given(
    limit=st.integers(1, 300),
    before=_uneven(),
    hung_up_at=st.floats(0, 60),
    pause=st.floats(0, 30),
    after=_uneven(),
)
def test_a_restart_within_a_first_minute_of_uneven_work_stays_within_the_limit(
    *, limit: int, before: list[Call], hung_up_at: float, pause: float, after: list[Call]
) -> None:
    """What a stall has cost is not made up for at once: the process before may have made up for one, too."""
    first = simulate(RollingWindow(limit=limit, now=0.0), before, until=hung_up_at)
    start = hung_up_at + pause
    second = simulate(RollingWindow(limit=limit, now=start), _from(start, after), until=start + MINUTE)
    assert busiest(first.counted + second.counted) <= _two_to_spare(limit)


@settings(deadline=None, max_examples=50)
@given(
    limit=st.integers(1, 300),
    before=_uneven(),
    hung_up_at=st.floats(60, 200),
    pause=st.floats(0, 30),
    known_after=st.floats(0, 5),
    after=_uneven(),
)
def test_what_an_earlier_process_is_known_to_have_sent_counts(
    *, limit: int, before: list[Call], hung_up_at: float, pause: float, known_after: float, after: list[Call]
) -> None:
    """However it was sent: all at once after a long rest, say."""
    first = simulate(RollingWindow(limit=limit, now=-MINUTE * 2), before, until=hung_up_at)
    start = hung_up_at + pause
    window = RollingWindow(limit=limit, now=start)
    now = start + known_after
    window.count_earlier([now - at for at in first.counted], now)
    second = simulate(window, _from(now, after), until=now + 2 * MINUTE)
    assert busiest(first.counted + second.counted) <= max(1, limit * 0.95)


def test_more_than_fits_from_before_is_waited_out() -> None:
    window = RollingWindow(limit=20, now=100.0)
    window.count_earlier([10.0 + n for n in range(30)], 100.0)  # somebody else may have had a higher limit
    window.count_earlier([3600.0], 100.0)  # long past
    assert window.available(100.0) == 0
    # 18 may be left beside it: those of 10 to 27 seconds ago; the one of 28 is over 32.05 s from now.
    assert window.ready_at(100.0) == pytest.approx(132.05)
    assert not window.idle(149.0)
    assert window.available(170.0) == 19
    assert window.idle(170.0)


@pytest.mark.parametrize(
    ("limit", "now", "reason", "at_once"),
    [
        (1800, 0.0, "2.5 % may go right after the start", 45),
        (1800, 30.0, "and nothing is saved up: it may be what was left of another process' minute", 45),
        (1800, 61.0, "all of the 95 % once the first minute is over", 1710),
        (1, 0.0, "one must always be able to go", 1),
        (6000, 0.0, "reads", 150),
    ],
)
def test_what_may_go_at_once(limit: int, now: float, reason: str, at_once: int) -> None:
    window = RollingWindow(limit=limit, now=0.0)
    assert window.available(now) == at_once, reason
    sent = 0
    while (ready := window.ready_at(now)) is not None and ready <= now:
        window.admit(now)
        sent += 1
    assert abs(sent - at_once) <= 1, reason  # the pace may be due in this very moment, but for a rounding


def test_no_budget_without_a_limit() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        RollingWindow(limit=0, now=0.0)


# --- waiting ----------------------------------------------------------------------------------------


class FakeTimer:
    """An alarm of FakeClock."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(when, callback)
        self.timers.append(timer)
        return timer

    def pass_(self, seconds: float) -> None:
        """Let so many seconds pass, ringing each alarm at its time."""
        end = self.now + seconds
        while due := [t for t in self.timers if t.callback is not None and t.when <= end]:
            timer = min(due, key=lambda t: t.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when)
            assert timer.callback is not None
            timer.callback()
        self.now = end


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def budget(clock: FakeClock) -> Iterator[Budget]:
    """Twenty in 60 s, past its first minute: 19 at once."""
    budget = Budget(limit=20, clock=clock)
    clock.pass_(61)
    yield budget
    budget.close()


async def spend(budget: Budget, count: int) -> list[Slot]:
    slots = [await budget.acquire() for _ in range(count)]
    for slot in slots:
        slot.use()
    return slots


async def test_waiters_are_served_in_order_and_no_newcomer_overtakes(
    budget: Budget, clock: FakeClock
) -> None:
    for slot in await spend(budget, 19):
        slot.release()
    served: list[int] = []

    async def want(number: int) -> None:
        with await budget.acquire() as slot:
            slot.use()
            served.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(want(number))
        await settle()
        assert (budget.waiting, budget.available, served) == (3, 0, [])
        clock.pass_(59)
        await settle()
        assert served == []
        clock.pass_(2)
        tasks.create_task(want(3))  # slots are free now, and three waiters are first
        await settle()
    assert served == [0, 1, 2, 3]


async def test_a_slot_given_back_unused_is_there_for_the_next(budget: Budget) -> None:
    slots = [await budget.acquire() for _ in range(19)]
    waiter = asyncio.create_task(budget.acquire())
    await settle()
    assert not waiter.done()
    slots[7].release()
    (await waiter).release()
    slots[7].release()  # a second time changes nothing
    assert budget.available == 1


async def test_leaving_with_gives_back_what_was_not_used(budget: Budget) -> None:
    with await budget.acquire():
        assert budget.available == 18
    assert budget.available == 19
    with await budget.acquire() as slot:
        slot.use()
    assert budget.available == 18
    with pytest.raises(RuntimeError, match="good for one request"):
        slot.use()


async def test_a_slot_counts_until_60_s_after_its_end(budget: Budget, clock: FakeClock) -> None:
    (slow, *others) = await spend(budget, 19)
    for slot in others:
        slot.release()
    clock.pass_(300)  # the slow one is still under way; the others are forgotten
    assert budget.available == 19
    await spend(budget, 19)
    assert budget.available == 0
    waiter = asyncio.create_task(budget.acquire())
    clock.pass_(61)  # 20 are open: the limit, though none was admitted within the minute
    await settle()
    assert not waiter.done()
    slow.release()
    await settle()
    assert not waiter.done(), "its end may be when the API counts it"
    clock.pass_(61)
    (await waiter).release()


async def test_a_429_stops_everyone_for_a_minute_and_starts_evenly_again(
    budget: Budget, clock: FakeClock
) -> None:
    await asyncio.gather(*(spend(budget, 1) for _ in range(2)))
    budget.block(5)
    waiters = [asyncio.create_task(budget.acquire()) for _ in range(4)]
    await settle()
    clock.pass_(59.9)
    await settle()
    assert (budget.available, [w.done() for w in waiters]) == (0, [False] * 4)
    clock.pass_(0.2)
    await settle()
    assert [w.done() for w in waiters] == [True, False, False, False]
    clock.pass_(10)
    await settle()
    assert [w.done() for w in waiters] == [True] * 4


async def test_the_longest_block_counts(budget: Budget, clock: FakeClock) -> None:
    budget.block(600)
    budget.block(0)
    waiter = asyncio.create_task(budget.acquire())
    await settle()
    clock.pass_(599)
    await settle()
    assert not waiter.done()
    clock.pass_(1)
    (await waiter).release()


async def test_who_does_not_sit_out_a_block_is_told_how_long_it_is(budget: Budget, clock: FakeClock) -> None:
    assert budget.blocked == 0.0
    budget.block(600)
    clock.pass_(1)
    assert budget.blocked == 599.0
    with pytest.raises(BudgetBlocked) as caught:
        await budget.acquire(through_blocks=False)
    assert caught.value.seconds == 599.0
    assert budget.waiting == 0
    clock.pass_(599)
    assert budget.blocked == 0.0
    (await budget.acquire(through_blocks=False)).release()


async def test_a_block_sends_away_who_does_not_sit_it_out(budget: Budget, clock: FakeClock) -> None:
    slots = await spend(budget, 19)
    first, second, third = (
        asyncio.create_task(budget.acquire(through_blocks=through)) for through in (False, True, False)
    )
    await settle()
    third.cancel()
    budget.block(600)
    with pytest.raises(BudgetBlocked) as caught:
        await first
    assert caught.value.seconds == 600.0
    assert budget.waiting == 1, "who sits it out keeps its place"
    for slot in slots:
        slot.release()
    clock.pass_(600)
    (await second).release()
    assert third.cancelled()


async def test_who_is_sent_away_and_cancelled_at_once_is_cancelled(budget: Budget) -> None:
    await spend(budget, 19)
    waiter = asyncio.create_task(budget.acquire(through_blocks=False))
    await settle()
    budget.block(600)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert budget.waiting == 0


async def test_short_waits_keep_their_order_whoever_sits_out_a_block(budget: Budget) -> None:
    (last, *_) = [await budget.acquire() for _ in range(19)]
    came: list[int] = []

    async def come(number: int) -> None:
        with await budget.acquire(through_blocks=number % 2 == 0):
            came.append(number)

    waiters = [asyncio.create_task(come(number)) for number in range(6)]
    await settle()
    last.release()
    await asyncio.gather(*waiters)
    assert came == list(range(6))


@pytest.mark.parametrize("served_first", [False, True])
async def test_a_cancelled_waiter_takes_nothing(
    budget: Budget, clock: FakeClock, *, served_first: bool
) -> None:
    slots = [await budget.acquire() for _ in range(19)]
    cancelled = asyncio.create_task(budget.acquire())
    patient = asyncio.create_task(budget.acquire())
    await settle()
    if served_first:  # its slot and its cancellation come in the same moment
        slots[0].release()
        cancelled.cancel()
        await settle()
        assert patient.done()
    else:
        cancelled.cancel()
        await settle()
        assert not patient.done()
        slots[0].release()
    await patient
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (budget.waiting, budget.available) == (0, 0)
    assert not [t for t in clock.timers if t.callback is not None], "nobody waits, no alarm is set"


async def test_how_long_a_slot_was_waited_for_is_told(clock: FakeClock) -> None:
    waits: list[float] = []
    budget = Budget(limit=40, clock=clock, waited=waits.append)
    assert budget.try_acquire() is not None
    waiting = asyncio.create_task(budget.acquire())
    await settle()
    clock.pass_(60)
    await waiting
    assert waits[0] == 0
    assert len(waits) == 2
    assert 1 < waits[1] <= 60, "the second of 38 in the first minute"
    budget.close()


async def test_a_wait_that_is_given_up_is_not_told(clock: FakeClock) -> None:
    waits: list[float] = []
    budget = Budget(limit=40, clock=clock, waited=waits.append)
    await budget.acquire()
    waiting = asyncio.create_task(budget.acquire())
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waits == [0]
    budget.close()
