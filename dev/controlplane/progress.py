"""Tells a person how far a long step is, at most one line every few seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS_BETWEEN_LINES = 10
_SECONDS_BEFORE_ESTIMATE = 5  # earlier, the pace says little


class Progress:
    """Counts one step's units (packages, bytes) and says where it is and about how long it still takes."""

    def __init__(
        self,
        say: Callable[[str], None],
        what: str,
        *,
        total: int,
        unit: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._what = what
        self._total = total
        self._unit = unit
        self._clock = clock
        self._started = self._last = clock()

    def at(self, done: int) -> None:
        """Report how many units are done; prints only where the last line is some seconds old."""
        now = self._clock()
        if now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        elapsed = now - self._started
        line = f"{self._what}: {elapsed:.0f} s, {min(done, self._total)} of {self._total} {self._unit}"
        if done and done < self._total and elapsed > _SECONDS_BEFORE_ESTIMATE:
            line += f", about {elapsed * (self._total - done) / done:.0f} s more"
        elif done >= self._total:
            line += ", finishing"
        self._say(line)

    def done(self) -> None:
        """Report the end of the step."""
        self._say(f"{self._what}: done in {self._clock() - self._started:.0f} s")
