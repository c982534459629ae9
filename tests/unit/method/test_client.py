"""The client over real sockets: what it sends, and what becomes of servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from typing import TYPE_CHECKING, get_args

import aiohttp
import httpx
import pytest
from pydantic import SecretStr

from method_emulator.testing import running_emulator
from methodsecret_operator import errors
from methodsecret_operator.method import wire
from methodsecret_operator.method.client import Deadlines, MethodClient
from tests.unit.method.servers import VALUE, always, everything_in, method_client, raw_server, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

SECRET = json.dumps({"id": "sec_a1", "status": "active"}).encode()


def create(client: MethodClient) -> Awaitable[object]:
    return client.create(value=VALUE, metadata={"team": "payments"}, idempotency_key="key-1")


CALLS: dict[str, Callable[[MethodClient], Awaitable[object]]] = {
    "create": create,
    "retrieve": lambda client: client.retrieve("sec_a1"),
    "delete": lambda client: client.delete("sec_a1"),
    "list": lambda client: client.list_page(),
    "ping": lambda client: client.ping(),
}


# --- against the emulator ---------------------------------------------------------------------------


async def test_the_life_of_a_secret() -> None:
    async with running_emulator() as emulator, method_client(emulator.url) as client:
        await client.ping()
        first = await client.create(value=VALUE, metadata={"team": "payments"}, idempotency_key=KEY_1)
        again = await client.create(value=VALUE, metadata={"team": "payments"}, idempotency_key=KEY_1)
        assert (first.replayed, again.replayed) == (False, True)
        assert first.secret == again.secret
        assert first.secret.metadata == {"team": "payments"}
        assert (await client.retrieve(first.secret.id)).status == "active"
        await client.create(value=VALUE, metadata={}, idempotency_key=KEY_2)
        page = await client.list_page(limit=1)
        rest = await client.list_page(limit=1, cursor=page.next_cursor)
        assert len({s.id for s in page.secrets + rest.secrets}) == 2
        assert rest.next_cursor is None
        await client.delete(first.secret.id)
        with contextlib.suppress(errors.MethodNotFound):  # the documentation allows both
            assert (await client.retrieve(first.secret.id)).status == "deleted"
        with pytest.raises(errors.MethodNotFound):
            await client.retrieve("sec_neverThere")


KEY_1 = "1c7fd7c5-8dd4-4b35-9fc4-0d1a4aa1cb5f"
KEY_2 = "9d9a6be3-55a0-4b60-8d38-6ee0ff7ec8f0"


# --- what is sent -----------------------------------------------------------------------------------


async def test_every_request_says_who_asks_and_in_which_version() -> None:
    async with raw_server() as server, method_client(server.url + "/") as client:
        server.talk = always(server, reply(SECRET))
        for name, call in CALLS.items():
            if name != "list":
                await call(client)
        assert server.connections == 1, "connections are kept"
    for request in server.requests:
        lines = request.lower().split(b"\r\n")
        assert b"authorization: bearer sk_canary_key" in lines
        assert b"method-version: 2026-03-30" in lines
        assert b"accept-encoding: identity" in lines
        assert b"user-agent: methodsecret-operator/" in request.lower()
        assert b"cookie" not in request.lower()
    assert [r.split(b" HTTP")[0] for r in server.requests] == [
        b"POST /secrets",
        b"GET /secrets/sec_a1",
        b"DELETE /secrets/sec_a1",
        b"GET /ping",
    ]
    assert b"\r\nidempotency-key: key-1\r\n" in server.requests[0].lower()


async def test_cookies_are_neither_kept_nor_sent() -> None:
    # By name: one of the two cookie jars below us takes none from an address in any case.
    async with (
        raw_server() as server,
        method_client(server.url.replace("127.0.0.1", "localhost")) as client,
    ):
        server.talk = always(server, reply(SECRET, "Set-Cookie: session=1; Path=/"))
        await client.retrieve("sec_a1")
        await client.retrieve("sec_a1")
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_a_redirect_is_not_followed() -> None:
    async with raw_server() as server, method_client(server.url) as client:
        server.talk = always(server, reply(b"", f"Location: {server.url}/elsewhere", status="307 Moved"))
        for call in CALLS.values():
            with pytest.raises(errors.MethodUnavailable) as caught:
                await call(client)
            assert (caught.value.kind, caught.value.status) == ("http", 307)
    assert len(server.requests) == len(CALLS)


# --- servers that misbehave -------------------------------------------------------------------------


def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


FAULTS: list[tuple[str, bytes | None, str]] = [
    ("hangs up without an answer", b"", "connection"),
    ("resets the connection", None, "connection"),
    ("breaks off in the head", b"HTTP/1.1 200 OK\r\nContent-Le", "connection"),
    ("breaks off in the body", reply(SECRET, length=500), "unreadable"),
    ("speaks another protocol", b"220 mail.example ESMTP canary-value\r\n\r\n", "unreadable"),
    ("sends a head without end", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "unreadable"),
    (
        "sends two lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        "unreadable",
    ),
    ("sends broken chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "unreadable"),
    ("sends HTML", reply(b"<html>canary-value</html>", "Content-Type: text/html"), "unreadable"),
    ("packs what it sends", reply(gzip.compress(SECRET), "Content-Encoding: gzip"), "unreadable"),
    ("says that it packs what it sends", reply(SECRET, "Content-Encoding: br"), "unreadable"),
    ("redirects to nowhere", reply(b"", "Location: http://x:y/", status="302 Found"), "unreadable"),
]


@pytest.mark.parametrize(("fault", "answer", "kind"), FAULTS)
@pytest.mark.parametrize("name", CALLS)
async def test_a_fault_of_the_connection_is_one_error_and_one_request(
    fault: str, answer: bytes | None, kind: str, name: str
) -> None:
    async with raw_server() as server, method_client(server.url) as client:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.receive(reader)
            if answer is None:
                reset(writer)
            else:
                writer.write(answer)
                await writer.drain()

        server.talk = talk
        with pytest.raises(errors.MethodUnavailable) as caught:
            await CALLS[name](client)
        failure = caught.value
        assert (failure.operation, failure.kind) == (name, kind), fault
        assert not failure.definite, fault
        assert failure.__cause__ is None
        assert failure.__context__ is None
        assert "canary" not in everything_in(failure), fault
        assert len(server.requests) == 1, "nothing is silently sent again"


@pytest.mark.parametrize("name", CALLS)
async def test_a_kept_connection_that_was_dropped_is_not_silently_used_again(name: str) -> None:
    """The server drops the connection on the second request: aiohttp would send GET and DELETE once more."""
    async with raw_server() as server, method_client(server.url) as client:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.receive(reader)
            writer.write(reply(SECRET))
            await writer.drain()
            await server.receive(reader)

        server.talk = talk
        await client.ping()
        with pytest.raises(errors.MethodUnavailable, match="connection"):
            await CALLS[name](client)
        assert (len(server.requests), server.connections) == (2, 1)


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    sent = 0
    async with raw_server() as server, method_client(server.url) as client:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await server.receive(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
                sent += 65536

        server.talk = talk
        with pytest.raises(errors.MethodUnavailable, match="HTTP 200 unreadable"):
            await create(client)
        await server.hung_up.wait()  # the client has closed the connection
    assert sent < 16 * 1024 * 1024  # what fits into the buffers of two sockets


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "no answer at all"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "a body that stops"),
    ],
)
async def test_silence_ends_at_the_read_deadline(answer: bytes, reason: str) -> None:
    async with (
        raw_server() as server,
        method_client(server.url, deadlines=Deadlines(read=0.05, total=60)) as client,
    ):
        release = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.receive(reader)
            writer.write(answer)
            await release.wait()

        server.talk = talk
        with pytest.raises(errors.MethodUnavailable) as caught:
            await create(client)
        release.set()
    assert (caught.value.kind, caught.value.definite) == ("timeout", False), reason
    assert caught.value.__context__ is None


async def test_a_trickle_ends_at_the_total_deadline() -> None:
    async with (
        raw_server() as server,
        method_client(server.url, deadlines=Deadlines(read=60, total=0.1)) as client,
    ):

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.receive(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            gone = asyncio.ensure_future(reader.read())
            while not gone.done():
                writer.write(b" ")
                await asyncio.wait([gone], timeout=0.01)

        server.talk = talk
        with pytest.raises(errors.MethodUnavailable, match="timeout") as caught:
            await create(client)
        await server.hung_up.wait()
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", CALLS)
async def test_of_those_who_ask_an_account_that_is_silent_one_waits(
    name: wire.Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a single account that hangs has all workers within seconds, and no other account is served."""
    async with raw_server() as server, method_client(server.url, deadlines=Deadlines(total=0.05)) as client:
        asked, release = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await server.receive(reader):
                asked.set()
                await release.wait()
                writer.write(reply(SECRET))
                await writer.drain()

        server.talk = talk
        with pytest.raises(errors.MethodUnavailable, match="timeout"):
            await CALLS[name](client)
        monkeypatch.setattr(client, "_deadlines", Deadlines())
        held = [one for one in get_args(wire.Operation) if client.silent(one)]
        assert held == [name], "no other operation waits for it"
        asked.clear()
        probe = asyncio.ensure_future(CALLS[name](client))
        await asked.wait()
        left = client.writes.available, client.reads.available
        with pytest.raises(errors.MethodUnavailable) as caught:
            await CALLS[name](client)
        assert (caught.value.operation, caught.value.kind) == (name, "held")
        assert not caught.value.definite, "one that was sent earlier may have been heard"
        assert len(server.requests) == 2, "the one that timed out, and the one that waits"
        assert (client.writes.available, client.reads.available) == left, "what was not sent costs nothing"
        release.set()
        await asyncio.wait([probe])
        await asyncio.gather(CALLS[name](client), CALLS[name](client), return_exceptions=True)
        assert len(server.requests) == 4, "an answer, whatever it says, ends the silence"


async def test_nobody_listens() -> None:
    async with raw_server() as server:
        pass
    async with method_client(server.url) as client:
        with pytest.raises(errors.MethodUnavailable) as caught:
            await create(client)
    assert (caught.value.kind, caught.value.status) == ("connection", None)


async def test_an_error_whose_body_breaks_off_is_still_that_error() -> None:
    async with raw_server() as server, method_client(server.url) as client:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.receive(reader)
            writer.write(reply(b"{", "Retry-After: 70", "idem-status: bypassed", status="429 No", length=9))
            await writer.drain()

        server.talk = talk
        with pytest.raises(errors.MethodRateLimited) as caught:
            await create(client)
    assert (caught.value.retry_after, caught.value.idem_status) == (70.0, "bypassed")


async def test_a_cancelled_call_ends_as_cancelled_and_frees_its_connection() -> None:
    async with raw_server() as server, method_client(server.url) as client:
        arrived = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await server.receive(reader)
            arrived.set()
            await reader.read()

        server.talk = talk
        call = asyncio.ensure_future(create(client))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.hung_up.wait()


# --- the budget -------------------------------------------------------------------------------------


async def test_each_call_takes_a_slot_of_its_tier() -> None:
    async with raw_server() as server, method_client(server.url) as client:
        server.talk = always(server, reply(SECRET))
        before = (client.writes.available, client.reads.available)
        await create(client)
        await client.delete("sec_a1")
        await client.retrieve("sec_a1")
        with await client.writes.acquire() as slot:
            await client.create(value=VALUE, metadata={}, idempotency_key="key-2", slot=slot)
        after = (client.writes.available, client.reads.available)
    # The pace may have let one more in meanwhile.
    assert before[0] - after[0] in {2, 3}
    assert before[1] - after[1] in {0, 1}


async def test_a_call_that_fails_has_used_its_slot() -> None:
    async with raw_server() as server:
        pass
    async with method_client(server.url, limit=1) as client:
        assert client.writes.available == 1
        with pytest.raises(errors.MethodUnavailable):
            await create(client)
        assert client.writes.available == 0


async def test_a_429_blocks_its_tier_of_the_key() -> None:
    async with raw_server() as server, method_client(server.url) as client:
        server.talk = always(server, reply(b"{}", "Retry-After: 5", status="429 Too Many Requests"))
        with pytest.raises(errors.MethodRateLimited):
            await create(client)
        assert client.writes.available == 0
        assert client.reads.available > 0
        waiting = asyncio.ensure_future(create(client))
        await asyncio.sleep(0)
        assert client.writes.waiting == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_reads_do_not_wait_where_a_429_has_blocked_them() -> None:
    """It may last for an hour, for which whoever waits keeps a worker from the other accounts."""
    async with raw_server() as server, method_client(server.url) as client:
        server.talk = always(server, reply(b"{}", "Retry-After: 3600", status="429 Too Many Requests"))
        with pytest.raises(errors.MethodRateLimited) as caught:
            await client.list_page()
        assert (caught.value.kind, caught.value.retry_after) == ("http", 3600.0)
        for call in (client.retrieve("sec_a1"), client.list_page(), client.read_slot("retrieve")):
            with pytest.raises(errors.MethodRateLimited) as caught:
                await call
            assert (caught.value.kind, caught.value.status) == ("held", None)
            assert 3590 < (caught.value.retry_after or 0) < 3600
        assert client.writes.available > 0
        assert client.reads.waiting == 0


# --- every exception of the libraries ---------------------------------------------------------------


def descendants(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def made(kind: type[BaseException]) -> BaseException:
    """Return an exception of that type that quotes what was sent, whatever its constructor wants."""
    error = kind.__new__(kind)
    error.args = ("canary-value sk_canary_key",)
    return error


HTTPX = sorted(
    {
        k
        for root in (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
        for k in descendants(root)
    },
    key=lambda k: k.__name__,
)
AIOHTTP = sorted(
    {
        k
        for root in (aiohttp.ClientError, aiohttp.http.HttpProcessingError)
        for k in descendants(root)
        if k.__module__.startswith("aiohttp")
    },
    key=lambda k: k.__name__,
)
OTHERS = [OSError, ConnectionResetError, TimeoutError, ValueError, UnicodeError, RuntimeError, AssertionError]


def test_the_walk_sees_the_trees() -> None:
    assert {k for k in vars(httpx).values() if isinstance(k, type) and issubclass(k, Exception)} <= set(HTTPX)
    assert len(HTTPX) > 25
    assert len(AIOHTTP) > 30


class Raising(httpx.AsyncBaseTransport):
    """Fails as told, before the answer's head or within its body."""

    def __init__(self, error: BaseException, *, in_body: bool) -> None:
        self.error = error
        self.in_body = in_body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.in_body:
            raise self.error

        class Body(httpx.AsyncByteStream):
            async def __aiter__(body) -> AsyncIterator[bytes]:  # noqa: N805 - self is the transport
                yield b"{"
                raise self.error

        return httpx.Response(200, stream=Body(), request=request)


@pytest.mark.parametrize("kind", [*HTTPX, *AIOHTTP, *OTHERS], ids=lambda k: f"{k.__module__}.{k.__name__}")
@pytest.mark.parametrize("in_body", [False, True])
async def test_every_exception_of_the_libraries_becomes_ours(
    kind: type[BaseException], *, in_body: bool
) -> None:
    async with method_client("http://127.0.0.1:9") as client:
        client._http = httpx.AsyncClient(transport=Raising(made(kind), in_body=in_body))
        with pytest.raises(errors.MethodUnavailable) as caught:
            await create(client)
    failure = caught.value
    assert failure.kind in {"timeout", "connection", "unreadable"}
    assert not failure.definite
    assert (failure.__cause__, failure.__context__) == (None, None)
    assert "canary" not in everything_in(failure)


@pytest.mark.parametrize("kind", [*AIOHTTP, *OTHERS], ids=lambda k: f"{k.__module__}.{k.__name__}")
async def test_every_exception_of_aiohttp_becomes_ours_through_its_transport(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = made(kind)

    async def connect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect)
    async with method_client("http://127.0.0.1:9") as client:
        with pytest.raises(errors.MethodUnavailable) as caught:
            await create(client)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "canary" not in everything_in(caught.value)
    if issubclass(kind, TimeoutError):
        assert caught.value.kind == "timeout"


async def test_nothing_shows_the_key_or_the_value() -> None:
    async with method_client("http://127.0.0.1:9") as client:
        assert "canary" not in repr(client) + repr(client.writes) + repr(SecretStr("canary"))
