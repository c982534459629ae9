"""Builds the operator from its parts, runs it, and takes it down in order.

Nothing is decided here but what depends on what: the kube-apiserver first, then what every decision
needs, then the watch on Secrets, the workers, and kopf last (it ends first-come tasks younger than it).
With leader election a standby is warm: everything runs but what works, which waits for the Lease.
An essential task that ends by itself ends the process with exit code 1: the Pod's restart is the repair.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import socket
import time
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self, TypeVar

import structlog
from prometheus_client import REGISTRY

from methodsecret_operator import __version__
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.errors import OperatorError, SchemaError, SettingsError
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import Connection, connect
from methodsecret_operator.kube.metadata import Gone, PartialMetadata
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.runtime import health, metrics, startup
from methodsecret_operator.runtime.announce import Announcer
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.dependents import Dependents
from methodsecret_operator.runtime.drift import Drift
from methodsecret_operator.runtime.gather import Cluster, Gatherer
from methodsecret_operator.runtime.handlers import Informer
from methodsecret_operator.runtime.leadership import Leadership, LeaseLostError
from methodsecret_operator.runtime.liveness import Followed, Liveness
from methodsecret_operator.runtime.publications import Publications
from methodsecret_operator.runtime.reconciler import Reconciler
from methodsecret_operator.runtime.resync import Resync
from methodsecret_operator.runtime.sources import Sources
from methodsecret_operator.runtime.state_metrics import StateMetrics
from methodsecret_operator.runtime.worker import work
from methodsecret_operator.runtime.workqueue import LoopTimer, WorkQueue
from methodsecret_operator.settings import Settings

GRACE_SECONDS: Final = 25.0
"""How long a stop waits for what is in flight: less than Kubernetes' 30 s between SIGTERM and SIGKILL."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT, or until something essential is dead; return the exit code."""
    stop = asyncio.Event()
    _on_signals(stop.set)
    _log.info("starting", version=__version__)
    gc.freeze()  # what is loaded by now stays: no later collection needs to go through it again
    try:
        async with await connect(kubeconfig=settings.kubeconfig) as connection:
            return await _run(settings, connection, stop)
    except SettingsError as error:
        _log.error("cannot start", problem=str(error))
        return 2
    except OperatorError as error:
        _log.error("stopped", problem=str(error))
        return 1


async def _run(settings: Settings, connection: Connection, stop: asyncio.Event) -> int:
    kube = KubeClient(connection)
    cluster = await _before(stop, _prepare(settings, kube))
    if cluster is None:
        return 0
    async with _Operator(settings=settings, connection=connection, kube=kube, cluster=cluster) as operator:
        return await operator.run(stop)


async def _prepare(settings: Settings, kube: KubeClient) -> Cluster:
    await startup.crd(kube)
    return await startup.cluster(
        kube,
        name=settings.cluster_name,
        aliases=tuple(settings.cluster_aliases),
        namespace=settings.operator_namespace,
        secret=settings.digest_key_secret,
    )


class _Operator:
    """The parts, joined."""

    def __init__(
        self, *, settings: Settings, connection: Connection, kube: KubeClient, cluster: Cluster
    ) -> None:
        self._settings = settings
        self._queue = WorkQueue(
            timer=LoopTimer(),
            rng=random.Random(),  # noqa: S311 - jitter
            unawaited=max(1, settings.workers // 4),
            waited=metrics.QUEUE_WAIT.observe,
        )
        self._dependents = Dependents()
        # Until the first list as the one who works.
        self._cache = ObjectCache(wake=self._woken, starting=lambda: not self._resync.synced)
        self._watch = None
        if settings.source_watch == "metadata":
            # Not by SOURCE_SELECTOR: API keys need no label, and a label taken off must be noticed.
            self._watch = MetadataWatch(
                connection, namespaces=settings.namespaces, selector=None, on_change=self._secret_changed
            )
        self._default_key = DefaultKey(api_key=settings.api_key, path=settings.api_key_file)
        self._accounts = Accounts(
            writes_per_minute=settings.writes_per_minute,
            reads_per_minute=settings.reads_per_minute,
            clusters=(cluster.name, *cluster.aliases),
            observe=metrics.method_request,
            waited=lambda tier, seconds: metrics.BUDGET_WAIT.labels(tier=tier).observe(seconds),
        )
        self._publications = Publications(
            connection=connection, namespaces=settings.namespaces, wake=self._queue.add_referring
        )
        gatherer = Gatherer(
            cluster=cluster,
            accounts=self._accounts,
            default_key=self._default_key,
            sources=Sources(kube=kube, watch=self._watch, selector=settings.source_selector),
            default_environment=settings.environment,
            default_namespaces=settings.default_account_namespaces,
            base_url_for=settings.base_url_for,
            clock=_now,
            kube=kube,
            named_by_other=self._cache.named_by_other,
            namespaces=settings.namespaces,
            publications=self._publications,
            deletion_timeout=settings.deletion_timeout_seconds,
        )
        self._announcer = Announcer(kube=kube, instance=f"{socket.gethostname()}-{os.getpid()}", clock=_now)
        self._reconciler = Reconciler(
            cache=self._cache, kube=kube, gatherer=gatherer, announcer=self._announcer
        )
        self._informer = Informer(connection=connection, cache=self._cache, namespaces=settings.namespaces)
        drift = Drift(
            cache=self._cache, gatherer=gatherer, doubt=self._doubted, busy=self._queue.busy, clock=_now
        )
        self._resync = Resync(
            kube=kube,
            cache=self._cache,
            queue=self._queue,
            drift=drift,
            namespaces=settings.namespaces,
            seconds=settings.resync_seconds,
            clock=_now,
        )
        self._warm = asyncio.Event()  # everything is known that can be known without working
        self._working = asyncio.Event()  # nobody else works, as far as can be told
        self._leadership: Leadership | None = None
        if settings.leader_election:
            self._leadership = Leadership(
                kube=kube,
                namespace=settings.operator_namespace,
                name=settings.lease_name,
                identity=f"{socket.gethostname()}_{uuid.uuid4()}",
                seconds=settings.lease_seconds,
                clock=time.monotonic,
                now=_now,
                rng=random.Random(),  # noqa: S311 - jitter
            )
            self._working = self._leadership.acquired
        else:
            self._working.set()
        self._essential: dict[str, asyncio.Task[Any]] = {}
        self._stack = contextlib.AsyncExitStack()
        watches: dict[str, Callable[[], Followed | None]] = {
            "methodsecrets": lambda: self._informer,
            "secrets": lambda: self._watch,
            "configmaps": lambda: self._publications.watch,
        }
        self._liveness = Liveness(
            seconds=settings.stuck_seconds,
            clock=time.monotonic,
            queue=self._queue,
            watches=watches,
            held_up=self._held_up,
        )
        self._state_metrics = StateMetrics(
            queue=self._queue,
            cache=self._cache,
            accounts=self._accounts,
            drift=drift,
            resync=self._resync,
            watches={resource: partial(self._liveness.age, resource) for resource in watches},
            leading=self._working.is_set,
            ready=lambda: self._unready() is None,
        )

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._accounts.aclose)
        self._stack.push_async_callback(self._cancel)
        if self._settings.health_port:
            REGISTRY.register(self._state_metrics)
            self._stack.callback(REGISTRY.unregister, self._state_metrics)
            serving = health.serve(
                host=self._settings.health_host or "",
                port=self._settings.health_port,
                healthy=lambda: self._dead() or self._liveness.problem(),
                ready=self._unready,
            )
            await self._stack.enter_async_context(serving)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self, stop: asyncio.Event) -> int:
        """Start everything, wait for the stop or a death, and take it down; return the exit code."""
        self._start("events", self._announcer.run())
        if self._settings.api_key_file is not None:
            self._start("api key file", self._default_key.watch(changed=self._look_at_all))
        elif self._default_key.value is None:
            _log.warning("no API key of the operator's own: only objects with spec.account are served")
        if self._watch is not None:
            self._start("secret watch", self._watch.run())
            await _first(stop.wait(), self._watch.synced.wait(), *self._essential.values())
        self._start("config map watch", self._publications.run())
        if not stop.is_set() and self._dead() is None:
            for number in range(self._settings.workers):
                self._start(
                    f"worker {number}", self._once_working(lambda: work(self._queue, self._reconciler))
                )
            self._start("resync", self._once_working(self._resync.run))
            if self._leadership is not None:
                self._start("leader election", self._lead(self._leadership))
            self._essential["informer"] = await self._informer.start()
            _on_signals(stop.set)  # kopf has put its own in place
            self._warm.set()
            await self._until(stop, self._working)
        if self._working.is_set() and not stop.is_set() and self._dead() is None:
            _log.info(
                "running", workers=self._settings.workers, namespaces=self._settings.namespaces or "all"
            )
            await self._until(stop)
        death = self._dead()
        if death is not None:
            _log.error("stopping: something essential is dead", what=death)
        else:
            _log.info("stopping", in_flight=self._queue.in_flight)
        await self._drain()
        return 0 if death is None else 1

    async def _until(self, *events: asyncio.Event) -> None:
        """Return when one of the events has come, or something essential is dead."""
        while self._dead() is None and not any(event.is_set() for event in events):
            # Whatever ends this wait, it is asked anew: kopf, dying, cancels all tasks younger than its own.
            await _first(*(event.wait() for event in events), *self._essential.values())

    async def _drain(self) -> None:
        """Hand out no more work, let what is in flight end, and end the watch."""
        self._queue.close()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._queue.drained()
        except TimeoutError:
            _log.warning(
                "stopped with work in flight: the next start settles it", count=self._queue.in_flight
            )
        else:
            await self._release()
        await self._announcer.flush(seconds=2.0)
        if (informer := self._essential.get("informer")) is not None:
            # First what else there is: at its end kopf waits for tasks younger than itself, 5 s for a watch.
            await self._cancel(but=informer)
            self._informer.stop()
            await asyncio.wait({informer}, timeout=GRACE_SECONDS)

    async def _once_working(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._working.wait()
        await start()

    async def _lead(self, leadership: Leadership) -> None:
        """Take part in the election; without the Lease nothing of this process may go on."""
        await self._warm.wait()
        try:
            await leadership.run()
        except LeaseLostError as error:
            _log.error("ending at once: the lease is lost", problem=str(error))
        except Exception:  # noqa: BLE001 - whatever it was, nobody holds the Lease for us any more
            _log.exception("ending at once: leader election failed unexpectedly")
        _end_at_once()

    async def _release(self) -> None:
        """Let the next one in: nothing is in flight, nothing will be begun."""
        if self._leadership is None or (task := self._essential.get("leader election")) is None:
            return
        task.cancel()
        await asyncio.wait({task})
        await self._leadership.release()

    def _start(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._essential[name] = asyncio.create_task(coroutine, name=name)

    def _dead(self) -> str | None:
        return next((f"{name} has ended" for name, task in self._essential.items() if task.done()), None)

    def _unready(self) -> str | None:
        if self._warm.is_set() and not self._working.is_set():  # a standby lists nothing by itself
            synced = self._informer.listed.is_set()
        else:
            synced = self._resync.synced
        return self._dead() or (None if synced else "not synced yet")

    async def _cancel(self, *, but: asyncio.Task[Any] | None = None) -> None:
        tasks = {name: task for name, task in self._essential.items() if task is not but}
        for name, task in tasks.items():
            del self._essential[name]
            task.cancel()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for name, result in zip(tasks, results, strict=True):
            if isinstance(result, Exception):
                _log.error("task failed", task=name, exc_info=result)

    def _woken(self, key: str) -> None:
        """Queue an object, and note which Secrets it refers to."""
        try:
            obj = self._cache.get(key)
        except SchemaError:
            obj = None  # the worker says so
        self._publications.follow(key, obj)
        self._dependents.set(key, () if obj is None else _secrets(obj))
        self._queue.add(key)

    def _held_up(self) -> bool:
        """Whether workers have reason to take nothing up: they stand by, or wait for what may take long.

        That is a budget of reads, or the scan of a large account, each page of which ends or fails in 30 s.
        """
        waiting = any(budgets.reads.waiting for budgets in self._accounts.all_budgets())
        scanning = any(account.inventory.scanning for account in self._accounts.all_accounts())
        return waiting or scanning or not self._working.is_set()

    def _doubted(self, key: str) -> None:
        self._reconciler.doubt(key)
        if not self._queue.retries(key):
            self._queue.add_after(key, 0)

    def _secret_changed(self, secret: PartialMetadata | Gone) -> None:
        self._queue.add_dependents(self._dependents.of(f"{secret.namespace}/{secret.name}"))

    def _look_at_all(self) -> None:
        for key in self._cache.keys():  # noqa: SIM118 - no dict
            self._queue.add_referring(key)


def _secrets(obj: MethodSecret) -> list[str]:
    names = [obj.spec.value_from.secret_key_ref.name]
    if obj.spec.account is not None:
        names.append(obj.spec.account.api_key_secret_ref.name)
    return [f"{obj.metadata.namespace}/{name}" for name in names]


def _on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _end_at_once() -> None:
    """End the process with exit code 1, log written, without taking anything down: each step takes time."""
    logging.shutdown()
    os._exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


async def _before(stop: asyncio.Event, coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Return what a coroutine returns, or None where the stop comes first."""
    task = asyncio.ensure_future(coroutine)
    await _first(stop.wait(), task)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


async def _first(*waited: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> None:
    """Return when the first of them ends; coroutines are cancelled then, tasks go on."""
    tasks = {asyncio.ensure_future(item): asyncio.iscoroutine(item) for item in waited}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, ours in tasks.items():
            if ours:
                task.cancel()
