"""One operator process: the real runtime from the queue to the status write, on the two models.

Only its edges are doubles: the clients of the two APIs, the watch on Secrets, and the Events.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from pydantic import JsonValue, SecretStr

from methodsecret_operator.core.identity import Marker
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.core.snapshot import Retry
from methodsecret_operator.errors import KubeError, OperatorError
from methodsecret_operator.kube.metadata import PartialMetadata
from methodsecret_operator.kube.wire import SecretObject
from methodsecret_operator.method.accounts import Account, Accounts
from methodsecret_operator.method.inventory import Inventory
from methodsecret_operator.runtime.announce import Announcer
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.drift import Drift
from methodsecret_operator.runtime.gather import Cluster as Identity
from methodsecret_operator.runtime.gather import Gatherer
from methodsecret_operator.runtime.reconciler import Reconciler
from methodsecret_operator.runtime.resync import Resync
from methodsecret_operator.runtime.sources import Sources
from methodsecret_operator.runtime.worker import work
from methodsecret_operator.runtime.workqueue import TimerHandle, WorkQueue
from tests.faults.model import cluster as kube
from tests.faults.model import remote
from tests.faults.model.loop import Clock, Loop
from tests.faults.model.network import Network

if TYPE_CHECKING:
    from methodsecret_operator.kube.metadata_watch import MetadataWatch
    from methodsecret_operator.runtime.publications import Publications

_WORKERS: Final = 2


class _Timer:
    """The loop's clock, for a queue that is used from outside of the loop as well."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        return self._loop.call_later(delay, callback)


class _SecretView:
    """What the watch on Secrets has seen so far."""

    def __init__(self, seen: SecretObject | None) -> None:
        self.seen = seen

    def get(self, namespace: str, name: str) -> PartialMetadata | None:
        if self.seen is None:
            return None
        return PartialMetadata(
            namespace=namespace,
            name=name,
            uid=self.seen.uid,
            resource_version=self.seen.resource_version,
            labels={},
        )


class _NoPublications:
    """Nothing is published in the model."""

    async def version(self, _: MethodSecret) -> str | None:
        return None


class _OneAccount(Accounts):
    """The one account of the model."""

    def __init__(self, client: remote.ModelClient, clock: Clock) -> None:
        self.inventory = Inventory(client, clock=clock.now)
        self._only = Account(client=client, inventory=self.inventory)

    async def account(self, *, base_url: str, api_key: SecretStr) -> Account:
        del base_url, api_key
        return self._only

    async def end_round(self) -> int:
        return 0


class _Silent(Announcer):
    """Posts nothing."""

    def announce(self, *_: object) -> None:
        pass


class _Watched(Reconciler):
    """Lets no defect pass: the worker would make it a pause."""

    def __init__(self, *, defects: list[Exception], **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]  # handed through as they came
        self._defects = defects

    async def reconcile(self, key: str) -> Retry:
        try:
            return await super().reconcile(key)
        except OperatorError:
            raise
        except Exception as error:
            self._defects.append(error)
            raise


class Process:
    """One run of the operator, from its start to its death."""

    def __init__(
        self, name: str, *, clock: Clock, cluster: kube.Cluster, method: remote.Method, network: Network
    ) -> None:
        self.name = name
        self.loop = Loop(clock)
        self.dead = False
        self.defects: list[Exception] = []
        self._sent: set[str] = set()
        self._starting = True
        self._cluster = cluster
        # A watch begins with what is there.
        self._events_seen = len(cluster.events)
        self._secrets_seen = len(cluster.source_versions)
        self._secrets = _SecretView(cluster.source)
        self.queue = WorkQueue(timer=_Timer(self.loop), rng=random.Random(0))  # noqa: S311 - jitter
        client = kube.ModelKube(cluster, network, self)
        self.cache = ObjectCache(wake=self.queue.add, starting=lambda: self._starting)
        account = _OneAccount(remote.ModelClient(method, network, self, self._judge_create), clock)
        self._inventory, self._clock = account.inventory, clock
        gatherer = Gatherer(
            cluster=Identity(name=remote.CLUSTER, digest_key=remote.KEY),
            accounts=account,
            default_key=DefaultKey(api_key=SecretStr("sk_model"), path=None),
            sources=Sources(kube=client, watch=cast("MetadataWatch", self._secrets), selector=None),
            default_environment="sandbox",
            default_namespaces=(),
            base_url_for=lambda environment: environment,
            clock=clock.now,
            kube=client,
            named_by_other=self.cache.named_by_other,
            namespaces=(),
            publications=cast("Publications", _NoPublications()),
            deletion_timeout=300.0,
        )
        self.reconciler = _Watched(
            defects=self.defects,
            cache=self.cache,
            kube=client,
            gatherer=gatherer,
            announcer=_Silent(kube=client, instance=name, clock=clock.now),
        )
        self._resync = Resync(
            kube=client,
            cache=self.cache,
            queue=self.queue,
            drift=Drift(
                cache=self.cache,
                gatherer=gatherer,
                doubt=self._doubted,
                busy=self.queue.busy,
                clock=clock.now,
            ),
            namespaces=(),
            seconds=600.0,
            clock=clock.now,
        )
        self._resyncing: asyncio.Task[None] | None = None
        for _ in range(_WORKERS):
            self.loop.create_task(work(self.queue, self.reconciler))
        if cluster.object is not None:
            self.cache.observe(cluster.get())
        self._starting = False
        self.resync()

    def resync(self) -> None:
        """Begin a resync, unless one is under way."""
        if self._resyncing is None or self._resyncing.done():
            self._resyncing = self.loop.create_task(self._resync_once())
        self.loop.run_until_idle()

    def scan(self) -> None:
        """Begin to list the account, as for another of its objects."""
        self.loop.create_task(self._inventory.scan(since=self._clock.now()))
        self.loop.run_until_idle()

    def deliver(self, *, objects: int = 0, secrets: int = 0) -> None:
        """Let the watches see so many more changes."""
        for _ in range(objects):
            if self._events_seen < len(self._cluster.events):
                event = self._cluster.events[self._events_seen]
                self._events_seen += 1
                (self.cache.forget if event.kind == "DELETED" else self.cache.observe)(event.object)
        for _ in range(secrets):
            if self._secrets_seen < len(self._cluster.source_versions):
                self._secrets.seen = self._cluster.source_versions[self._secrets_seen]
                self._secrets_seen += 1
                for key in self.cache.keys():  # noqa: SIM118 - no dict
                    self.queue.add(key)
        self.loop.run_until_idle()

    @property
    def behind(self) -> int:
        """How many changes the watches have not seen yet."""
        seen = self._events_seen + self._secrets_seen
        return len(self._cluster.events) + len(self._cluster.source_versions) - seen

    def kill(self) -> None:
        """End it where it stands."""
        self.dead = True
        self.loop.kill()

    def _judge_create(self, metadata: Mapping[str, JsonValue], key: str) -> None:
        """Allow no create for an object that is known to be deleted, but one that was sent before."""
        obj, marker = self.cache.get(f"{kube.NAMESPACE}/{kube.NAME}"), Marker.read(metadata)
        known = obj is not None and marker is not None and obj.metadata.uid == marker.uid
        if (
            known
            and key not in self._sent
            and obj is not None
            and obj.metadata.deletion_timestamp is not None
        ):
            raise remote.Violation("a create is sent for an object that is being deleted")
        self._sent.add(key)

    async def _resync_once(self) -> None:
        try:
            with contextlib.suppress(KubeError):  # as in Resync.run: the next one comes
                await self._resync.once()
        except Exception as error:
            self.defects.append(error)
            raise

    def _doubted(self, key: str) -> None:
        self.reconciler.doubt(key)
        if not self.queue.retries(key):
            self.queue.add_after(key, 0)
