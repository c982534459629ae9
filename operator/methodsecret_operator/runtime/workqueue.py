"""The keyed work queue between the watchers, which say that something changed, and the workers.

In the manner of client-go's util/workqueue. A key is in at most one pair of hands; a key that is added
many times is handed out once; a key that is added while somebody holds it is handed out once more
afterwards. So a worker always acts on what it finds when it looks, and no change is lost.

The queue knows nothing of what a key names. It does no I/O, never sleeps and draws time and randomness
from what it is given. It belongs to one event loop and is not thread-safe.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection

BASE_SECONDS: Final = 1.0
MAX_SECONDS: Final = 300.0
"""Bounds of the backoff: the first retry comes within BASE_SECONDS, every later one within MAX_SECONDS."""

FEW: Final = 8
"""So many keys that depend on one thing are no crowd."""


class QueueClosed(Exception):
    """The queue is closed: there will be no more work. A worker's sign to end, not a failure."""


class TimerHandle(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call it off; harmless where it has run."""


class Timer(Protocol):
    """A clock, and calls at a later time of that clock."""

    def now(self) -> float:
        """Return the time in seconds; never runs backwards, its zero means nothing."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        """Call `callback` once in `delay` seconds, from the event loop."""


class LoopTimer:
    """The running event loop's clock."""

    def now(self) -> float:
        """Return the event loop's time in seconds."""
        return asyncio.get_running_loop().time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        """Call `callback` once in `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


class _Delayed(NamedTuple):
    due: float
    handle: TimerHandle


# An ordered set. Not a dict: finding its first item gets slower with each one removed before it.
_Lane = OrderedDict[str, None]
_CHANGED, _REFERRING, _DUE = range(3)


class WorkQueue:
    """Hands out keys, first come, first served, each to one worker at a time.

    Ready keys stand in three lanes, and workers take from them in turn: one for keys whose object somebody
    has changed (and waits), one for keys of many objects that refer to one thing that has changed, one for
    keys that the clock made due (retries, resyncs). Ten thousand objects in backoff, or with one Secret that
    somebody edits, therefore do not hold up a fresh one, nor a burst of fresh ones the others. A key may
    stand in several and leaves by whichever is soonest.

    Of the two other lanes no more than `unawaited` keys are in hand at a time: on a busy event loop every
    look that is under way makes each step of every other one wait.
    """

    def __init__(
        self,
        *,
        timer: Timer,
        rng: random.Random,
        base_seconds: float = BASE_SECONDS,
        max_seconds: float = MAX_SECONDS,
        unawaited: float = float("inf"),
        waited: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """Tell `waited` of each key that is taken: for how many seconds it was ready."""
        self._waited = waited
        self._moved = float("-inf")  # when somebody last asked for a key, or gave one back
        self._timer = timer
        self._rng = rng
        self._base = base_seconds
        self._max = max_seconds
        self._lanes: tuple[_Lane, ...] = tuple(OrderedDict() for _ in (_CHANGED, _REFERRING, _DUE))
        self._next_lane = _CHANGED
        self._ready_since: dict[str, float] = {}
        self._processing: set[str] = set()
        self._unawaited: set[str] = set()  # of these, those that came from another lane than the first
        self._most_unawaited = unawaited
        self._again: dict[str, int] = {}  # made ready while processing -> the lane it goes to
        self._delayed: dict[str, _Delayed] = {}
        self._retries: dict[str, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, key: str) -> None:
        """Make `key` ready now; takes the place of a delay that is running for it.

        Leaves the backoff as it is: should the work fail again, the next delay is the longer one.
        """
        self._make_ready(key, _CHANGED)

    def add_referring(self, key: str) -> None:
        """Make `key` ready now, as `add` does, for something that many refer to."""
        self._make_ready(key, _REFERRING)

    def add_dependents(self, keys: Collection[str]) -> None:
        """Make all of these ready for the one thing that they refer to.

        A few as `add` does, for who has changed it waits; many as `add_referring`, for they would stand
        before everybody's.
        """
        add = self.add if len(keys) <= FEW else self.add_referring
        for key in keys:
            add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Make `key` ready in `seconds`, unless it is ready, or due, sooner anyway."""
        if self._closed or key in self._ready_since or key in self._again:
            return
        if seconds <= 0:
            self._make_ready(key, _DUE)
            return
        due = self._timer.now() + seconds
        current = self._delayed.get(key)
        if current is not None:
            if current.due <= due:
                return
            current.handle.cancel()
        handle = self._timer.call_later(seconds, lambda: self._make_ready(key, _DUE))
        self._delayed[key] = _Delayed(due, handle)

    def retry(self, key: str) -> float:
        """Make `key` ready after its backoff and return that delay in seconds.

        Exponential with full jitter: anything between zero and a bound that doubles with each retry
        since `forget`. Spreading over the whole span keeps many keys that failed together from coming
        back together.
        """
        retries = self._retries.get(key, 0)
        if not self._closed:
            self._retries[key] = retries + 1
        # 2.0 ** 1024 overflows; 64 doublings are beyond every bound.
        delay = self._rng.uniform(0, min(self._max, self._base * 2.0 ** min(retries, 64)))
        self.add_after(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """Reset the backoff of `key`: the work succeeded, or failed in a way that no retry mends."""
        self._retries.pop(key, None)

    def discard(self, key: str) -> None:
        """Drop all that is planned for `key`, and its backoff: the object is gone.

        Who holds the key goes on until `done`.
        """
        self._cancel_delay(key)
        self._again.pop(key, None)
        self._ready_since.pop(key, None)
        for lane in self._lanes:
            lane.pop(key, None)
        self._retries.pop(key, None)

    async def get(self) -> str:
        """Wait for a ready key and take it; nobody else gets it until `done`.

        Raises QueueClosed once the queue is closed, even where keys were ready.
        """
        self._moved = self._timer.now()
        while not self._open_lanes() and not self._closed:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if not getter.cancelled():
                    self._wake_one()  # woken for a key and cancelled in the same turn: another shall take it
                elif getter in self._getters:  # not where a wake-up has passed it over since
                    self._getters.remove(getter)
                raise
        if self._closed:
            raise QueueClosed
        return self._take()

    def done(self, key: str) -> None:
        """Give `key` back; it is ready again where it was added meanwhile.

        Raises ValueError where nobody holds the key: a worker's mistake that would let two hold it.
        """
        if key not in self._processing:
            raise ValueError(f"done({key!r}) without get()")
        self._processing.remove(key)
        self._moved = self._timer.now()
        if key in self._unawaited:
            self._unawaited.remove(key)
            if self._lanes[_REFERRING] or self._lanes[_DUE]:
                self._wake_one()
        if (lane := self._again.pop(key, None)) is not None:
            self._make_ready(key, lane)
        if not self._processing:
            self._idle.set()

    def close(self) -> None:
        """Hand out nothing more and forget all that is planned; what is being processed goes on.

        Further additions are ignored. The next process finds everything again by listing.
        """
        self._closed = True
        for delayed in self._delayed.values():
            delayed.handle.cancel()
        for lane in self._lanes:
            lane.clear()
        for planned in (self._delayed, self._again, self._ready_since, self._retries):
            planned.clear()
        while self._getters:
            self._wake_one()

    async def drained(self) -> None:
        """Wait until nothing is being processed. Final only after `close`."""
        await self._idle.wait()

    def __len__(self) -> int:
        """Return how many keys are ready and wait for a worker."""
        return len(self._ready_since)

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._delayed)

    @property
    def in_flight(self) -> int:
        """How many keys are being processed."""
        return len(self._processing)

    def busy(self, key: str) -> bool:
        """Whether `key` is being processed."""
        return key in self._processing

    @property
    def oldest_wait(self) -> float:
        """For how many seconds the longest-waiting ready key has been waiting; 0 where none is."""
        if not self._ready_since:
            return 0.0
        # A lane's first is older than all that stand in that lane only.
        firsts = [next(iter(lane)) for lane in self._lanes if lane]
        return max(0.0, self._timer.now() - min(self._ready_since[key] for key in firsts))

    @property
    def standstill(self) -> float:
        """For how many seconds keys have been ready without anybody asking for one or giving one back."""
        return min(self.oldest_wait, self._timer.now() - self._moved)

    def retries(self, key: str) -> int:
        """Return how often `key` has been retried since the last `forget`."""
        return self._retries.get(key, 0)

    def _make_ready(self, key: str, lane: int) -> None:
        if self._closed:
            return
        self._cancel_delay(key)
        if key in self._processing:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        self._ready_since.setdefault(key, self._timer.now())
        if key not in self._lanes[lane]:
            self._lanes[lane][key] = None
            self._wake_one()  # even where it was ready: this lane may be open and the other not

    def _take(self) -> str:
        lanes = self._open_lanes()
        number = next((lane for lane in lanes if lane >= self._next_lane), lanes[0])
        key: str = next(iter(self._lanes[number]))
        if number != _CHANGED or not self._full:  # while they are full, the other lanes keep their turn
            self._next_lane = (number + 1) % len(self._lanes)
        for lane in self._lanes:
            lane.pop(key, None)
        self._waited(max(0.0, self._timer.now() - self._ready_since.pop(key)))
        self._processing.add(key)
        if number != _CHANGED:
            self._unawaited.add(key)
        self._idle.clear()
        return key

    @property
    def _full(self) -> bool:
        """Whether as many keys as may be are in hand that came from another lane than the first."""
        return len(self._unawaited) >= self._most_unawaited

    def _open_lanes(self) -> list[int]:
        """Return the lanes that the next key may come from, in order."""
        last = _CHANGED if self._full else _DUE
        return [number for number, lane in enumerate(self._lanes) if lane and number <= last]

    def _cancel_delay(self, key: str) -> None:
        if (delayed := self._delayed.pop(key, None)) is not None:
            delayed.handle.cancel()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
