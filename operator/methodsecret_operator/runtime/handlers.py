"""kopf as the informer: it watches MethodSecrets and hands every event on, and nothing else.

No kopf feature that writes is used: no handlers that need its annotations or finalizers, no results, no
peering. The handler passes what it got to the cache, which knows whether it is worth a look.

For each object that it is shown, kopf makes a task, several calls and a memory that lasts as long as the
object. So it is shown news only: a list goes into the cache as it is read, and of a watch's events those
that tell nothing but our own writes, half of all, are left out (decision 13).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import aiohttp
import kopf

from methodsecret_operator.core.resource import GROUP, PLURAL, VERSION
from methodsecret_operator.kube.connection import Connection
from methodsecret_operator.kube.nesting import ShallowResponse
from methodsecret_operator.runtime.cache import ObjectCache


class Informer:
    """Feeds `cache` from a watch on MethodSecrets in `namespaces` (empty: in all).

    `listed` is set once everything that was there at the start has been read. `clock` gives monotonic
    seconds.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        cache: ObjectCache,
        namespaces: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._cache = cache
        self._namespaces = tuple(namespaces)
        self._stop = asyncio.Event()
        self._clock = clock
        self._began = clock()
        self._tried: dict[str, float] = {}
        self._watched: set[str] = set()
        self._heard: dict[str, float] = {}
        self.listed = asyncio.Event()

    async def start(self) -> asyncio.Task[None]:
        """Start watching; the task ends when `stop` is called, or with an error when the watch is dead.

        kopf waits at its end for every task that is younger than it, and cancels those that do not end:
        start it last, and stop it when everything else is done.
        """
        existing = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
            # Of use for peering only, which is off; kopf would ask for the user's name, which a uid may lack.
            identity="methodsecret-operator",  # type: ignore[arg-type]  # its NewType of str is private
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
        )
        return asyncio.create_task(kopf.run_tasks(tasks, ignored=existing), name="informer")

    def stop(self) -> None:
        """Ask the watch to end."""
        self._stop.set()

    @property
    def last_contact(self) -> float:
        """When the stream that has heard nothing for longest last heard from the server, by the clock."""
        return min(self._heard.values(), default=self._began)

    @property
    def last_try(self) -> float:
        """When the stream that has tried nothing for longest last sent a request, by the clock."""
        return min(self._tried.values(), default=self._began)

    async def _overhear(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Note what kopf asks and hears, stream by stream: it does not tell."""
        path = request.url.path
        if not path.endswith(f"/{PLURAL}"):
            return await handler(request)
        self._tried[path] = self._clock()
        response = await handler(request)
        if response.ok:
            self._hear(path)
            if isinstance(response, ShallowResponse) and request.url.query.get("watch"):
                response.heard = partial(self._hear, path)
                response.wanted = self._is_news
                self._watched.add(path)
                if len(self._watched) >= max(1, len(self._namespaces)):
                    self.listed.set()  # a watch is opened where its list was complete
            elif isinstance(response, ShallowResponse):
                response.wanted = self._is_left
        return response

    def _is_news(self, raw: Mapping[str, Any]) -> bool:
        return not self._cache.holds(raw)

    def _is_left(self, raw: Mapping[str, Any]) -> bool:
        """Take an object of a list; nothing of it is left to do for kopf."""
        self._cache.observe(raw)
        return False

    def _hear(self, path: str) -> None:
        self._heard[path] = self._clock()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.AiohttpSession:
            return kopf.AiohttpSession(
                server=self._connection.server,
                default_namespace=self._connection.namespace,
                aiohttp_session=self._connection.new_session(self._overhear),
            )

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def changed(event: kopf.RawEvent, **_: object) -> None:
            if event["type"] == "DELETED":
                self._cache.forget(event["object"])
            else:
                self._cache.observe(event["object"])

        return registry


class _NoMemory(kopf.DiffBaseStorage):
    """Remembers no former state of an object, so that kopf has no copy to make and nothing to compare.

    It does so for each event, for handlers of changes; there are none here: the cache knows what has changed.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:  # noqa: ANN401 - kopf's keywords
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:  # noqa: ANN401 - as above
        return None

    def store(self, **_: Any) -> None:  # noqa: ANN401 - as above
        raise AssertionError("no handler writes")


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # no watching of CRDs and namespaces: least privilege
    settings.persistence.diffbase_storage = _NoMemory()
    settings.watching.chunk_size = 200  # objects a page: never all of them whole in memory
    settings.queueing.idle_timeout = 0.02  # of a task per object that something happens to
    settings.queueing.exit_timeout = 0.5
    return settings
