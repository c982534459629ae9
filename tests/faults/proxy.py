"""Stands between an operator and the two APIs it calls: records, holds, refuses, cuts. It decides nothing.

One log has the requests to both ends in the order in which they came, so that a test can say "the third one"
of anything that the operator sends. Request headers are passed on and not kept, but for the Content-Type and
the Idempotency-Key; an API key is kept by the name that the test has for it. Listens on 127.0.0.1 only, in
plain HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import aiohttp
from aiohttp import web

End = Literal["kube", "method"]
When = Literal["before", "after"]

_MAX_BODY: Final = 64 * 1024 * 1024
_HOP_BY_HOP: Final = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length"})
_NAMESPACED: Final = re.compile(r"^/(?:api/v1|apis/methodfi\.com/v1)(?:/namespaces/[^/]+)?/([^?]+)$")
_PLACE: Final = re.compile(r"\bfaults-[0-9a-f]{8}\b")  # see place.py: its digest key is called after it too
_SECRET_ID: Final = re.compile(r"/sec_[^/]+")
_EXPIRED: Final[dict[str, Any]] = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version: 1 (2)",
        "reason": "Expired",
        "code": 410,
    },
}


@dataclass(slots=True, kw_only=True)
class Recorded:
    """One request as it came; `status` is None until the end it was for has answered."""

    end: End
    method: str
    path: str
    query: str
    watch: bool
    content_type: str | None
    api_key: str | None
    idempotency_key: str | None
    body: bytes = field(repr=False)
    status: int | None = None

    @property
    def label(self) -> str:
        """What the request is, without what differs from run to run: `PATCH methodsecrets/acme/status`."""
        if self.end == "method":
            return f"{self.method} {_SECRET_ID.sub('/{id}', self.path)}"
        found = _NAMESPACED.match(self.path)
        what = _PLACE.sub("{namespace}", found[1] if found else self.path)
        if self.method == "GET" and found and "/" not in what:
            return f"{'WATCH' if self.watch else 'LIST'} {what}"
        return f"{self.method} {what}"


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The `nth` request of that label (from 1) among those that a scenario makes."""

    end: End
    label: str
    nth: int

    def __str__(self) -> str:
        return f"{self.end}: {self.label} #{self.nth}"


class Hold:
    """Keeps a request from going on: before it is passed on, or with its answer there; then `reached`."""

    def __init__(self, point: Point, when: When) -> None:
        self.point = point
        self.when = when
        self.seen = 0
        self.reached = asyncio.Event()
        self._dropped = asyncio.Event()

    def drop(self) -> None:
        """Let it end without an answer that anybody gets: its sender is dead."""
        self._dropped.set()

    async def wait(self) -> None:
        """Wait, in the request's place, to be dropped."""
        self.reached.set()
        await self._dropped.wait()


@dataclass(slots=True, kw_only=True)
class _Refusal:
    matches: Callable[[Recorded], bool]
    status: int
    reason: str
    left: int


class _Stream:
    """One open watch."""

    def __init__(self, record: Recorded) -> None:
        self.record = record
        self.silent = False
        self.end: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class Proxy:
    """A proxy for one operator; an async context manager. `kube_url` and `method_url` are where it listens.

    `api_keys` are the names of API keys, by key. `hold` is what is to be held, counted from the moment at
    which it is set.
    """

    def __init__(self, *, kube: str, ca: str, method: str, api_keys: Mapping[str, str]) -> None:
        self._api_keys = {f"Bearer {key}": name for key, name in api_keys.items()}
        self._upstream: dict[End, str] = {"kube": kube, "method": method}
        self._tls = ssl.create_default_context(cafile=ca)
        self._stack = contextlib.AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None
        self._refusals: list[_Refusal] = []
        self._streams: set[_Stream] = set()
        self._changed = asyncio.Event()
        self.hold: Hold | None = None
        self.log: list[Recorded] = []
        self.kube_url = self.method_url = ""

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        )
        self.kube_url = await self._serve("kube")
        self.method_url = await self._serve("method")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, end: End) -> str:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(end, request)

        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", handle)
        # Watches never end by themselves; to aiohttp 0 would mean to wait for them.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    # --- what tests order -------------------------------------------------------------------------

    def refuse(
        self, matches: Callable[[Recorded], bool], *, status: int, reason: str, count: int = 1
    ) -> None:
        """Answer the next `count` such requests in the kube-apiserver's place; they are not passed on."""
        self._refusals.append(_Refusal(matches=matches, status=status, reason=reason, left=count))

    def silence(self, label: str) -> int:
        """Pass on nothing more of the watches that are open; return how many there are."""
        streams = [stream for stream in self._streams if stream.record.label == label]
        for stream in streams:
            stream.silent = True
        return len(streams)

    def expire(self, label: str) -> int:
        """End the watches that are open with a 410 in the stream; return how many there are."""
        return self._end(label, _EXPIRED)

    def fail(self, label: str) -> int:
        """End the watches that are open with a 500 in the stream; return how many there are."""
        status = {**_EXPIRED["object"], "message": "made up", "reason": "InternalError", "code": 500}
        return self._end(label, {"type": "ERROR", "object": status})

    def _end(self, label: str, event: dict[str, Any]) -> int:
        streams = [stream for stream in self._streams if stream.record.label == label]
        for stream in streams:
            stream.end.set_result(json.dumps(event).encode() + b"\n")
        return len(streams)

    async def until(self, seen: Callable[[list[Recorded]], bool], *, seconds: float = 30.0) -> None:
        """Wait until the log is as wanted."""
        try:
            async with asyncio.timeout(seconds):
                while not seen(self.log):
                    await self._changed.wait()
        except TimeoutError:
            said = "\n".join(f"{record.end}: {record.label} -> {record.status}" for record in self.log[-30:])
            raise AssertionError(f"not sent in {seconds:g} s; the last requests:\n{said}") from None

    # --- what happens to a request ----------------------------------------------------------------

    async def _handle(self, end: End, request: web.Request) -> web.StreamResponse:
        record = Recorded(
            end=end,
            method=request.method,
            path=request.path,
            query=request.query_string,
            watch=request.query.get("watch") in ("1", "true"),
            content_type=request.headers.get("Content-Type"),
            api_key=self._api_keys.get(request.headers.get("Authorization", "")) if end == "method" else None,
            idempotency_key=request.headers.get("Idempotency-Key"),
            body=await request.read(),
        )
        self.log.append(record)
        self._tell()
        hold = self._held(record)
        if hold is not None and hold.when == "before":
            await hold.wait()
            return web.Response(status=503)
        for refusal in self._refusals:
            if refusal.left and refusal.matches(record):
                refusal.left -= 1
                return self._refused(record, refusal)
        assert self._session is not None
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if record.watch:  # what is put at its end would be no part of a compressed stream
            headers["Accept-Encoding"] = "identity"
        try:
            async with self._session.request(
                request.method,
                self._upstream[end] + request.raw_path,
                headers=headers,
                data=record.body or None,
                allow_redirects=False,
            ) as answer:
                return await self._answer(request, record, answer, hold)
        except (aiohttp.ClientError, OSError):
            # What the operator would see: a connection that is broken off.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)

    async def _answer(
        self, request: web.Request, record: Recorded, answer: aiohttp.ClientResponse, hold: Hold | None
    ) -> web.StreamResponse:
        headers = {name: text for name, text in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        streams = record.watch and answer.status == 200
        body = b"" if streams else await answer.read()
        record.status = answer.status
        self._tell()
        if hold is not None:
            await hold.wait()
            return web.Response(status=503)
        if not streams:
            return web.Response(status=answer.status, headers=headers, body=body)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        stream = _Stream(record)
        self._streams.add(stream)
        try:
            async for chunk in _until_ended(answer.content, stream.end):
                if not stream.silent:
                    await response.write(chunk)
            if stream.end.done():
                await response.write(stream.end.result())
        except ConnectionError:
            pass  # the operator has gone
        finally:
            self._streams.discard(stream)
        return response

    def _held(self, record: Recorded) -> Hold | None:
        hold = self.hold
        if hold is None or (record.end, record.label) != (hold.point.end, hold.point.label):
            return None
        hold.seen += 1
        return hold if hold.seen == hold.point.nth else None

    def _refused(self, record: Recorded, refusal: _Refusal) -> web.Response:
        record.status = refusal.status
        self._tell()
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": refusal.reason,
            "code": refusal.status,
        }
        return web.json_response(status, status=refusal.status)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _until_ended(content: aiohttp.StreamReader, end: asyncio.Future[bytes]) -> AsyncIterator[bytes]:
    """Yield what comes, as it comes, until that is all or `end` is set."""
    while True:
        reading = asyncio.ensure_future(content.readany())
        try:
            await asyncio.wait({reading, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not reading.done():
                reading.cancel()
        if end.done() or not (chunk := reading.result()):
            return
        yield chunk
