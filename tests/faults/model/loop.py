"""An event loop that never waits: it runs until nothing is left to do, and its time moves only when told.

One per simulated process, so that a process can be stopped dead between any two of its steps.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_START: Final = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Clock:
    """The time that all processes of a world share."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """Return the time in UTC."""
        return _START + timedelta(seconds=self.seconds)


class _Idle(selectors.BaseSelector):
    """Tells the loop that nothing has come, and ends the run where the loop would wait."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - by its base
        """Note the loop's own pipe, through which nothing is ever sent here."""
        key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401 - by its base
        """Forget it."""
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return nothing; a loop that would wait is idle."""
        if self.loop is not None and (timeout is None or timeout > 0):
            self.loop.stop()
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is registered."""
        return self._keys


class Loop(asyncio.SelectorEventLoop):
    """One process's event loop."""

    def __init__(self, clock: Clock) -> None:
        idle = _Idle()
        super().__init__(idle)
        idle.loop = self
        self._world_clock = clock

    def time(self) -> float:
        """Return the world's time, for timers."""
        return self._world_clock.seconds

    def run_until_idle(self) -> None:
        """Run until all that is left waits for an answer or for the clock."""
        self.run_forever()

    def kill(self) -> None:
        """End every task where it stands; nothing that it still tries reaches anybody."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.close()
