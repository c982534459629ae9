"""Servers on 127.0.0.1 that answer whatever a test says, down to the byte, and clients for them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr

from methodsecret_operator.method.budget import Budget
from methodsecret_operator.method.client import Deadlines, MethodClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

API_KEY = SecretStr("sk_canary_key")
VALUE = SecretStr("canary-value")

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Speaks bytes. `talk` has one connection; `requests` are the heads and bodies that `receive` read."""

    talk: Talk | None = None
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def receive(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request; b"" where the client has closed the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        request = head + (await reader.readexactly(length) if length else b"")
        self.requests.append(request)
        return request

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection by `talk`."""
        self.connections += 1
        assert self.talk is not None
        try:
            with contextlib.suppress(ConnectionError):
                await self.talk(reader, writer)
        finally:
            self.hung_up.set()
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def raw_server(
    talk: Talk | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serve on a free port; `talk` may be set later."""
    server = RawServer(talk)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return an answer as bytes; `length` is what Content-Length says, where that is to be wrong."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(server: RawServer, answer: bytes) -> Talk:
    """Answer every request alike, keeping the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await server.receive(reader):
            writer.write(answer)
            await writer.drain()

    return talk


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted by default: to read them takes longer than most tests."""
    return httpx.create_ssl_context()


@contextlib.asynccontextmanager
async def method_client(
    url: str, *, deadlines: Deadlines | None = None, limit: int = 1800
) -> AsyncIterator[MethodClient]:
    """Make a client with budgets of its own, and close it."""
    loop = asyncio.get_running_loop()
    writes, reads = Budget(limit=limit, clock=loop), Budget(limit=limit, clock=loop)
    client = MethodClient(
        base_url=url,
        api_key=API_KEY,
        writes=writes,
        reads=reads,
        verify=_trusted(),
        deadlines=deadlines,
    )
    try:
        yield client
    finally:
        await client.aclose()
        writes.close()
        reads.close()


def everything_in(error: BaseException) -> str:
    """All the text that an exception could bring into a log."""
    chain = [error, error.__cause__, error.__context__]
    return "".join(
        f"{e}{e!r}{e.args!r}{vars(e)!r}{''.join(traceback.format_exception(e))}" for e in chain if e
    )
