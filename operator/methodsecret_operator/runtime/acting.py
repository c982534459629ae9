"""Carries out what was decided on one object, until there is something to say about it.

Each action is done here and judged in core: nothing in this file knows a rule. What an object's look needs
to remember for the next one is in its Memory.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal, assert_never

import structlog

from methodsecret_operator.core import decision, deletion, outcome, publishing
from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.identity import Marker
from methodsecret_operator.core.remote import DELETED, RemoteSecret
from methodsecret_operator.core.resource import FINALIZER, DeletionPolicy, MethodSecret
from methodsecret_operator.core.snapshot import (
    Action,
    Adoption,
    ApplyConfigMap,
    Attempt,
    ConfigMapState,
    Confirm,
    Create,
    CreateConfigMap,
    Delete,
    DeleteConfigMap,
    Examine,
    Finding,
    Leave,
    ListAnew,
    Problem,
    ReadConfigMap,
    Retry,
    SetFinalizer,
    Snapshot,
)
from methodsecret_operator.errors import (
    KubeConflict,
    KubeNotFound,
    MethodError,
    MethodNotFound,
    MethodRateLimited,
    MethodRejected,
    MethodUnauthorized,
    MethodUnavailable,
)
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.accounts import Account
from methodsecret_operator.method.budget import Slot
from methodsecret_operator.runtime import drift, metrics, publish
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.gather import Gatherer
from methodsecret_operator.runtime.memory import Memory

_log = structlog.get_logger(__name__)

_STEPS: Final = 300
"""How many steps one look takes: each id that is asked for or deleted costs one, and there are at most a
hundred former ones."""

_PUBLISHING_STEPS: Final = 40
"""How many of them go to ConfigMaps: three for each that a status can name, and some that are in vain."""

_STALE: Final = timedelta(minutes=1)
"""How old an answer may be by the time it is looked at, from when it was asked for."""

Step = Finding | Leave | Literal["again"]
"""What one action has come to: something to say, nothing to say at the end of this look, or another step."""


class Look:
    """One look at one object. Raises KubeError: then it is taken again."""

    def __init__(
        self, *, obj: MethodSecret, memory: Memory, cache: ObjectCache, kube: KubeClient, gatherer: Gatherer
    ) -> None:
        self._obj = obj
        self._memory = memory
        self._cache = cache
        self._kube = kube
        self._gatherer = gatherer
        self._evidence: dict[str, RemoteSecret | None] = {}
        self._adoption: Adoption | None = None
        self._config_maps: dict[str, ConfigMapState] = {}
        self._undeletable: set[str] = set()

    @property
    def seen(self) -> MethodSecret:
        """The object as the last decision was made on it."""
        return self._obj

    async def find(self) -> Finding | Leave:
        """Decide and act until there is something to say, or until it is known that there is nothing."""
        key = self._obj.key
        try:
            for _ in range(_STEPS):
                step = await self._step()
                if step != "again":
                    return step
                current = self._cache.get(key)
                if current is None or current.metadata.uid != self._obj.metadata.uid:
                    return Leave()
                self._obj = current
        finally:
            self._memory.turn.end_look()
        # What is looked at moves faster than one look: start again, in the queue's order.
        self._cache.wake(key)
        return Leave()

    async def _step(self) -> Step:
        snapshot, account = await self._gatherer.gather(
            self._obj,
            attempt=self._memory.attempt,
            trusted=self._cache.trusted(self._obj.key),
            evidence=self._evidence,
            missing=self._memory.missing,
            refused_since=self._memory.refused_since,
            adoption=self._adoption,
            config_maps=self._config_maps,
        )
        snapshot = replace(snapshot, undeletable=frozenset(self._undeletable))
        action = decision.decide(snapshot)
        if account is None:
            self._memory.refused_since = snapshot.refused_since or snapshot.now
            if isinstance(action, publish.Step):
                return await self._publish(action, snapshot)
            return await self._act_alone(action)
        try:
            if _rests_on_inventory(snapshot, action):
                if snapshot.object.metadata.deletion_timestamp is not None:
                    self._memory.deleting_since = self._memory.deleting_since or snapshot.now
                gathered = snapshot
                snapshot = await self._gatherer.inventory_ready(
                    gathered, account, deleting_since=self._memory.deleting_since
                )
                if snapshot is not gathered:
                    action = decision.decide(snapshot)
            return await self._act(action, snapshot, account)
        except MethodError as error:
            return await self._unanswered(snapshot, error)

    async def _act_alone(self, action: Action) -> Step:
        """Do what needs no account."""
        match action:
            case Leave() | Finding():
                return action
            case SetFinalizer():
                return await self._set_finalizer(action)
            case _:
                raise AssertionError(action)

    async def _act(self, action: Action, snapshot: Snapshot, account: Account) -> Step:
        match action:
            case Confirm() | ListAnew() | Examine():
                return await self._ask(action, snapshot, account)
            case Delete(id=secret_id):
                return await self._delete(secret_id, snapshot, account)
            case Create():
                if snapshot.object.status.id is not None and not account.inventory.judged:
                    # Another account's API key may have come since the last resync.
                    await drift.judge(account, cache=self._cache, gatherer=self._gatherer)
                    if account.inventory.mass_absence:
                        return "again"
                slot = self._turn(account)
                if slot is None:
                    return await self._in_line(snapshot, account)
                await self._look_again(live=self._obj.status.id is not None)
                if not self._as_seen(snapshot):
                    return "again"
                return await self._create(snapshot, action, account, slot)
            case ReadConfigMap() | CreateConfigMap() | ApplyConfigMap() | DeleteConfigMap():
                return await self._publish(action, snapshot)
            case Leave() | Finding() | SetFinalizer():
                return await self._act_alone(action)
            case _:
                assert_never(action)

    async def _ask(self, action: Confirm | ListAnew | Examine, snapshot: Snapshot, account: Account) -> Step:
        """Find out what the next decision needs to know."""
        match action:
            case Confirm(id=secret_id):
                remote = await self._retrieve(account, secret_id)
                in_use = secret_id == snapshot.object.status.id
                if remote is None and (in_use or deletion.forgets(snapshot, secret_id)):
                    await drift.judge(account, cache=self._cache, gatherer=self._gatherer)
                self._evidence[secret_id] = remote
            case ListAnew(since=since):
                await account.inventory.scan_again(since=since)
                # What that does not show is about to be believed: not so where it shows next to nothing.
                await drift.judge(account, cache=self._cache, gatherer=self._gatherer)
            case Examine(id=secret_id):
                remote = await self._retrieve(account, secret_id)
                self._adoption = await self._gatherer.examine(self._obj, secret_id, remote)
                if remote is not None and Marker.read(remote.metadata) is not None:
                    # Its owner may have deleted it as it went: asked after that is gone, it can no more.
                    self._adoption = replace(self._adoption, remote=await self._retrieve(account, secret_id))
        return "again"

    def _turn(self, account: Account) -> Slot | None:
        """Return a slot of the account's budget; None where it has to be waited for."""
        key = self._obj.key
        return self._memory.turn.take(account.client.writes, come=lambda: self._cache.wake(key))

    async def _look_again(self, *, live: bool) -> None:
        """Read the object live where an id is at stake; else the watch is near enough."""
        if not live:
            return
        meta = self._obj.metadata
        try:
            self._cache.observe(await self._kube.get_methodsecret(meta.namespace, meta.name))
        except KubeNotFound:
            self._cache.drop(self._obj.key, uid=meta.uid)

    def _as_seen(self, snapshot: Snapshot) -> bool:
        """Whether object and value are still what was decided on: the budget may have taken long."""
        obj, source = snapshot.object, snapshot.source
        if self._cache.version(obj.key) != int(obj.metadata.resource_version):
            return False
        watched = self._gatherer.sources.version(obj)
        if watched is None or isinstance(source, Problem):
            return True
        # The watch may lag, even by a Secret made anew: only what is newer in it than what was read counts.
        _uid, version = watched
        return int(version) <= int(source.resource_version)

    async def _create(self, snapshot: Snapshot, create: Create, account: Account, slot: Slot) -> Step:
        memory, decided_on = self._memory, snapshot
        former = memory.attempt, memory.sent_to
        # Remembered before it is sent: whatever ends this coroutine, it is asked again as it was.
        if memory.attempt is None or memory.attempt.unresolved != create:
            memory.attempt = Attempt(
                revision=create.revision, ordinal=create.ordinal, since=snapshot.now, unresolved=create
            )
        memory.sent_to = account.inventory
        snapshot = replace(snapshot, attempt=memory.attempt)
        try:
            answer = await account.client.create(
                value=create.value,
                metadata=create.metadata,
                idempotency_key=create.idempotency_key,
                slot=slot,
            )
        except MethodError as error:
            if error.kind == "held":  # not sent: there is nothing to remember
                memory.attempt, memory.sent_to = former
                raise
            over = replace(snapshot, now=self._gatherer.clock())
            said, memory.attempt = outcome.failed(over, create, error)
            _log.warning("create failed", **_told(error), definite=error.definite, ordinal=create.ordinal)
            return await self._held_or_let_go(over, said)
        secret: RemoteSecret | None = answer.secret
        if answer.replayed:
            # Where that cannot be asked, the create stays open: its failures are no failures of the create.
            secret = await self._retrieve(account, answer.secret.id)
            snapshot = self._gatherer.with_inventory(replace(snapshot, missing=dict(memory.missing)), account)
        condemned = answer.secret.id in snapshot.object.status.condemned
        if secret is None or secret.status == DELETED or condemned:
            ended = secret is not None or condemned
            said, memory.attempt = outcome.gone(snapshot, create, answer.secret.id, deleted=ended)
            _log.warning("replayed create names a secret that is not there, or goes", id=answer.secret.id)
            return said
        # An answer need not repeat the metadata; what was sent is what is there.
        account.inventory.learn(replace(secret, metadata=create.metadata))
        _log.info(
            "secret created",
            id=secret.id,
            former=snapshot.object.status.id,
            replayed=answer.replayed,
            request_id=answer.request_id,
        )
        return decision.created(decided_on, create, secret)

    async def _delete(self, secret_id: str, snapshot: Snapshot, account: Account) -> Step:
        slot = self._turn(account)
        if slot is None:
            return await self._in_line(snapshot, account)
        await self._look_again(live=True)
        if self._as_seen(snapshot):
            self._memory.turn.spend()
            try:
                with slot, contextlib.suppress(MethodNotFound):
                    await account.client.delete(secret_id, slot=slot)
            except (MethodRejected, MethodUnauthorized) as error:
                key_refused = error.status == 401  # noqa: PLR2004 - HTTP's own number
                if snapshot.object.metadata.deletion_timestamp is not None or key_refused:
                    raise
                # What the object is for is done: that a former secret stays does not make it not Ready.
                _log.warning("former secret not deleted: Method refuses", id=secret_id, **_told(error))
                self._undeletable.add(secret_id)
                return "again"
            account.inventory.forget(secret_id)
            self._evidence[secret_id] = RemoteSecret(id=secret_id, status=DELETED, metadata=None)
            _log.info("secret deleted", id=secret_id)
        return "again"

    async def _retrieve(self, account: Account, secret_id: str) -> RemoteSecret | None:
        """Ask for a secret, and remember what the answer says about its being there.

        The client gives up a request long before an answer is stale. A process that was suspended meanwhile
        may still come by one; whether a deletion's time is up must not be judged by that. It is as old as the
        request, for whose turn it may have waited long before.
        """
        slot = await account.client.read_slot("retrieve")
        asked, remote = self._gatherer.clock(), None
        with slot, contextlib.suppress(MethodNotFound):
            remote = await account.client.retrieve(secret_id, slot=slot)
        if self._gatherer.clock() - asked > _STALE:
            raise MethodUnavailable(operation="retrieve", kind="timeout")
        if self._obj.metadata.deletion_timestamp is None:
            self._memory.refused_since = None  # else it may be the DELETE after it that is refused
        if remote is None:
            self._memory.missing.setdefault(secret_id, self._gatherer.clock())
            return None
        self._memory.missing.pop(secret_id, None)
        if remote.status == DELETED:
            account.inventory.forget(secret_id)
        else:
            account.inventory.learn(remote)
        return remote

    async def _publish(self, step: publish.Step, snapshot: Snapshot) -> Step:
        """Take a step on a ConfigMap, if the object is still as it was decided on."""
        if isinstance(step, ApplyConfigMap | DeleteConfigMap):
            # Another operator may have moved the id on, and must not be written over.
            await self._look_again(live=True)
            if not self._as_seen(snapshot):
                return "again"
        namespace = snapshot.object.metadata.namespace
        await publish.take(step, namespace=namespace, kube=self._kube, seen=self._config_maps)
        return "again"

    async def _kept(self, snapshot: Snapshot, said: Finding) -> Finding:
        """Keep showing the id in use where Method failed us, which is found out after the decision."""
        for _ in range(_PUBLISHING_STEPS):
            action = publishing.kept(replace(snapshot, config_maps=self._config_maps), said)
            match action:
                case Finding():
                    return action
                case ReadConfigMap() | CreateConfigMap() | ApplyConfigMap() | DeleteConfigMap():
                    await self._publish(action, snapshot)
                case _:
                    raise AssertionError(action)
            if not self._as_seen(snapshot):
                break  # the next look decides on what there is by now
        return said

    async def _set_finalizer(self, action: SetFinalizer) -> Step:
        """Put our finalizer on or take it off; the end of a deletion is the end of the look."""
        meta = self._obj.metadata
        others = [name for name in meta.finalizers if name != FINALIZER]
        lock = {"resourceVersion": meta.resource_version, "uid": meta.uid}
        patch = {"metadata": {**lock, "finalizers": [*others, FINALIZER] if action.present else others}}
        try:
            with self._cache.own_write(self._obj.key):
                self._cache.take(await self._kube.patch_methodsecret(meta.namespace, meta.name, patch))
        except KubeNotFound:
            self._cache.drop(self._obj.key, uid=meta.uid)
            return Leave()
        except KubeConflict:
            await self._look_again(live=True)
            return "again"
        if action.undone:
            _log.error("secrets stay at Method: nobody could delete them any more", ids=list(action.undone))
            metrics.ABANDONED.inc(len(action.undone))
        if action.claimed:
            _log.warning(
                "secrets stay at Method: another MethodSecret goes by them", ids=list(action.claimed)
            )
        return Leave() if meta.deletion_timestamp is not None else "again"

    async def _unanswered(self, snapshot: Snapshot, error: MethodError) -> Step:
        """Say that Method could not be asked."""
        _log.warning("method cannot be asked", **_told(error))
        # A failure may have taken half a minute. For what is longer this process was suspended, not Method.
        snapshot = replace(snapshot, now=min(self._gatherer.clock(), snapshot.now + _STALE))
        if isinstance(error, MethodRateLimited) and error.kind == "held":
            return await self._wait(snapshot, retry=error.retry_after or 0.0, blocked=True)
        return await self._held_or_let_go(snapshot, outcome.unconfirmed(snapshot, error))

    async def _in_line(self, snapshot: Snapshot, account: Account) -> Step:
        """End the look, to be woken when the turn has come."""
        return await self._wait(snapshot, retry="resync", blocked=account.client.writes.blocked > 0)

    async def _wait(self, snapshot: Snapshot, *, retry: Retry, blocked: bool) -> Step:
        """Wait for our own budget, which is no state of the object's."""
        verdict = deletion.held_up(snapshot, retry=retry, blocked=blocked)
        return verdict if isinstance(verdict, Leave) else await self._set_finalizer(verdict)

    async def _held_or_let_go(self, snapshot: Snapshot, said: Finding) -> Step:
        """Say what failed; a deletion that can never succeed lets go instead."""
        refused = said.reason is Reason.UNAUTHORIZED
        self._memory.refused_since = (snapshot.refused_since or snapshot.now) if refused else None
        if snapshot.object.metadata.deletion_timestamp is None:
            return await self._kept(snapshot, said)
        verdict = deletion.given_up(snapshot, said)
        return verdict if isinstance(verdict, Finding) else await self._set_finalizer(verdict)


def _told(error: MethodError) -> dict[str, object]:
    """Return what a log line tells of a failed call."""
    return {
        "operation": error.operation,
        "error": type(error).__name__,
        "kind": error.kind,
        "status": error.status,
        "request_id": error.request_id,
    }


def _rests_on_inventory(snapshot: Snapshot, action: Action) -> bool:
    """Whether an action is right only if all that Method holds of ours is known."""
    if isinstance(action, Create | Delete | Examine):
        return True
    obj = snapshot.object
    return (
        obj.metadata.deletion_timestamp is not None
        and obj.spec.deletion_policy is DeletionPolicy.DELETE
        and isinstance(action, Confirm | SetFinalizer)
    )
