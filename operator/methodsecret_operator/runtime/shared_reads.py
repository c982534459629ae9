"""One GET for all who ask for the same Secret while another GET of it is under way.

A Secret that many objects refer to is wanted by all of them in the moment in which it changes. Whoever asks
gets what a read has found that began after they asked, never one that was on its way already, for that may
not have the change. A failure is shared as well: a hundred who want a Secret that is not there, or from a
server that does not answer, do not ask one after another. Nothing is kept once nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from methodsecret_operator.errors import KubeError
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
        self.found: SecretObject | KubeError | None = None


class SharedReads:
    """Reads Secrets by `read`, which is given namespace and name and raises KubeError."""

    def __init__(self, read: Callable[[str, str], Awaitable[SecretObject]]) -> None:
        self._read = read
        self._lines: dict[_Place, _Line] = {}

    async def get(self, namespace: str, name: str) -> SecretObject:
        """Return the Secret as a read that begins from now on finds it. Raises KubeError."""
        place = (namespace, name)
        line = self._lines.setdefault(place, _Line())
        before = line.begun
        line.users += 1
        try:
            async with line.reading:
                if line.found is None or line.found_by <= before:
                    line.begun += 1
                    line.found = None
                    line.found = await self._look(namespace, name)
                    line.found_by = line.begun
                if isinstance(line.found, KubeError):
                    raise line.found.with_traceback(None)  # each who raises it would add theirs
                return line.found
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[place]

    async def _look(self, namespace: str, name: str) -> SecretObject | KubeError:
        try:
            return await self._read(namespace, name)
        except KubeError as error:
            return error
