"""Faults that tests order: what goes wrong, for which requests, how many times. No HTTP.

A fault is chosen for a request by fixed rules (the oldest one that matches and is not used up), so
that the same requests in the same order always meet the same faults.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from method_emulator.store import metadata_matches

if TYPE_CHECKING:
    from collections.abc import Mapping


class Operation(enum.StrEnum):
    """What a request asks for; `any` in a fault means each of them."""

    CREATE = "create"
    LIST = "list"
    RETRIEVE = "retrieve"
    DELETE = "delete"
    PING = "ping"
    ANY = "any"


class Kind(enum.StrEnum):
    """What goes wrong."""

    STATUS = "status"  # answers `status` with an error body
    HANG = "hang"  # never answers; the connection ends when the fault is removed or released
    SLOW = "slow"  # waits `seconds`
    HOLD = "hold"  # waits until released
    RESET_BEFORE = "reset_before"  # resets the connection, nothing done
    RESET_AFTER = "reset_after"  # resets the connection, the work done
    TRUNCATED = "truncated"  # half of the promised body
    GARBAGE = "garbage"  # a body that is not JSON
    HUGE = "huge"  # a body of `size` bytes
    HTML = "html"  # a proxy's page
    EMPTY = "empty"  # no body
    NO_ID = "no_id"  # a secret without its id
    BAD_ID = "bad_id"  # a secret with an id that is none


class When(enum.StrEnum):
    """At which moment of the request."""

    BEFORE = "before"  # nothing is done; the Idempotency-Key has not been looked at
    DURING = "during"  # the Idempotency-Key is taken, the work is not done (pauses only)
    AFTER = "after"  # the work is done and its answer stored under the key


PAUSES: Final = frozenset({Kind.HANG, Kind.SLOW, Kind.HOLD})
_FIXED_WHEN: Final = {Kind.RESET_BEFORE: When.BEFORE, Kind.RESET_AFTER: When.AFTER}
_BEFORE_BY_DEFAULT: Final = PAUSES | {Kind.STATUS, Kind.RESET_BEFORE}
_STORABLE: Final = frozenset({Kind.STATUS, Kind.GARBAGE, Kind.HTML, Kind.EMPTY, Kind.NO_ID, Kind.BAD_ID})
_DEFAULT_STATUS: Final = {Kind.STATUS: 500, Kind.HTML: 502}


class FaultError(ValueError):
    """A fault's description makes no sense; the text says why."""


@dataclass(frozen=True, kw_only=True)
class FaultSpec:
    """A fault as a test describes it."""

    operation: Operation = Operation.ANY
    kind: Kind = Kind.STATUS
    when: When | None = None  # filled in from the kind
    status: int | None = None  # of the answer; 500 for status, 502 for html, else 200
    headers: Mapping[str, str] = field(default_factory=dict)  # added to the answer, such as Retry-After
    error_type: str | None = None
    error_sub_type: str | None = None
    message: str = "fault ordered by a test"
    echo_value: bool = False  # the error's message repeats the value sent: a trap for clients that log it
    count: int | None = 1  # how many requests it strikes; None: until removed
    skip: int = 0  # how many matching requests pass first
    match: Mapping[str, str] = field(default_factory=dict)  # metadata key -> start of its text
    account: str | None = None
    store: bool = False  # the answer is stored under the Idempotency-Key, and replayed
    seconds: float = 1.0
    size: int = 64 * 1024 * 1024

    @classmethod
    def parse(cls, described: Mapping[str, Any]) -> FaultSpec:
        """Read a fault from JSON.

        Raises FaultError.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(set(described) - known):
            raise FaultError(f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        values = dict(described)
        for name, choices in (("operation", Operation), ("kind", Kind), ("when", When)):
            if values.get(name) is not None:
                try:
                    values[name] = choices(values[name])
                except ValueError:
                    raise FaultError(f"{name} must be one of {', '.join(choices)}") from None
        _check_types(values)
        spec = cls(**values)
        when = spec.when or _FIXED_WHEN.get(spec.kind)
        if when is None:
            when = When.BEFORE if spec.kind in _BEFORE_BY_DEFAULT else When.AFTER
        spec = dataclasses.replace(spec, when=when, status=spec.status or _DEFAULT_STATUS.get(spec.kind, 200))
        spec._check()  # noqa: SLF001 - its own
        return spec

    def _check(self) -> None:
        if self.when is not _FIXED_WHEN.get(self.kind, self.when):
            raise FaultError(f"{self.kind} says itself when it happens; leave `when` out")
        if self.when is When.DURING and self.kind not in PAUSES:
            raise FaultError(f"`when: during` is for pauses ({', '.join(sorted(PAUSES))}), not {self.kind}")
        if self.store and self.kind not in _STORABLE:
            raise FaultError(f"`store` is for {', '.join(sorted(_STORABLE))}, not {self.kind}")
        if self.store and self.echo_value:
            raise FaultError("`echo_value` cannot be stored: the emulator keeps no value")
        if self.echo_value and (self.kind is not Kind.STATUS or self.operation is not Operation.CREATE):
            raise FaultError("`echo_value` is for the status of a create")
        if self.skip < 0 or (self.count is not None and self.count < 1) or self.seconds < 0 or self.size < 1:
            raise FaultError("count and size must be at least 1, skip and seconds not negative")
        if not 200 <= (self.status or 0) <= 599:  # noqa: PLR2004 - the final statuses of HTTP
            raise FaultError("status must be from 200 to 599")

    def shown(self) -> dict[str, object]:
        """Return the fault as JSON."""
        shown = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**shown, "headers": dict(self.headers), "match": dict(self.match)}


class DroppedError(Exception):
    """The request ends without an answer: its connection is to be reset."""


class Gate:
    """Where paused requests wait; the first to come is the first to be released."""

    def __init__(self) -> None:
        self._held: deque[asyncio.Future[bool]] = deque()
        self._changed = asyncio.Event()

    @property
    def held(self) -> int:
        """How many wait now."""
        return len(self._held)

    async def hold(self) -> None:
        """Wait until released.

        Raises DroppedError where the server stops meanwhile.
        """
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._held.append(place)
        self._tell()
        try:
            if not await place:
                raise DroppedError
        finally:
            if place in self._held:
                self._held.remove(place)

    def release(self, count: int | None = None, *, drop: bool = False) -> int:
        """Let the first `count` go on (None: all), or drop their connections; return how many."""
        released = 0
        while self._held and (count is None or released < count):
            place = self._held.popleft()
            if not place.done():
                place.set_result(not drop)
                released += 1
        self._tell()
        return released

    async def wait_held(self, count: int) -> None:
        """Wait until `count` requests are held at once."""
        while self.held < count:
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(slots=True, eq=False)
class Fault:
    """A fault in force."""

    number: int
    spec: FaultSpec
    seen: int = 0  # matching requests, those that it let pass too
    applied: int = 0
    gate: Gate = field(default_factory=Gate)

    @property
    def used_up(self) -> bool:
        """Whether no further request will meet it."""
        return self.spec.count is not None and self.applied >= self.spec.count

    def shown(self) -> dict[str, object]:
        """Return the fault and how far it has come, as JSON."""
        return {
            "id": self.number,
            "seen": self.seen,
            "applied": self.applied,
            "held": self.gate.held,
            "spec": self.spec.shown(),
        }


class FaultTable:
    """The faults in force, in the order they came."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._last = 0

    def __bool__(self) -> bool:
        return bool(self._faults)

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of faults
        return iter(list(self._faults.values()))

    def add(self, spec: FaultSpec) -> Fault:
        """Put a fault in force."""
        self._last += 1
        fault = self._faults[self._last] = Fault(self._last, spec)
        return fault

    def get(self, number: int) -> Fault | None:
        """Return a fault, also one that is used up; None where it was removed."""
        return self._faults.get(number)

    def remove(self, number: int) -> bool:
        """Remove a fault; the requests it holds go on (those that it hangs are dropped)."""
        fault = self._faults.pop(number, None)
        if fault is None:
            return False
        fault.gate.release()
        return True

    def clear(self, *, drop: bool = False) -> None:
        """Remove every fault, as `remove` does, or dropping all that is held."""
        for fault in self._faults.values():
            fault.gate.release(drop=drop)
        self._faults.clear()

    def select(
        self, operation: Operation, *, metadata: Mapping[str, Any] | None, account: str, answered: bool
    ) -> Fault | None:
        """Choose and count the fault that this request meets.

        `answered` says that its Idempotency-Key has an answer already: a fault that wants to be stored
        cannot strike it.
        """
        for fault in self._faults.values():
            spec = fault.spec
            if fault.used_up or spec.operation not in (operation, Operation.ANY):
                continue
            if (spec.account not in (None, account)) or (spec.store and answered):
                continue
            if spec.match and not metadata_matches(metadata, spec.match):
                continue
            fault.seen += 1
            if fault.seen > spec.skip:
                fault.applied += 1
                return fault
        return None


def _check_types(values: dict[str, Any]) -> None:
    numbers = {"status": int, "count": int, "skip": int, "size": int, "seconds": (int, float)}
    for name, value in values.items():
        optional = name in ("status", "count", "account", "error_type", "error_sub_type", "when")
        if value is None and optional:
            continue
        if name in numbers:
            right = isinstance(value, numbers[name]) and not isinstance(value, bool)  # type: ignore[arg-type]  # a class or classes
        elif name in ("headers", "match"):
            right = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        elif name in ("store", "echo_value"):
            right = isinstance(value, bool)
        else:
            right = isinstance(value, str)
        if not right:
            raise FaultError(f"{name} has the wrong type")
