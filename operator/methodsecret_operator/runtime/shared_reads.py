"""One GET for all who ask for the same Secret while another GET of it is under way.

A Secret that many objects refer to is wanted by all of them in the moment in which it changes. Whoever asks
gets what a read has found that began after they asked, never one that was on its way already, for that may
not have the change. Nothing is kept for longer than somebody waits; failures are not shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from methodsecret_operator.kube.wire import SecretObject

_Place = tuple[str, str]


class _Line:
    """Those who want one Secret now: one of them reads, the others wait."""

    __slots__ = ("begun", "found", "found_by", "reading", "users")

    def __init__(self) -> None:
        self.reading = asyncio.Lock()
        self.users = 0
        self.begun = 0
        self.found_by = 0  # the number of the read that found it
        self.found: SecretObject | None = None


class SharedReads:
    """Reads Secrets by `read`, which is given namespace and name and may raise what it likes."""

    def __init__(self, read: Callable[[str, str], Awaitable[SecretObject]]) -> None:
        self._read = read
        self._lines: dict[_Place, _Line] = {}

    async def get(self, namespace: str, name: str) -> SecretObject:
        """Return the Secret as a read that begins from now on finds it."""
        place = (namespace, name)
        line = self._lines.setdefault(place, _Line())
        before = line.begun
        line.users += 1
        try:
            async with line.reading:
                if line.found is not None and line.found_by > before:
                    return line.found
                line.begun += 1
                line.found = None
                line.found = await self._read(namespace, name)
                line.found_by = line.begun
                return line.found
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[place]
