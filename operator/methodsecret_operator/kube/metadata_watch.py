"""An informer on the metadata of Secrets or ConfigMaps: lists, watches, tells what changed. Never sees data.

One stream per namespace, or one for all. A stream starts with everything that is there (a streaming
list where the server knows it, else a LIST by pages), goes on with changes, and is taken up again where
it broke off. Whatever was missed in between (deletions too) is found by the next list and reported like
a change that was seen. What to do about a change is for the one who gave `on_change`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog

from methodsecret_operator.errors import KubeError, KubeGone, KubeRejected, KubeUnavailable
from methodsecret_operator.kube import wire
from methodsecret_operator.kube.client import send, stream
from methodsecret_operator.kube.metadata import (
    Bookmark,
    Changed,
    Gone,
    LineSplitter,
    LineTooLongError,
    PartialMetadata,
    Removed,
    decode_line,
    decode_page,
    list_request,
    watch_request,
)

if TYPE_CHECKING:
    from methodsecret_operator.kube.connection import Connection

INACTIVITY_SECONDS: Final = 90.0
"""A stream that is silent for so long is dead: bookmarks come about once a minute."""

RETRY_FIRST: Final = 0.5
RETRY_MOST: Final = 30.0
RETRY_REFUSED: Final = 60.0
"""Seconds between two tries: after the first failure, at most, and where the server refuses us."""

_STREAM_SECONDS: Final = (300, 600)
"""Streams end after a time between these, so that those of many clients do not end together (client-go's)."""

_CONNECT_SECONDS: Final = 10.0

OnChange = Callable[[PartialMetadata | Gone], None]

log = structlog.get_logger(__name__)


class MetadataWatch:
    """Keeps namespace, name, uid, resourceVersion and labels of objects, and reports each change of them.

    `synced` is set once every namespace was listed. `problem` is the error of a stream that the server
    refuses (RBAC, a bad selector), None while there is none. An exception of `on_change` ends `run()`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        namespaces: Sequence[str],
        selector: str | None,
        on_change: OnChange,
        resource: str = "secrets",
        inactivity: float = INACTIVITY_SECONDS,
        retry_refused: float = RETRY_REFUSED,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`namespaces` empty means all. `jitter` returns numbers from 0 to 1; times are in seconds.

        `resource` may be another kind of the core API that is to be followed just so.
        """
        self.synced = asyncio.Event()
        self.namespaces: tuple[str | None, ...] = tuple(dict.fromkeys(namespaces)) or (None,)
        self.connection = connection
        self.selector = selector
        self.resource = resource
        self.inactivity = inactivity
        self.retry_refused = retry_refused
        self.clock = clock
        self.sleep = sleep
        self.jitter = jitter
        self._on_change = on_change
        self._known: dict[tuple[str, str], PartialMetadata] = {}
        self._streams = tuple(_Stream(self, namespace) for namespace in self.namespaces)

    @property
    def problem(self) -> KubeError | None:
        """The error of the first stream that the server refuses."""
        return next((stream.problem for stream in self._streams if stream.problem), None)

    @property
    def last_contact(self) -> float:
        """When the stream that has heard nothing for longest last heard from the server, by the clock."""
        return min(stream.last_contact for stream in self._streams)

    @property
    def last_try(self) -> float:
        """When the stream that has tried nothing for longest last sent a request, by the clock."""
        return min(stream.last_try for stream in self._streams)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, namespace: str, name: str) -> PartialMetadata | None:
        """Return what is known of an object; None says that it is not there, once `synced` is set."""
        return self._known.get((namespace, name))

    async def run(self) -> None:
        """Follow the objects until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.run())

    def put(self, meta: PartialMetadata) -> None:
        """Take in an object as it is now, and report it unless it is known to be so."""
        key = (meta.namespace, meta.name)
        known = self._known.get(key)
        if known is not None and (known.uid, known.resource_version) == (meta.uid, meta.resource_version):
            return
        self._known[key] = meta
        self._on_change(meta)

    def drop(self, key: tuple[str, str]) -> None:
        """Take in that an object is gone, and report it if it was known."""
        known = self._known.pop(key, None)
        if known is not None:
            self._on_change(Gone(known.namespace, known.name, known.uid))

    def keep_only(self, seen: set[tuple[str, str]], namespace: str | None) -> None:
        """Drop what a whole list of the namespace (None: of all) did not contain."""
        gone = [k for k in self._known if k not in seen and (namespace is None or k[0] == namespace)]
        for key in gone:
            self.drop(key)

    def stream_listed(self) -> None:
        """Note that a stream has finished a list."""
        if all(stream.listed for stream in self._streams):
            self.synced.set()


class _Stream:
    """One namespace, or all of them: how far it has been read, and what is done when it breaks."""

    def __init__(self, watch: MetadataWatch, namespace: str | None) -> None:
        self.listed = False
        self.problem: KubeError | None = None
        self.last_contact = self.last_try = watch.clock()
        self._watch = watch
        self._namespace = namespace
        self._version: str | None = None  # where to take up again; None: list first
        self._streaming_list = True  # until the server refuses one
        self._progress = False

    async def run(self) -> None:
        failures = 0
        while True:
            self._progress = False
            error: KubeError | None = None
            try:
                await self._follow()
            except KubeError as caught:
                error = caught
            # A stream whose time is over waits a moment too: a server that ends all of them at once
            # must not be asked in a tight loop.
            failures = 1 if self._progress else failures + 1
            await self._watch.sleep(self._judge(error, failures))

    async def _follow(self) -> None:
        """List if need be, then watch until the stream ends; raises KubeError where it breaks."""
        self.last_try = self._watch.clock()
        if self._version is None and not self._streaming_list:
            await self._list_pages()
        starting = self._version is None
        try:
            await self._read_stream()
        except KubeGone:
            self._version = None
            raise
        except KubeRejected as error:
            # So speaks a server that does not know streaming lists, or has them switched off.
            if not starting or error.kind != "http":
                raise
            self._streaming_list = False
        else:
            return
        await self._follow()

    async def _read_stream(self) -> None:
        first, last = _STREAM_SECONDS
        request = watch_request(
            self._namespace,
            resource=self._watch.resource,
            selector=self._watch.selector,
            resource_version=self._version,
            seconds=round(first + (last - first) * self._watch.jitter()),
        )
        initial: set[tuple[str, str]] | None = set() if self._version is None else None
        async with aclosing(self._lines(request)) as lines:
            async for line in lines:
                event = decode_line(request, line)
                self._progress = True
                self._problem_is_over()
                match event:
                    case Changed(meta):
                        self._watch.put(meta)
                        if initial is not None:
                            initial.add((meta.namespace, meta.name))
                    case Removed(meta):
                        self._watch.drop((meta.namespace, meta.name))
                        if initial is not None:
                            initial.discard((meta.namespace, meta.name))
                    case Bookmark(complete=complete):
                        if initial is not None and complete:
                            self._finish_list(initial)
                            initial = None
                # Within the initial list, a resourceVersion does not stand for all that came before it.
                if initial is None:
                    self._version = event.resource_version

    async def _lines(self, request: wire.Request) -> AsyncGenerator[bytes, None]:
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._watch.inactivity
        )
        splitter = LineSplitter()
        async with aclosing(stream(self._watch.connection, request, limits=limits)) as chunks:
            async for chunk in chunks:
                self._contact()
                try:
                    for line in splitter.feed(chunk):
                        yield line
                except LineTooLongError:
                    raise KubeUnavailable(verb=request.verb, what=request.what, kind="too-large") from None

    async def _list_pages(self) -> None:
        limits = aiohttp.ClientTimeout(total=self._watch.inactivity, sock_connect=_CONNECT_SECONDS)
        seen: set[tuple[str, str]] = set()
        token: str | None = None
        while True:
            request = list_request(
                self._namespace, selector=self._watch.selector, token=token, resource=self._watch.resource
            )
            metas, page = decode_page(request, await send(self._watch.connection, request, limits=limits))
            self._contact()
            for meta in metas:
                self._watch.put(meta)
                seen.add((meta.namespace, meta.name))
            token = page.next_token
            if token is None:
                break
        self._progress = True
        self._version = page.resource_version
        self._problem_is_over()
        self._finish_list(seen)

    def _finish_list(self, seen: set[tuple[str, str]]) -> None:
        self._watch.keep_only(seen, self._namespace)
        self.listed = True
        self._watch.stream_listed()

    def _contact(self) -> None:
        self.last_contact = self._watch.clock()

    def _problem_is_over(self) -> None:
        if self.problem is not None:
            log.info("watching works again", resource=self._watch.resource, namespace=self._namespace)
            self.problem = None

    def _judge(self, error: KubeError | None, failures: int) -> float:
        """Note what has happened, and return after how many seconds to try again."""
        jitter = self._watch.jitter()
        if error is not None and not isinstance(error, KubeGone | KubeUnavailable):
            if self.problem is None:
                log.error(
                    "watching is refused; see RBAC",
                    resource=self._watch.resource,
                    namespace=self._namespace,
                    error=str(error),
                )
            self.problem = error
            return self._watch.retry_refused * (0.75 + jitter / 2)
        if error is not None:
            log.info(
                "a watch broke",
                resource=self._watch.resource,
                namespace=self._namespace,
                error=str(error),
            )
        delay = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(failures - 1, 16)) * (0.5 + jitter / 2)
        return max(delay, (error and error.retry_after) or 0.0)
