"""The Method API over HTTP: one client per account, for the life of the process.

Thin: what is sent and what an answer means is in wire.py, how much may be sent in budget.py. Here are
the connections, the deadlines, the bound on what is read, and the one place where failures of the
libraries become errors.MethodUnavailable. It decides nothing, retries nothing and logs nothing.

httpx runs on aiohttp's transport (a seventh of the CPU per call). What that transport does by
default and must not do here: keep cookies, send a GET or DELETE again when a kept connection turns out to be
closed (uncounted by the budget), and use a deprecated way to sign in at a proxy.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

from methodsecret_operator import errors
from methodsecret_operator.method import wire
from methodsecret_operator.method.budget import BudgetBlocked

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pydantic import JsonValue, SecretStr

    from methodsecret_operator.core.remote import RemoteSecret
    from methodsecret_operator.method.budget import Budget, Slot

CONNECTIONS: Final = 100
"""Connections kept per account; more workers than that wait for one."""

KEEP_ALIVE: Final = 15.0
"""Seconds that an unused connection is kept: less than load balancers commonly allow (60)."""

_LIMITS: Final = httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE)

Observe = Callable[[wire.Operation, str, float], None]
"""Told of each request when it is over: what it was, its status or what came instead, and its seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds: to connect, between two pieces of an answer, and for one exchange as a whole."""

    connect: float = 5.0
    read: float = 20.0
    total: float = 30.0


class MethodClient:
    """The calls to /secrets with one API key. Every method raises errors.MethodError and nothing else.

    `base_url` is taken as given (settings checks it); `writes` and `reads` are the budgets of the key;
    `verify` holds the trusted certificates; `wall_clock` returns seconds since 1970. Proxies come from the
    environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). `observe` is told of every request.

    `create` and `delete` take a slot of `writes`, which the caller may acquire before it gathers what
    to send, and `retrieve` one of `reads`, for a caller who has to know when it is sent; without one they
    wait for their own. Where a 429 has blocked the key, writes wait for as long as that lasts, reads fail.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: SecretStr,
        writes: Budget,
        reads: Budget,
        verify: ssl.SSLContext,
        deadlines: Deadlines | None = None,
        wall_clock: Callable[[], float] = time.time,
        observe: Observe = lambda _operation, _status, _seconds: None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.writes = writes
        self.reads = reads
        self._api_key = api_key
        self._deadlines = deadlines or Deadlines()
        self._wall_clock = wall_clock
        self._observe = observe
        self._http = _http_client(verify, self._deadlines)
        self._timeouts = self._http.timeout.as_dict()
        self._under_way: Counter[str] = Counter()
        self._silent: set[str] = set()

    @property
    def idle(self) -> bool:
        """Whether no request is under way, so that closing it cuts nothing short."""
        return self._under_way.total() == 0

    def silent(self, operation: wire.Operation) -> bool:
        """Whether the last request of this operation that is over ended in a time-out.

        Then one is sent at a time, to see whether that is over, and the others fail at once (`held`): who
        waits for an account that does not answer is a worker that the other accounts lack.
        """
        return operation in self._silent

    def __repr__(self) -> str:
        return f"MethodClient({self.base_url!r})"

    async def create(
        self,
        *,
        value: SecretStr,
        metadata: Mapping[str, JsonValue],
        idempotency_key: str,
        slot: Slot | None = None,
    ) -> wire.Created:
        """Store a value; sent at most once per call."""
        request = wire.create(self._api_key, value=value, metadata=metadata, idempotency_key=idempotency_key)
        return wire.created(await self._write(request, slot))

    async def read_slot(self, operation: wire.Operation) -> Slot:
        """Wait for a slot of `reads`. Raises MethodRateLimited (`held`) where a 429 has blocked them.

        That may last for an hour, and who waits is a worker that the other accounts lack.
        """
        try:
            return await self.reads.acquire(through_blocks=False)
        except BudgetBlocked as blocked:
            seconds = blocked.seconds
        raise errors.MethodRateLimited(operation=operation, kind="held", retry_after=seconds)

    async def retrieve(self, secret_id: str, *, slot: Slot | None = None) -> RemoteSecret:
        """Return what the API knows of a secret; it may be one that was deleted (`status`)."""
        request = wire.retrieve(self._api_key, secret_id)
        return wire.retrieved(await self._read(request, slot), secret_id)

    async def delete(self, secret_id: str, *, slot: Slot | None = None) -> None:
        """Delete a secret; MethodNotFound where there is none (any more)."""
        wire.deleted(await self._write(wire.delete(self._api_key, secret_id), slot))

    async def list_page(self, *, cursor: str | None = None, limit: int = wire.MAX_PAGE) -> wire.Page:
        """Return a page of the account's secrets: the first, or the one that a page's `next_cursor` names."""
        request = wire.list_page(self._api_key, cursor=cursor, limit=limit)
        return wire.listed(await self._read(request))

    async def ping(self) -> str | None:
        """Return if the API answers and takes the key: the time of day in its answer, as it is sent."""
        answer = await self._read(wire.ping(self._api_key))
        wire.pinged(answer)
        return answer.headers.get("date")

    async def aclose(self) -> None:
        """Close all connections; exchanges in flight fail."""
        await self._http.aclose()

    async def _read(self, request: wire.Request, slot: Slot | None = None) -> wire.Answer:
        return await self._send(request, self.reads, slot or await self.read_slot(request.operation))

    async def _write(self, request: wire.Request, slot: Slot | None) -> wire.Answer:
        return await self._send(request, self.writes, slot or await self.writes.acquire())

    async def _send(self, request: wire.Request, budget: Budget, slot: Slot) -> wire.Answer:
        """Return the answer to one request if it is a success; raises MethodError."""
        operation = request.operation
        with slot:
            if self.silent(operation) and self._under_way[operation]:
                raise errors.MethodUnavailable(operation=operation, kind="held")
            slot.use()
            self._under_way[operation] += 1
            try:
                answer = await self._exchange(request)
            finally:
                self._under_way[operation] -= 1
            try:
                wire.fail(operation, answer, now=self._wall_clock())
            except errors.MethodRateLimited as limited:
                budget.block(limited.retry_after or 0.0)
                raise
            return answer

    async def _exchange(self, request: wire.Request) -> wire.Answer:
        """Send one request and read its answer up to the bound. Every failure of the libraries ends here."""
        head: httpx.Response | None = None
        body: bytes | None = None
        kind: str | None = None
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._deadlines.total):
                head = await self._http.send(self._made(request), stream=True)
                async with contextlib.aclosing(head):
                    body = await _read(head, request.max_body)
        except Exception as error:  # noqa: BLE001 - the transport lets many types through; see _kind_of
            kind = _kind_of(error)
        if kind == "timeout":
            self._silent.add(request.operation)
        else:
            self._silent.discard(request.operation)
        said = kind or ("connection" if head is None else str(head.status_code))
        self._observe(request.operation, said, time.monotonic() - began)
        # Raised after the `except`, so that the library's error, which may quote what was sent, does
        # not even hang on ours as its context. An error's status says enough without its body.
        if head is None or (kind is not None and head.status_code < httpx.codes.BAD_REQUEST):
            raise errors.MethodUnavailable(
                operation=request.operation,
                kind=kind or "connection",
                status=None if head is None else head.status_code,
            )
        return wire.Answer(status=head.status_code, headers=head.headers, body=body)

    def _made(self, request: wire.Request) -> httpx.Request:
        """Return the request as httpx has it; nothing is merged from elsewhere, so there is nothing to merge.

        Headers of a known encoding are not asked for theirs, each of them at each look at one: with the
        client's own way of making requests that is a sixth of the CPU of a call.
        """
        return httpx.Request(
            request.method,
            self.base_url + request.path,
            headers=httpx.Headers(request.headers, encoding="ascii"),
            content=request.body,
            extensions={"timeout": self._timeouts},
        )


async def _read(response: httpx.Response, bound: int) -> bytes | None:
    """Return the body; None if it is longer than the bound or encoded, which was not asked for."""
    response.headers.encoding = "iso-8859-1"  # HTTP's own; else each look at one decodes all, to find out
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > bound:
            return None
    return bytes(body)


def _kind_of(error: Exception) -> str:
    """Return the fixed word for a failure of httpx, its transport, aiohttp or the operating system.

    The transport turns some errors of aiohttp into others of httpx (a server that hung up after the
    request was sent becomes httpx.ConnectTimeout) and lets others through; so their cause counts too.
    """
    cause = error.__cause__
    if isinstance(error, TimeoutError) or isinstance(cause or error, TimeoutError | httpx.TimeoutException):
        return "timeout"
    if isinstance(error, _UNREADABLE) or isinstance(cause, _UNREADABLE):
        return "unreadable"
    return "connection"


_UNREADABLE: Final = (
    httpx.DecodingError,
    httpx.ProtocolError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientResponseError,
    aiohttp.http.HttpProcessingError,
)


# --- connections ------------------------------------------------------------------------------------


def _http_client(verify: ssl.SSLContext, deadlines: Deadlines) -> httpx.AsyncClient:
    with contextlib.suppress(ValueError, httpx.InvalidURL):  # they quote a URL, maybe with a password
        return _Client(
            verify=verify,
            follow_redirects=False,
            limits=_LIMITS,
            timeout=httpx.Timeout(
                connect=deadlines.connect,
                read=deadlines.read,
                write=deadlines.read,
                pool=deadlines.total,
            ),
        )
    raise errors.SettingsError(
        "a proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not a URL such as http://proxy.example:3128"
    )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again: it does so for the errors below, and for no others."""
    if request.proxy_headers and not request.is_ssl():  # with TLS they go to the proxy by CONNECT
        request.headers.update(request.proxy_headers)
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise aiohttp.ClientConnectionError from None


class _Transport(AiohttpTransport):
    """The package's transport with a session of our own making."""

    def get_client(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self.ssl_context,
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), middlewares=(_once,)
        )


class _NoCookies(httpx.Cookies):
    """Looks for none: httpx makes two objects of urllib's out of each exchange to find out that none came."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them where they are."""


_NO_COOKIES: Final = _NoCookies()


class _Client(HttpxAiohttpClient):
    """The package's client on that transport: directly, and for each proxy in the environment."""

    @property
    def cookies(self) -> httpx.Cookies:
        """None at all."""
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, _cookies: object) -> None:
        """Take none."""

    def _init_transport(
        self,
        *_: Any,  # noqa: ANN401 - httpx passes all its settings by name; two of them matter here
        verify: ssl.SSLContext | str | bool = True,
        limits: httpx.Limits = _LIMITS,
        **__: Any,  # noqa: ANN401 - as above
    ) -> httpx.AsyncBaseTransport:
        return _Transport(verify=verify, limits=limits)

    def _init_proxy_transport(
        self,
        proxy: httpx.Proxy,
        *_: Any,  # noqa: ANN401 - as above
        verify: ssl.SSLContext | str | bool = True,
        limits: httpx.Limits = _LIMITS,
        **__: Any,  # noqa: ANN401 - as above
    ) -> httpx.AsyncBaseTransport:
        if proxy.auth is not None:
            login = base64.b64encode(":".join(proxy.auth).encode()).decode()
            proxy = httpx.Proxy(proxy.url, headers={"Proxy-Authorization": f"Basic {login}"})
        return _Transport(verify=verify, limits=limits, proxy=proxy)
