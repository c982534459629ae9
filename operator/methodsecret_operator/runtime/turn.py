"""An object's place in line for a slot of its account's budget, kept from one look to the next.

The worker does not wait: another account's objects shall not stand behind this one's. The object keeps its
place, and is looked at anew when its turn has come, for what was read is old by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from methodsecret_operator.method.budget import Budget, Slot


class Turn:
    """One object's. Not for two looks at a time."""

    __slots__ = ("_in_line", "_slot", "_waiting")

    def __init__(self) -> None:
        self._slot: Slot | None = None  # of the look that is under way
        self._waiting: asyncio.Task[Slot] | None = None
        self._in_line = False  # whether the look that is under way ends with waiting

    def take(self, budget: Budget, *, come: Callable[[], None]) -> Slot | None:
        """Return a slot of the budget; None where it has to be waited for, and `come` will be called."""
        if self._slot is None and self._waiting is not None and self._waiting.done():
            waiting, self._waiting = self._waiting, None
            self._slot = None if waiting.cancelled() else waiting.result()
            if self._slot is not None and not self._slot.of(budget):
                self._slot.release()  # the object has changed its account while it waited
                self._slot = None
        if self._slot is None and self._waiting is None:
            self._slot = budget.try_acquire()
            if self._slot is None:
                self._waiting = asyncio.create_task(_wait(budget, come), name="turn")
        self._in_line = self._slot is None
        return self._slot

    def spend(self) -> None:
        """Leave the slot to who has it in hand: one slot, one request; another request needs another."""
        self._slot = None

    def end_look(self) -> None:
        """Give back what this look has not spent, and the place in line where it has not ended with that."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.release()
        if not self._in_line:
            self.close()
        self._in_line = False

    def close(self) -> None:
        """Let go of the place in line, where it is needed no more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.done() and not waiting.cancelled():
            waiting.result().release()
        elif waiting is not None:
            waiting.cancel()


async def _wait(budget: Budget, come: Callable[[], None]) -> Slot:
    slot = await budget.acquire()
    come()
    return slot
