"""Method's rate limits: so many calls of a tier in any 60 s, then a block. Pure: the clock is passed in.

Method documents two tiers that matter here (1,800 writes and 6,000 reads per minute and API key,
rolling) and that a key which exceeds one is refused for 60 s. What it does not document, and what is
chosen here: refused calls do not prolong the block, and a block empties the window.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_SECONDS: Final = 60.0


class Tier(enum.StrEnum):
    """The kinds of calls that are counted apart."""

    WRITE = "write"
    READ = "read"


@dataclass(slots=True)
class _Window:
    calls: deque[float] = field(default_factory=deque)
    blocked_until: float = 0.0


class RateLimits:
    """Counts calls per API key and tier."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, Tier], _Window] = {}

    def admit(self, key: str, tier: Tier, *, limit: int, block_seconds: float, now: float) -> float:
        """Count a call at `now` (monotonic seconds) and return 0, or the seconds the key stays blocked.

        A `limit` of 0 admits everything and counts nothing.
        """
        if not limit:
            return 0.0
        window = self._windows.get((key, tier))
        if window is None:
            window = self._windows[key, tier] = _Window()
        if now < window.blocked_until:
            return window.blocked_until - now
        calls = window.calls
        while calls and calls[0] <= now - WINDOW_SECONDS:
            calls.popleft()
        if len(calls) >= limit:
            calls.clear()
            window.blocked_until = now + block_seconds
            return block_seconds
        calls.append(now)
        return 0.0

    def reset(self) -> None:
        """Forget every call and every block."""
        self._windows.clear()
