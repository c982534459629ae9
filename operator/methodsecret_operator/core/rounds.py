"""Tells what has fallen out of use: what nobody has used for two rounds. It holds keys, nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Rounds(Generic[K]):
    """Uses, by round. A round is a resync: whatever is still needed is used in each.

    Two, because what is first used right before the end of a round has had no round yet.
    """

    def __init__(self) -> None:
        self._this: set[K] = set()
        self._former: set[K] = set()

    def use(self, key: K) -> None:
        """Note a use in this round."""
        self._this.add(key)

    def end(self, keys: Iterable[K]) -> list[K]:
        """End the round; return those of the keys that were used neither in it nor in the one before."""
        unused = [key for key in keys if key not in self._this and key not in self._former]
        self._former, self._this = self._this, set()
        return unused
