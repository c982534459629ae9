"""A server over a real socket that answers each connection by the next line of a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from methodsecret_operator.kube.connection import Connection, connect

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Seen:
    """A request as the server got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """Answers one request per connection: by the script's next reply, and with silence after its end."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))  # once for each seen
    replies: list[Reply] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(
        self, status: int, body: bytes | dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> None:
        """Add a whole answer to the script."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
        head = {"Content-Length": str(len(content)), "Connection": "close"} | kind | (headers or {})
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{k}: {v}" for k, v in head.items())]
        self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def raw(self, data: bytes) -> None:
        """Add bytes to the script, after which the connection is closed."""

        async def reply(writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            await writer.drain()

        self.replies.append(reply)

    def stream(self, *parts: bytes, end: str = "clean") -> None:
        """Add a chunked stream that ends clean, is cut within a chunk, or stays open in silence."""

        async def reply(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in parts:
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
            if end == "clean":
                writer.write(b"0\r\n\r\n")
            elif end == "cut":
                writer.write(b"ff\r\n{")
            else:
                await self.stop.wait()
            await writer.drain()

        self.replies.append(reply)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.seen.append(Seen(method, target, headers, body))
            self.arrived.release()
            if self.replies:
                await self.replies.pop(0)(writer)
            else:
                await self.stop.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer()
    listener = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = listener.sockets[0].getsockname()[1]
    yield script
    script.stop.set()
    listener.close()
    await listener.wait_closed()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a kubeconfig with one cluster, user and context."""

    def write(
        server: str,
        *,
        user: dict[str, Any] | None = None,
        cluster: dict[str, Any] | None = None,
        namespace: str | None = None,
        name: str = "kubeconfig",
    ) -> Path:
        path = tmp_path / name
        context = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
            "users": [{"name": "u", "user": user if user is not None else {"token": "made-up"}}],
            "contexts": [{"name": "here", "context": context}],
        }
        path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        return path

    return write


@pytest.fixture
async def connection(server: ScriptedServer, kubeconfig: Callable[..., Path]) -> AsyncIterator[Connection]:
    async with await connect(kubeconfig=str(kubeconfig(server.url))) as opened:
        yield opened
