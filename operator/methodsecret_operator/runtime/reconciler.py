"""Reconciles one object: gather, decide, act, and write the status once.

It holds no rule of its own: what to do is core.decision's, what to say is core.status's. It keeps only
what must outlive one look: the create whose outcome is unknown, and a finding that could not be written.
Losing either (the process dies) costs a few calls and never a second secret: the idempotency key is pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from methodsecret_operator.core import decision
from methodsecret_operator.core.decision import Attempt, Confirm, Create, Finding, Leave, Retry, Snapshot
from methodsecret_operator.core.remote import DELETED, RemoteSecret
from methodsecret_operator.core.resource import MethodSecret, Status
from methodsecret_operator.core.status import merge_patch, overtaken, summarize, worth_writing
from methodsecret_operator.errors import KubeConflict, KubeNotFound, MethodError, MethodNotFound
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.budget import Slot
from methodsecret_operator.method.client import MethodClient
from methodsecret_operator.runtime.announce import Announcer
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.gather import Gatherer

_log = structlog.get_logger(__name__)

_REBASES: Final = 5
"""How often one status write is rebased on a fresh object before it waits for a while."""

_STEPS: Final = 4
"""How many looks one reconcile takes: each Confirm, and a wait for the budget, costs one."""


@dataclass(slots=True)
class _Memory:
    """What is remembered of one object, by uid."""

    attempt: Attempt | None = None
    unwritten: Finding | None = None


class Reconciler:
    """Brings one object at a time to where its spec wants it. Raises KubeError: the queue tries again."""

    def __init__(
        self, *, cache: ObjectCache, kube: KubeClient, gatherer: Gatherer, announcer: Announcer
    ) -> None:
        self._cache = cache
        self._kube = kube
        self._gatherer = gatherer
        self._announcer = announcer
        self._memories: dict[str, tuple[str, _Memory]] = {}

    async def reconcile(self, key: str) -> Retry:
        """Look at the object once, do what is due, and return when to look again."""
        obj = self._cache.get(key)
        if obj is None:
            self._memories.pop(key, None)
            return "resync"
        structlog.contextvars.bind_contextvars(
            namespace=obj.metadata.namespace, name=obj.metadata.name, generation=obj.metadata.generation
        )
        memory = self._memory(key, obj)
        if memory.unwritten is not None:
            return await self._write(key, obj, memory.unwritten, memory)
        settled = decision.settled(
            obj,
            source=self._gatherer.sources.version(obj),
            environment=self._gatherer.environment(obj),
            trusted=self._cache.trusted(key),
        )
        if settled:
            self._memories.pop(key, None)
            return "resync"
        finding = await self._find(key, obj, memory)
        if finding is None:
            return "resync"
        return await self._write(key, self._cache.get(key) or obj, finding, memory)

    def _memory(self, key: str, obj: MethodSecret) -> _Memory:
        uid, memory = self._memories.get(key, ("", _Memory()))
        if uid != obj.metadata.uid:
            memory = _Memory()
            self._memories[key] = (obj.metadata.uid, memory)
        return memory

    async def _find(self, key: str, obj: MethodSecret, memory: _Memory) -> Finding | None:
        """Decide and act until there is something to say; None where there is not."""
        evidence: dict[str, RemoteSecret | None] = {}
        async with contextlib.AsyncExitStack() as held:
            slot: Slot | None = None
            for _ in range(_STEPS):
                snapshot, client = await self._gatherer.gather(
                    obj, attempt=memory.attempt, trusted=self._cache.trusted(key), evidence=evidence
                )
                action = decision.decide(snapshot)
                if isinstance(action, Leave):
                    return None
                if isinstance(action, Finding):
                    return action
                assert client is not None  # noqa: S101 - decide asks of Method only where the account is ready
                if isinstance(action, Confirm):
                    try:
                        evidence[action.id] = await _retrieve(client, action.id)
                    except MethodError as error:
                        return _unconfirmed(snapshot, error)
                    continue
                if slot is None:
                    slot = held.enter_context(await client.writes.acquire())
                await self._look_again(key, obj)
                if self._as_seen(key, snapshot):
                    return await self._create(snapshot, action, client, slot, memory)
                current = self._cache.get(key)
                if current is None or current.metadata.uid != obj.metadata.uid:
                    return None
                obj = current
        # What is looked at moves faster than one look: start again, in the queue's order.
        self._cache.wake(key)
        return None

    async def _look_again(self, key: str, obj: MethodSecret) -> None:
        """Read the object live where a former id is at stake; else the watch is near enough."""
        if obj.status.id is None:
            return
        try:
            self._cache.observe(await self._kube.get_methodsecret(*_names(obj)))
        except KubeNotFound:
            self._cache.drop(key, uid=obj.metadata.uid)

    def _as_seen(self, key: str, snapshot: Snapshot) -> bool:
        """Whether object and value are still what was decided on: the budget may have taken long."""
        obj, source = snapshot.object, snapshot.source
        if self._cache.version(key) != int(obj.metadata.resource_version):
            return False
        watched = self._gatherer.sources.version(obj)
        if watched is None or isinstance(source, decision.Problem):
            return True
        uid, version = watched
        # The watch may lag behind what was read; only something newer in it counts.
        return uid == source.uid and int(version) <= int(source.resource_version)

    async def _create(
        self, snapshot: Snapshot, create: Create, client: MethodClient, slot: Slot, memory: _Memory
    ) -> Finding:
        # Remembered before it is sent: whatever ends this coroutine, it is asked again as it was.
        memory.attempt = Attempt(revision=create.revision, ordinal=create.ordinal, unresolved=create)
        try:
            answer = await client.create(
                value=create.value,
                metadata=create.metadata,
                idempotency_key=create.idempotency_key,
                slot=slot,
            )
            secret: RemoteSecret | None = answer.secret
            if answer.replayed:
                secret = await _retrieve(client, answer.secret.id)
        except MethodError as error:
            finding, memory.attempt = decision.failed(snapshot, create, error)
            _log.warning(
                "create failed",
                error=type(error).__name__,
                kind=error.kind,
                status=error.status,
                definite=error.definite,
                ordinal=create.ordinal,
                request_id=error.request_id,
            )
            return finding
        if secret is None or secret.status == DELETED:
            finding, memory.attempt = decision.gone(snapshot, create, secret)
            _log.warning("replayed create names a secret that is not there", id=answer.secret.id)
            return finding
        finding = decision.created(snapshot, create, secret)
        memory.attempt = None
        # From here on the id exists nowhere but in this finding until it is written.
        memory.unwritten = finding
        _log.info(
            "secret created",
            id=secret.id,
            former=snapshot.object.status.id,
            replayed=answer.replayed,
            request_id=answer.request_id,
        )
        return finding

    async def _write(self, key: str, obj: MethodSecret, finding: Finding, memory: _Memory) -> Retry:
        """Write what a finding gives, rebased on the object as it is; nothing where nothing differs."""
        for _ in range(_REBASES):
            status = summarize(obj, finding, now=self._gatherer.clock())
            again = overtaken(obj, finding)
            if not worth_writing(obj.status, status):
                break
            try:
                with self._cache.own_write(key):
                    answer = await self._kube.patch_methodsecret_status(*_names(obj), _locked(obj, status))
                    self._cache.take(answer)
            except KubeConflict:
                fresh = await self._fresh(key, obj)
                if fresh is None:
                    self._lost(finding)
                    break
                if finding.secret is None:
                    # Nothing is in hand but an opinion on a former version: form another.
                    self._cache.wake(key)
                    return finding.retry
                obj = fresh
            except KubeNotFound:
                self._cache.drop(key, uid=obj.metadata.uid)
                self._lost(finding)
                break
            else:
                self._announcer.announce(obj, status, finding)
                break
        else:
            return "backoff"
        memory.unwritten = None
        if finding.source is not None:
            self._cache.trust(key)
        if again:
            self._cache.wake(key)
        return finding.retry

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


async def _retrieve(client: MethodClient, secret_id: str) -> RemoteSecret | None:
    try:
        return await client.retrieve(secret_id)
    except MethodNotFound:
        return None


def _unconfirmed(snapshot: Snapshot, error: MethodError) -> Finding:
    _log.warning(
        "secret cannot be confirmed", error=type(error).__name__, kind=error.kind, status=error.status
    )
    return decision.unconfirmed(snapshot, error)


def _names(obj: MethodSecret) -> tuple[str, str]:
    return obj.metadata.namespace, obj.metadata.name


def _locked(obj: MethodSecret, status: Status) -> Mapping[str, Any]:
    """Return the patch, good only for the very version and uid that it was made for."""
    lock = {"resourceVersion": obj.metadata.resource_version, "uid": obj.metadata.uid}
    return {"metadata": lock, "status": merge_patch(obj.status.to_wire(), status.to_wire())}
