"""How much may be sent: one budget per API key and tier, exact over every rolling 60 seconds.

`RollingWindow` is the arithmetic, pure, told the time; `Budget` lets tasks wait for it, first come, first
served. Neither knows what is sent.

What is guaranteed, with `limit` the API's number:

1. Never more than `limit` in any 60 s, wherever between `acquire` and the end of the exchange the API
   counts a request. Proof: a slot is taken from its admission until 60 s after its end. All requests that
   the API counts within some 60 s have begun before the last of them is counted, and none of them has ended
   more than 60 s before it; so at that moment all hold a slot, and there are at most `limit` slots.
2. Never more than 95 % of `limit` (and one, of a limit of 1) are admitted in any 60 s. This leaves room for
   what guarantee 1 cannot see (a request that arrives after we gave it up, a person with curl), and keeps
   slots that are taken by slow answers from costing throughput.
3. While there is work, at least 94 % of `limit` are admitted in every 60.05 s (a limit under 100 loses up
   to one more request to rounding), as long as no more than 5 % of `limit` are in flight at a time. Not so
   where it is blocked, or has an earlier process's requests to count.
4. In the first 60 s, 2.5 % of `limit` may go at once, the rest evenly at 95 % of `limit` per 60 s; what was
   not sent in time is not made up for. Together with an earlier process that ended in its own first minute,
   however unevenly it had work, or had been busy since its start, 2.5 + 2.5 + 95 % are admitted, which stays
   within `limit` (but for a limit of 1, of which each process sends one).
5. What an earlier process is known to have sent (`count_earlier`) counts as this one's own, for guarantees 1
   and 2. What nobody knows of it after a burst, or several restarts in a minute, can still lead to a 429
   and so `block`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

WINDOW: Final = 60.0
"""Seconds over which the API counts."""

MARGIN: Final = 0.05
"""Seconds added: two machines' clocks drift apart by up to 500 ppm, 30 ms a minute."""

MIN_BLOCK: Final = 60.0
"""Seconds that the API refuses a key's tier once it has exceeded the limit."""

_SHARE: Final = 0.95
_SPAN: Final = WINDOW + MARGIN


class Timer(Protocol):
    """Something planned that can be called off (asyncio.TimerHandle)."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """The part of asyncio's event loop that a budget uses: a monotonic clock and an alarm."""

    def time(self) -> float:
        """Return seconds that never run backwards."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once `time()` has reached `when`."""


class RollingWindow:
    """Counts admissions and ends. Every method is told `now`, in seconds that never run backwards.

    The first minute's pace is the generic cell rate algorithm: `_even_at` is when the next request would be
    due if all were sent evenly, and a request may be early by what 2.5 % of the limit take at that rate.
    """

    def __init__(self, *, limit: int, now: float) -> None:
        if limit < 1:
            raise ValueError(f"a budget needs a limit of at least 1, not {limit}")
        self.limit = limit
        self.share = max(1, int(limit * _SHARE))
        self._at_once = max(1, (limit - self.share) // 2)
        self._interval = _SPAN / self.share
        self._began = now
        self._earlier: deque[float] = deque()  # admitted and ended by another process, before `_began`
        self._admitted: deque[float] = deque()
        self._ended: deque[float] = deque()
        self._open = 0
        self._paced_from = now
        self._even_at = now
        self._blocked_until = now

    def ready_at(self, now: float) -> float | None:
        """Return when the next request may begin (`now` or earlier: at once); None: once another ends."""
        self._forget(now)
        if now < self._blocked_until:
            return self._blocked_until
        ready = now
        if (too_many := self._used - self.share) >= 0:
            ready = max(ready, self._nth(self._admitted, too_many) + _SPAN)
        if now < self._paced_from + _SPAN:
            ready = max(ready, self._even_at - (self._at_once - 1) * self._interval)
        if (too_many := self._taken - self.limit) >= 0:
            if self._open >= self.limit:
                return None
            ready = max(ready, self._nth(self._ended, too_many) + _SPAN)
        return ready

    def admit(self, now: float) -> None:
        """Count a request that begins now."""
        self._admitted.append(now)
        self._open += 1
        self._even_at = max(self._even_at, now) + self._interval

    def end(self, now: float) -> None:
        """Count the end of a request: its answer is there, or it was given up."""
        self._open -= 1
        self._ended.append(now)

    def give_back(self, admitted_at: float, now: float) -> None:
        """Undo an admission of which nothing came."""
        self._open -= 1
        self._forget(now)
        if self._admitted and self._admitted[0] <= admitted_at:
            self._admitted.remove(admitted_at)
        if now < self._paced_from + _SPAN:
            self._even_at = self._paced_from
            for admitted in self._admitted:
                if admitted >= self._paced_from:
                    self._even_at = max(self._even_at, admitted) + self._interval

    def count_earlier(self, ages: Iterable[float], now: float) -> None:
        """Count requests that another process has sent, so many seconds ago, before this window began."""
        times = (min(now - age, self._began) for age in ages)
        self._earlier = deque(sorted([*self._earlier, *times]))
        self._forget(now)

    def block(self, now: float, seconds: float) -> None:
        """Admit nothing for so many seconds, at least 60, then start evenly as after a start."""
        self._blocked_until = max(self._blocked_until, now + max(seconds, MIN_BLOCK + MARGIN))
        self._paced_from = self._even_at = self._blocked_until

    def blocked_for(self, now: float) -> float:
        """Return for how many seconds more nothing is admitted because of a block."""
        return max(0.0, self._blocked_until - now)

    def available(self, now: float) -> int:
        """Return how many requests could begin right now."""
        self._forget(now)
        if now < self._blocked_until:
            return 0
        free = min(self.share - self._used, self.limit - self._taken)
        if now < self._paced_from + _SPAN:
            ahead = max(0.0, self._even_at - now) / self._interval
            free = min(free, self._at_once - math.ceil(ahead - 1e-6))
        return max(0, free)

    def idle(self, now: float) -> bool:
        """Whether a new window would say the same: nothing counts any more, and nothing is blocked."""
        self._forget(now)
        return self._used == self._taken == 0 and now >= self._blocked_until

    @property
    def _used(self) -> int:
        """How many were admitted in the last minute."""
        return len(self._earlier) + len(self._admitted)

    @property
    def _taken(self) -> int:
        """How many hold a slot: under way, or ended in the last minute."""
        return len(self._earlier) + len(self._ended) + self._open

    def _nth(self, own: deque[float], number: int) -> float:
        """Return a time of what another process did and then this one, counted from 0."""
        earlier = len(self._earlier)
        return self._earlier[number] if number < earlier else own[number - earlier]

    def _forget(self, now: float) -> None:
        for times in (self._earlier, self._admitted, self._ended):
            while times and times[0] + _SPAN <= now:
                times.popleft()


class Slot:
    """The right to send one request. Leaving its `with` gives it back unless it was used.

    with await budget.acquire() as slot:
        ...                                     # gather what to send
        await client.create(..., slot=slot)
    """

    __slots__ = ("_admitted_at", "_budget", "_state")

    def __init__(self, budget: Budget, admitted_at: float) -> None:
        self._budget = budget
        self._admitted_at = admitted_at
        self._state = "free"

    def of(self, budget: Budget) -> bool:
        """Whether it is this budget's."""
        return self._budget is budget

    def use(self) -> None:
        """Say that sending begins. Raises RuntimeError for a slot that was used or given back already."""
        if self._state != "free":
            raise RuntimeError("a slot of the budget is good for one request")
        self._state = "used"

    def release(self) -> None:
        """End it: given back if nothing was sent, else taken for 60 s more. A second call does nothing."""
        state, self._state = self._state, "over"
        if state != "over":
            self._budget._over(self._admitted_at, used=state == "used")  # noqa: SLF001 - the two are one

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class BudgetBlocked(Exception):
    """The API has answered 429: for so many `seconds` more nothing is admitted."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"blocked for {seconds:.0f} s")


class Budget:
    """What one API key may send in one tier (reads or writes); tasks wait for their turn in order.

    `limit` is the API's number of requests in 60 s; `clock` the running event loop, or a test's own.
    `waited` is told of each slot that is handed out: after how many seconds. Not for several threads.
    """

    def __init__(
        self, *, limit: int, clock: Clock, waited: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        self._clock = clock
        self._waited = waited
        self._window = RollingWindow(limit=limit, now=clock.time())
        self._queue: deque[asyncio.Future[Slot]] = deque()
        self._leaving: set[asyncio.Future[Slot]] = set()  # of these, those that no block keeps in line
        self._alarm: Timer | None = None

    @property
    def limit(self) -> int:
        """The API's number of requests in 60 s."""
        return self._window.limit

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot."""
        return sum(not turn.done() for turn in self._queue)

    @property
    def available(self) -> int:
        """How many slots are free right now."""
        return self._window.available(self._clock.time())

    @property
    def idle(self) -> bool:
        """Whether nothing is lost when it is forgotten: nobody waits, and no request counts any more."""
        return not self._queue and self._window.idle(self._clock.time())

    @property
    def blocked(self) -> float:
        """For how many seconds more nothing is admitted because of a 429; 0 where there is none."""
        return self._window.blocked_for(self._clock.time())

    async def acquire(self, *, through_blocks: bool = True) -> Slot:
        """Wait for a slot. The caller ends it, used or not, with `release` or by `with`.

        A turn comes in its time, unless a 429 blocks the key, for up to an hour. With `through_blocks` that
        is waited for in line; without, BudgetBlocked is raised at once, also where it comes during the wait.
        """
        if self.blocked and not through_blocks:
            raise BudgetBlocked(self.blocked)
        turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        if not through_blocks:
            self._leaving.add(turn)
        since = self._clock.time()
        self._serve()
        try:
            slot = await turn
        except asyncio.CancelledError:
            # The turn may have come in the same moment as the cancellation.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                turn.result().release()
            else:
                self._serve()  # takes it out of the queue once it is at the head
            raise
        finally:
            self._leaving.discard(turn)
        self._waited(self._clock.time() - since)
        return slot

    def try_acquire(self) -> Slot | None:
        """Return a slot if one is free now and nobody is before us."""
        now = self._clock.time()
        ready = self._window.ready_at(now)
        if self._next() is not None or ready is None or ready > now:
            return None
        self._window.admit(now)
        self._waited(0.0)
        return Slot(self, now)

    def count_earlier(self, ages: Iterable[float]) -> None:
        """Count what an earlier process has sent with this key: for each request, how many seconds ago."""
        self._window.count_earlier(ages, self._clock.time())

    def block(self, seconds: float) -> None:
        """Admit nothing for max(seconds, 60): the API has answered 429."""
        self._window.block(self._clock.time(), seconds)
        for turn in self._leaving:
            if not turn.done():
                turn.set_exception(BudgetBlocked(self.blocked))
        self._serve()

    def close(self) -> None:
        """Take back the alarm; whoever waits must have been cancelled before."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _over(self, admitted_at: float, *, used: bool) -> None:
        now = self._clock.time()
        if used:
            self._window.end(now)
        else:
            self._window.give_back(admitted_at, now)
        self._serve()

    def _serve(self) -> None:
        """Admit whose turn it is, and set the alarm for the next one."""
        self.close()
        while (turn := self._next()) is not None:
            now = self._clock.time()
            ready = self._window.ready_at(now)
            if ready is None:
                return
            if ready > now:
                self._alarm = self._clock.call_at(ready, self._serve)
                return
            self._window.admit(now)
            self._queue.popleft()
            turn.set_result(Slot(self, now))

    def _next(self) -> asyncio.Future[Slot] | None:
        """Return whose turn is next; who was cancelled is taken out."""
        while self._queue and self._queue[0].done():
            self._queue.popleft()
        return self._queue[0] if self._queue else None
