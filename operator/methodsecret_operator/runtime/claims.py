"""Which object of this process is about to adopt which id at Method.

Between the look at who names an id and the status that names it there are calls, and another worker may be at
the same place for another object. What the statuses name is ObjectCache.named_by_other's to tell.
"""

from __future__ import annotations


class Claims:
    """Ids, each with the object that asked for it first. Nothing is waited for in here."""

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}

    def take(self, secret_id: str, key: str) -> str | None:
        """Keep an id for this object until it is released; return who has it already, if another has."""
        holder = self._by_id.setdefault(secret_id, key)
        return holder if holder != key else None

    def held_by_other(self, secret_id: str, key: str) -> bool:
        """Whether an id is kept for another object than this one."""
        return self._by_id.get(secret_id, key) != key

    def release(self, key: str) -> None:
        """Let go of what is kept for this object: its status names it by now, or it does not get it."""
        for secret_id in [one for one, holder in self._by_id.items() if holder == key]:
            del self._by_id[secret_id]
