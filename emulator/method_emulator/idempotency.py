"""The store behind Idempotency-Key: the first answer to a key is kept, whatever it was, and replayed.

It knows keys, fingerprints of bodies and answers; not HTTP, not secrets. A key is seen per account.
Method does not document how long a key is kept; here it lasts until the process ends or a test forgets it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from method_emulator.answers import Answer


@dataclass(slots=True, eq=False)
class Slot:
    """What is known of one key: who asked first, and the answer once there is one."""

    fingerprint: bytes = field(repr=False)
    request_id: str
    answer: Answer | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class IdempotencyStore:
    """Slots by account and key."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, str], Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def find(self, account: str, key: str) -> Slot | None:
        """Return the key's slot, answered or still at work."""
        return self._slots.get((account, key))

    def begin(self, account: str, key: str, *, fingerprint: bytes, request_id: str) -> Slot:
        """Take a key that has no slot; the caller must `keep` or `drop` the slot."""
        slot = self._slots[account, key] = Slot(fingerprint, request_id)
        return slot

    def keep(self, slot: Slot, answer: Answer) -> None:
        """Store the first answer and let those that wait for it go on."""
        slot.answer = answer
        slot.settled.set()

    def drop(self, account: str, key: str, slot: Slot) -> None:
        """Give a key back unanswered: the next request with it is the first again."""
        if self._slots.get((account, key)) is slot:
            del self._slots[account, key]
        slot.settled.set()

    def forget(self) -> int:
        """Forget every answered key, as if its time had run out; return how many."""
        answered = [place for place, slot in self._slots.items() if slot.answer is not None]
        for place in answered:
            del self._slots[place]
        return len(answered)
