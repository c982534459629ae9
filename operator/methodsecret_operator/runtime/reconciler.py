"""Reconciles one object: looks at it, and writes what was found, once.

It holds no rule of its own: what to do is core.decision's, what to say is core.status's. A finding that
could not be written is kept and written first the next time: an id at Method must never be known to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import structlog

from methodsecret_operator.core import decision
from methodsecret_operator.core.resource import MethodSecret, Status
from methodsecret_operator.core.snapshot import Finding, Leave, Retry
from methodsecret_operator.core.status import merge_patch, overtaken, summarize, worth_writing
from methodsecret_operator.errors import KubeConflict, KubeNotFound
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime import metrics
from methodsecret_operator.runtime.acting import Look
from methodsecret_operator.runtime.announce import Announcer
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.gather import Gatherer
from methodsecret_operator.runtime.memory import Memory

_log = structlog.get_logger(__name__)

_REBASES: Final = 5
"""How often one status write is rebased on a fresh object before it waits for a while."""


class Reconciler:
    """Brings one object at a time to where its spec wants it. Raises KubeError: the queue tries again."""

    def __init__(
        self, *, cache: ObjectCache, kube: KubeClient, gatherer: Gatherer, announcer: Announcer
    ) -> None:
        self._cache = cache
        self._kube = kube
        self._gatherer = gatherer
        self._announcer = announcer
        self._memories: dict[str, tuple[str, Memory]] = {}
        self._doubted: set[str] = set()

    async def reconcile(self, key: str) -> Retry:
        """Look at the object once, do what is due, and return when to look again."""
        try:
            return await self._reconcile(key)
        finally:
            if key not in self._memories or self._memories[key][1].unwritten is None:
                self._gatherer.claims.release(key)

    async def _reconcile(self, key: str) -> Retry:
        obj = self._cache.get(key)
        if obj is None:
            self._forget(key)
            self._doubted.discard(key)
            return "resync"
        structlog.contextvars.bind_contextvars(
            namespace=obj.metadata.namespace, name=obj.metadata.name, generation=obj.metadata.generation
        )
        if obj.unread:
            _log.warning("deleting an object that does not fit the schema", unread=list(obj.unread))
        memory = self._memory(key, obj)
        if memory.unwritten is not None:
            retry = await self._write(key, obj, memory.unwritten, memory)
            # The key may be here for what has come since: that is looked at right after.
            return 0.0 if retry == "resync" else retry
        settled = decision.settled(
            obj,
            source=self._gatherer.sources.version(obj),
            environment=self._gatherer.environment(obj),
            trusted=self._cache.trusted(key),
            config_map=await self._gatherer.publications.version(obj),
        )
        if settled and key not in self._doubted:
            self._forget(key)
            return "resync"
        look = Look(obj=obj, memory=memory, cache=self._cache, kube=self._kube, gatherer=self._gatherer)
        finding = await look.find()
        if isinstance(finding, Leave):
            return finding.retry  # what it was doubted for may still be under way, waiting for its turn
        self._doubted.discard(key)
        metrics.FINDINGS.labels(reason=finding.reason.value).inc()
        if finding.reason.ready:
            # A 404 from before counts no more: the next one is the first of two again.
            memory.missing.pop(finding.secret.id if finding.secret is not None else obj.status.id or "", None)
        if finding.secret is not None:
            # From here on the id may be known to nobody but this finding, until it is written.
            memory.attempt, memory.sent_to, memory.unwritten = None, None, finding
        fresh = self._cache.get(key)
        if fresh is None or fresh.metadata.uid != obj.metadata.uid:
            fresh = obj  # the write finds out that it is gone: its successor is not what this was found of
        elif finding.secret is None and fresh.status != look.seen.status:
            # An opinion on what somebody else has written over meanwhile: form another.
            self._cache.wake(key)
            return finding.retry
        return await self._write(key, fresh, finding, memory)

    def doubt(self, key: str) -> None:
        """Look at this object once more even if its status says that all is well."""
        self._doubted.add(key)

    def _memory(self, key: str, obj: MethodSecret) -> Memory:
        uid, memory = self._memories.get(key, ("", Memory()))
        if uid != obj.metadata.uid:
            self._forget(key)
            memory = Memory()
            self._memories[key] = (obj.metadata.uid, memory)
        return memory

    def _forget(self, key: str) -> None:
        _, memory = self._memories.pop(key, ("", Memory()))
        memory.abandon()

    async def _write(self, key: str, obj: MethodSecret, finding: Finding, memory: Memory) -> Retry:
        """Write what a finding gives, rebased on the object as it is; nothing where nothing differs."""
        for _ in range(_REBASES):
            again = overtaken(obj, finding)
            if again and finding.secret is None:
                # Nothing is in hand but an opinion on a former id: form another.
                self._cache.wake(key)
                return finding.retry
            status = summarize(obj, finding, now=self._gatherer.clock())
            if not worth_writing(obj.status, status):
                break
            result = await self._patch(key, obj, status)
            if result == "written":
                self._announcer.announce(obj, status, finding)
                break
            if result == "conflict" and finding.secret is None:
                # Nothing is in hand but an opinion on a former version: form another.
                self._cache.wake(key)
                return finding.retry
            fresh = await self._fresh(key, obj) if result == "conflict" else None
            if fresh is None:
                self._lost(finding)
                memory.unwritten = None
                return finding.retry
            obj = fresh
        else:
            return "backoff"
        memory.unwritten = None
        if again:
            self._cache.wake(key)
        elif finding.source is not None or finding.adopted is not None:
            self._cache.trust(key)
        return finding.retry

    async def _patch(
        self, key: str, obj: MethodSecret, status: Status
    ) -> Literal["written", "conflict", "gone"]:
        try:
            with self._cache.own_write(key):
                answer = await self._kube.patch_methodsecret_status(*_names(obj), _locked(obj, status))
                self._cache.take(answer)
        except KubeConflict:
            return "conflict"
        except KubeNotFound:
            self._cache.drop(key, uid=obj.metadata.uid)
            return "gone"
        return "written"

    async def _fresh(self, key: str, obj: MethodSecret) -> MethodSecret | None:
        """Return the object live, or None where it is gone or another one by that name."""
        try:
            self._cache.observe(await self._kube.get_methodsecret(*_names(obj)))
        except KubeNotFound:
            self._cache.drop(key, uid=obj.metadata.uid)
        fresh = self._cache.get(key)
        return fresh if fresh is not None and fresh.metadata.uid == obj.metadata.uid else None

    def _lost(self, finding: Finding) -> None:
        if finding.secret is not None:
            _log.warning("object is gone; its secret stays at Method", id=finding.secret.id)


def _names(obj: MethodSecret) -> tuple[str, str]:
    return obj.metadata.namespace, obj.metadata.name


def _locked(obj: MethodSecret, status: Status) -> Mapping[str, Any]:
    """Return the patch, good only for the very version that it was made for."""
    lock = {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}
    return {"metadata": lock, "status": merge_patch(obj.status.to_wire(), status.to_wire())}
