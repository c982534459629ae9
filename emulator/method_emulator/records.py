"""The request log and the counters that tests read. No values and no API keys: neither is ever passed in."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True, kw_only=True)
class Record:
    """One request, from its arrival on."""

    number: int  # 1 is the first since the start or the last reset
    at: float  # seconds since the epoch, at arrival
    operation: str
    account: str | None = None
    api_key: str | None = None  # a fingerprint that means nothing outside this process
    id: str | None = None  # of the secret, where the request or its answer names one
    owner: str | None = None  # metadata.k8s_owner, where it is a text
    idempotency_key: str | None = None
    idem_status: str | None = None  # stored, replayed or bypassed
    fault: int | None = None
    status: int | None = None  # None: no answer, yet or ever (see done)
    done: bool = False

    def shown(self) -> dict[str, object]:
        """Return the record as JSON."""
        return dataclasses.asdict(self)


class Records:
    """The log, bounded, and the counters, which count everything."""

    def __init__(self, *, size: int) -> None:
        self._log: deque[Record] = deque(maxlen=size)
        self._last = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._replayed = 0
        self._faults = 0
        self._changed = asyncio.Event()
        self._waiting = 0

    def open(self, operation: str, *, at: float) -> Record:
        """Log an arrival."""
        self._last += 1
        record = Record(number=self._last, at=at, operation=operation)
        self._log.append(record)
        return record

    def close(self, record: Record, status: int | None) -> None:
        """Log how a request ended; None: without an answer."""
        record.status = status
        record.done = True
        self._counts[record.operation, "none" if status is None else str(status)] += 1
        self._replayed += record.idem_status == "replayed"
        self._faults += record.fault is not None
        if self._waiting:
            self._changed.set()
            self._changed = asyncio.Event()

    def select(
        self, *, after: int = 0, operation: str | None = None, owner: str | None = None
    ) -> list[Record]:
        """Return the requests numbered above `after`, of one operation, of owners that start so."""
        return [record for record in self._log if _wanted(record, after, operation, owner)]

    async def wait(self, *, at_least: int, after: int, operation: str | None, owner: str | None) -> None:
        """Wait until so many requests that `select` would return are done."""
        self._waiting += 1
        try:
            while _done(self.select(after=after, operation=operation, owner=owner)) < at_least:
                await self._changed.wait()
        finally:
            self._waiting -= 1

    def counters(self) -> dict[str, object]:
        """Return counts: per operation and status, replays, faults, and the last request's number."""
        operations: dict[str, dict[str, int]] = {}
        for (operation, status), count in sorted(self._counts.items()):
            operations.setdefault(operation, {})[status] = count
        return {
            "requests": self._last,
            "operations": operations,
            "replayed": self._replayed,
            "faults": self._faults,
        }

    def reset(self) -> None:
        """Forget the log and start counting anew."""
        self._log.clear()
        self._counts.clear()
        self._last = self._replayed = self._faults = 0


def _wanted(record: Record, after: int, operation: str | None, owner: str | None) -> bool:
    return (
        record.number > after
        and operation in (None, record.operation)
        and (owner is None or (record.owner or "").startswith(owner))
    )


def _done(records: Iterable[Record]) -> int:
    return sum(record.done for record in records)
