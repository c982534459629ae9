"""The latest known version of every MethodSecret, never older than our own writes.

Watch events and the answers to our own writes both land here; the higher resourceVersion wins (they are
comparable for objects of one kind: Kubernetes API concepts, since 1.35 by contract). An object is kept as
compact JSON and parsed when it is looked at: 10,000 parsed objects would take five times the memory.

It tells apart who changed a status: an object whose status somebody else has written while this process
works, or that came with one after the start, is not `trusted` until the operator has written or confirmed it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pydantic

from methodsecret_operator.core import salvage
from methodsecret_operator.core.conditions import READY, Reason
from methodsecret_operator.core.resource import ANNOTATIONS, MethodSecret
from methodsecret_operator.errors import SchemaError

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)

_DEFAULTED: Final = frozenset({"observedGeneration", "conditions"})
"""What the CRD puts into the status of a new object."""

_REASONS: Final = frozenset({*map(str, Reason), "Unseen"})


@dataclass(frozen=True, slots=True)
class _Grave:
    """An object that is known to be gone, as it was last seen: a page of a long list may come later."""

    uid: str
    version: int


@dataclass(slots=True)
class _Entry:
    uid: str
    version: int
    blob: bytes
    trusted: bool = True


class ObjectCache:
    """Objects by `namespace/name`; `wake` is called with a key that is worth a look.

    While `starting`, statuses are taken as they are found: the leader before us writes them.
    """

    def __init__(self, *, wake: Callable[[str], None], starting: Callable[[], bool] = lambda: False) -> None:
        self._wake = wake
        self._starting = starting
        self._entries: dict[str, _Entry] = {}
        self._held_back: dict[str, list[Mapping[str, Any]]] = {}
        self._graves: dict[str, _Grave] = {}
        self._named_by: dict[str, tuple[str, ...]] = {}  # an id at Method -> the keys whose status names it
        self._counts: Counter[tuple[str, str]] = Counter()  # how many objects, by namespace and reason

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        return list(self._entries)

    def get(self, key: str) -> MethodSecret | None:
        """Return the object, or None where there is none.

        One that is being deleted is read as far as it can be: what held it for its shape would hold its
        namespace too. Raises SchemaError for any other that does not fit.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            return MethodSecret.model_validate_json(entry.blob)
        except pydantic.ValidationError as error:
            # What has no place is no JSON to pydantic: the cache wrote it, so it can only be too deep.
            fields = [
                ".".join(map(str, place["loc"])) or "spec.metadata (nested too deeply)"
                for place in error.errors(include_input=False)
            ]
        document = json.loads(entry.blob)
        if "deletionTimestamp" in document["metadata"]:
            return salvage.read(document)
        raise SchemaError(key=key, fields=fields)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return how many objects there are, by namespace and reason of the condition Ready.

        The reason is Unseen where there is no such condition, Unknown where it is none of ours.
        """
        return self._counts

    def version(self, key: str) -> int | None:
        """Return the resourceVersion of the object as a number."""
        entry = self._entries.get(key)
        return None if entry is None else entry.version

    def named_by_other(self, secret_id: str, key: str) -> bool:
        """Whether the status of another object than this one names an id."""
        return any(other != key for other in self._named_by.get(secret_id, ()))

    def trusted(self, key: str) -> bool:
        """Whether the status is as the operator wrote, found at its start, or confirmed it."""
        entry = self._entries.get(key)
        return entry is None or entry.trusted

    def trust(self, key: str) -> None:
        """Believe the status from now on: it has been confirmed."""
        if entry := self._entries.get(key):
            entry.trusted = True

    def observe(self, raw: Mapping[str, Any]) -> None:
        """Take an object from a watch or a list; wake its key where something of interest has changed.

        An event of one of our own writes tells nothing new, whichever comes first: it or the answer.
        """
        key = _key(raw)
        if key in self._held_back:
            self._held_back[key].append(raw)
            return
        entry, compact = self._entries.get(key), _compact(raw)
        version = _version(raw)
        if entry is not None and version <= entry.version:
            return  # also where it is of a former object by that name
        grave = self._graves.get(key)
        if entry is None and grave is not None:
            if grave.uid == raw["metadata"]["uid"] and version <= grave.version:
                return
            del self._graves[key]
        former = None if entry is None else json.loads(entry.blob)
        self._note(key, former, compact)
        if entry is None or former is None or entry.uid != raw["metadata"]["uid"]:
            # An object is made without a status: one that has come later with one has it from somebody else.
            made = compact["status"].keys() <= _DEFAULTED
            self._entries[key] = _Entry(
                uid=raw["metadata"]["uid"],
                version=version,
                blob=_dump(compact),
                trusted=self._starting() or made,
            )
            self._wake(key)
            return
        foreign = former.get("status") != compact.get("status")
        interesting = foreign or _interest(former) != _interest(compact)
        entry.version, entry.blob = version, _dump(compact)
        entry.trusted = self._starting() or (entry.trusted and not foreign)
        if interesting:
            self._wake(key)

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take an object as the answer to our own write: its change is ours, and wakes nobody."""
        entry, version = self._entries.get(_key(raw)), _version(raw)
        if entry is not None and entry.uid == raw["metadata"]["uid"] and version > entry.version:
            compact = _compact(raw)
            self._note(_key(raw), json.loads(entry.blob), compact)
            entry.version, entry.blob = version, _dump(compact)

    def holds(self, raw: Mapping[str, Any]) -> bool:
        """Whether this version of an object is here, or a later one: to observe it would tell nothing."""
        entry = self._entries.get(_key(raw))
        return entry is not None and entry.uid == raw["metadata"]["uid"] and _version(raw) <= entry.version

    def wake(self, key: str) -> None:
        """Ask for another look at an object."""
        self._wake(key)

    def forget(self, raw: Mapping[str, Any]) -> None:
        """Drop an object that was deleted, unless another of that name has come since."""
        key, uid = _key(raw), raw["metadata"]["uid"]
        entry = self._entries.get(key)
        if entry is None or entry.uid == uid:
            self._graves[key] = _Grave(uid=uid, version=_version(raw))
        self.drop(key, uid=uid)

    def drop(self, key: str, *, uid: str) -> None:
        """Drop an object that is known to be gone, unless another of that name has come since."""
        if key in self._held_back:  # all of it is older than the object's end
            self._held_back[key] = [raw for raw in self._held_back[key] if raw["metadata"]["uid"] != uid]
        entry = self._entries.get(key)
        if entry is not None and entry.uid == uid:
            self._note(key, json.loads(entry.blob), None)
            del self._entries[key]
            grave = self._graves.get(key)
            if grave is None or grave.uid != uid or grave.version < entry.version:
                self._graves[key] = _Grave(uid=uid, version=entry.version)
            self._wake(key)

    def prune(self, alive: set[str], *, namespace: str | None, before: int) -> None:
        """Drop what a complete list of a namespace (None: all), at version `before`, does not hold."""
        prefix = "" if namespace is None else f"{namespace}/"
        # All pages of that list have come: nothing older can follow.
        self._graves = {key: grave for key, grave in self._graves.items() if not key.startswith(prefix)}
        gone = [
            (key, entry.uid)
            for key, entry in self._entries.items()
            if key not in alive and key.startswith(prefix) and entry.version <= before
        ]
        for key, uid in gone:
            self.drop(key, uid=uid)

    def _note(self, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        """Keep up which object names which id, and how many there are, from what one was to what it is."""
        self._recount(before, -1)
        self._recount(after, 1)
        former = before["status"].get("id") if before is not None else None
        current = after["status"].get("id") if after is not None else None
        if former == current:
            return
        if former is not None:
            left = tuple(other for other in self._named_by.pop(former, ()) if other != key)
            if left:
                self._named_by[former] = left
        if current is not None:
            self._named_by[current] = (*self._named_by.get(current, ()), key)

    def _recount(self, compact: Mapping[str, Any] | None, by: int) -> None:
        if compact is None:
            return
        place = (compact["metadata"]["namespace"], _reason(compact["status"]))
        self._counts[place] += by
        if not self._counts[place]:
            del self._counts[place]

    @contextmanager
    def own_write(self, key: str) -> Iterator[None]:
        """Hold back this key's events until our write's answer is taken, so that it is not mistaken."""
        self._held_back.setdefault(key, [])
        try:
            yield
        finally:
            for raw in self._held_back.pop(key):
                self.observe(raw)


def _key(raw: Mapping[str, Any]) -> str:
    return f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"


def _version(raw: Mapping[str, Any]) -> int:
    return int(raw["metadata"]["resourceVersion"])


def _interest(compact: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what makes a changed object worth a look; labels and others' annotations do not."""
    metadata = compact["metadata"]
    return (metadata.get("generation"), metadata.get("deletionTimestamp"), metadata.get("annotations"))


def _reason(status: Mapping[str, Any]) -> str:
    """Return the reason of Ready. Who may write a status must not make up values of a label."""
    found = (one.get("reason") for one in status.get("conditions") or () if one.get("type") == READY)
    reason = next(found, "Unseen")
    return reason if reason in _REASONS else "Unknown"


def _compact(raw: Mapping[str, Any]) -> dict[str, Any]:
    metadata = raw["metadata"]
    kept = {name: metadata[name] for name in _METADATA if name in metadata}
    annotations = metadata.get("annotations") or {}
    kept["annotations"] = {name: annotations[name] for name in ANNOTATIONS if name in annotations}
    spec = raw.get("spec")
    if "deletionTimestamp" in kept and isinstance(spec, Mapping):
        # A deletion has no use for it, and it is free-form: nested too deeply, nobody could read the rest.
        spec = {name: value for name, value in spec.items() if name != "metadata"}
    return {"metadata": kept, "spec": spec, "status": raw.get("status") or {}}


def _dump(compact: Mapping[str, Any]) -> bytes:
    return json.dumps(compact, separators=(",", ":")).encode()
