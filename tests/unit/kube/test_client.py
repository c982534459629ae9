"""The client against a server over a real socket that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from methodsecret_operator.errors import KubeConflict, KubeGone, KubeUnavailable
from methodsecret_operator.kube import wire
from methodsecret_operator.kube.client import LIST_ATTEMPTS, KubeClient
from methodsecret_operator.kube.connection import POOL_SIZE, Connection

if TYPE_CHECKING:
    from tests.unit.kube.conftest import ScriptedServer
else:
    ScriptedServer = Any

CANARY = b"canary-value-of-a-secret"
OK = b"HTTP/1.1 200 OK\r\n"
TOO_LONG = b'{"data": "' + b"x" * wire.MAX_BODY + b'"}'


def page(*names: str, token: str = "", version: str = "7") -> dict[str, Any]:
    items = [{"metadata": {"name": name}} for name in names]
    return {"metadata": {"resourceVersion": version, "continue": token}, "items": items or None}


class Fault(NamedTuple):
    """What the server sends before it closes the connection."""

    reason: str
    raw: bytes
    kind: str


FAULTS = [
    Fault("closed before a word", b"", "connection"),
    Fault("no HTTP at all", CANARY + b"\r\n\r\n", "connection"),
    Fault("cut within the headers", OK + b"Content-Le", "connection"),
    Fault("cut within the body", OK + b'Content-Length: 50\r\n\r\n{"data":"' + CANARY, "connection"),
    Fault("cut within a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{", "connection"),
    Fault("a chunk of no length", OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{", "connection"),
    Fault("no gzip", OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "connection"),
    Fault("a proxy's page", OK + b"Content-Length: 30\r\n\r\n<html>" + CANARY, "unreadable"),
    Fault("a body without end", OK + b"Connection: close\r\n\r\n" + TOO_LONG, "too-large"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.reason)
async def test_a_broken_answer_is_no_answer(
    server: ScriptedServer, connection: Connection, fault: Fault
) -> None:
    # A GET over a connection that breaks at once is sent a second time by aiohttp.
    server.raw(fault.raw)
    server.raw(fault.raw)
    with pytest.raises(KubeUnavailable) as caught:
        await KubeClient(connection).get_secret("payments", "acme")
    assert caught.value.kind == fault.kind, fault.reason
    assert CANARY.decode() not in str(caught.value)
    assert caught.value.__context__ is None, "an error of aiohttp's quotes the request's headers"


async def test_silence_is_a_timeout(connection: Connection) -> None:
    with pytest.raises(KubeUnavailable) as caught:
        await KubeClient(connection, timeout=0.05).get_methodsecret("payments", "acme")
    assert (caught.value.kind, caught.value.status) == ("timeout", None)
    assert str(caught.value) == "get methodsecrets payments/acme: timeout"


async def test_the_lease_waits_for_no_other_request(server: ScriptedServer, connection: Connection) -> None:
    kube = KubeClient(connection)
    async with asyncio.TaskGroup() as others:
        tasks = [others.create_task(kube.get_methodsecret("payments", f"n{n}")) for n in range(200)]
        for _ in range(POOL_SIZE):
            await server.arrived.acquire()
        server.answer(200, {"metadata": {"resourceVersion": "7"}})
        lease = await kube.get_lease("operators", "lease")
        for task in tasks:
            task.cancel()
    assert lease.document["metadata"]["resourceVersion"] == "7"
    assert len(server.seen) == POOL_SIZE + 1, "the others share the pool"


async def test_nobody_is_overtaken_by_those_who_come_later(
    server: ScriptedServer, connection: Connection
) -> None:
    # Many workers that ask again and again: aiohttp's own limit lets each of them keep its connection.
    kube = KubeClient(connection)
    for _ in range(40 * POOL_SIZE):
        server.answer(200, {"metadata": {}})

    async def ask(name: str, times: int) -> None:
        for _ in range(times):
            await kube.get_methodsecret("payments", name)

    async with asyncio.TaskGroup() as all_of_them:
        for _ in range(2 * POOL_SIZE):
            all_of_them.create_task(ask("again", 15))
        await server.arrived.acquire()
        all_of_them.create_task(ask("late", 1))
    asked = [seen.target.rpartition("/")[2] for seen in server.seen]
    assert asked.index("late") <= 4 * POOL_SIZE, "those before it: once each, and what was under way"


async def test_a_closed_connection_is_no_answer(connection: Connection) -> None:
    await connection.close()
    with pytest.raises(KubeUnavailable):
        await KubeClient(connection).get_methodsecret("payments", "acme")


async def test_redirects_are_not_followed(server: ScriptedServer, connection: Connection) -> None:
    server.answer(307, b"", headers={"Location": f"{server.url}/elsewhere"})
    with pytest.raises(KubeUnavailable) as caught:
        await KubeClient(connection).get_methodsecret("payments", "acme")
    assert caught.value.status == 307
    assert len(server.seen) == 1


async def test_a_status_patch_on_the_wire(server: ScriptedServer, connection: Connection) -> None:
    patch = {"metadata": {"resourceVersion": "7", "uid": "u"}, "status": {"id": "sec_1"}}
    server.answer(200, {"metadata": {"resourceVersion": "8"}})
    server.answer(409, {"reason": "Conflict"})
    client = KubeClient(connection)
    assert await client.patch_methodsecret_status("payments", "acme", patch) == {
        "metadata": {"resourceVersion": "8"}
    }
    [seen] = server.seen
    assert (seen.method, json.loads(seen.body)) == ("PATCH", patch)
    assert seen.target == "/apis/methodfi.com/v1/namespaces/payments/methodsecrets/acme/status"
    assert seen.headers["content-type"] == "application/merge-patch+json"
    assert seen.headers["authorization"] == "Bearer made-up"
    assert seen.headers["user-agent"].startswith("methodsecret-operator/")
    with pytest.raises(KubeConflict):
        await client.patch_methodsecret("payments", "acme", patch)
    assert server.seen[1].target == "/apis/methodfi.com/v1/namespaces/payments/methodsecrets/acme"


Write = Callable[[KubeClient], Coroutine[Any, Any, object]]
PATCH = {"metadata": {"resourceVersion": "7", "uid": "u"}}
WRITES: list[tuple[str, Write]] = [
    ("patch", lambda client: client.patch_methodsecret_status("payments", "acme", PATCH)),
    ("secret", lambda client: client.create_secret("payments", "acme", {"k": CANARY}, {})),
    ("event", lambda client: client.create_event("payments", {"message": "m"})),
]


@pytest.mark.parametrize("write", [row[1] for row in WRITES], ids=[row[0] for row in WRITES])
async def test_a_write_is_sent_once(server: ScriptedServer, connection: Connection, write: Write) -> None:
    server.raw(b"")
    with pytest.raises(KubeUnavailable):
        await write(KubeClient(connection))
    assert len(server.seen) == 1


async def test_a_list_goes_through_its_pages(server: ScriptedServer, connection: Connection) -> None:
    server.answer(200, page("a", "b", token="n1"))
    server.answer(200, page("c", token="n2"))
    server.answer(200, page())
    listing = KubeClient(connection).list_methodsecrets(None, page=2)
    assert [item["metadata"]["name"] async for item in listing] == ["a", "b", "c"]
    assert listing.resource_version == "7"
    path = "/apis/methodfi.com/v1/methodsecrets?limit=2"
    assert [seen.target for seen in server.seen] == [path, f"{path}&continue=n1", f"{path}&continue=n2"]


async def test_a_list_that_goes_stale_between_pages_is_gone(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answer(200, page("a", token="n1"))
    server.answer(410, {"reason": "Expired"})
    listing = aiter(KubeClient(connection).list_methodsecrets("payments"))
    assert await anext(listing) == {"metadata": {"name": "a"}}
    with pytest.raises(KubeGone):
        await anext(listing)


async def test_a_list_waits_where_it_is_told_to(server: ScriptedServer, connection: Connection) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    for seconds in ("1", "2"):
        server.answer(429, {"reason": "TooManyRequests"}, headers={"Retry-After": seconds})
    server.answer(200, page("a"))
    client = KubeClient(connection, sleep=sleep)
    assert [item async for item in client.list_methodsecrets(None)] == [{"metadata": {"name": "a"}}]
    assert waits == [1.0, 2.0]


class Refusal(NamedTuple):
    """An answer that a list gets again and again, and how often it asks."""

    reason: str
    status: int
    headers: dict[str, str]
    requests: int


REFUSALS = [
    Refusal(
        "a server that never gets ready is an error in the end", 429, {"Retry-After": "1"}, LIST_ATTEMPTS
    ),
    Refusal("so long a wait is for the caller", 429, {"Retry-After": "600"}, 1),
    Refusal("nothing says how long to wait", 429, {}, 1),
    Refusal("the caller backs off from a server that is down", 503, {"Retry-After": "1"}, 1),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.reason)
async def test_a_list_does_not_wait_for_ever(
    server: ScriptedServer, connection: Connection, row: Refusal
) -> None:
    async def sleep(_: float) -> None:
        pass

    for _ in range(LIST_ATTEMPTS + 5):
        server.answer(row.status, b"", headers=row.headers)
    with pytest.raises(KubeUnavailable) as caught:
        _ = [item async for item in KubeClient(connection, sleep=sleep).list_methodsecrets(None)]
    assert caught.value.status == row.status
    assert len(server.seen) == row.requests, row.reason
