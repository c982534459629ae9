"""The informer against a server over a real socket that follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from methodsecret_operator.errors import KubeForbidden, KubeRejected
from methodsecret_operator.kube.connection import Connection
from methodsecret_operator.kube.metadata import Gone, PartialMetadata
from methodsecret_operator.kube.metadata_watch import RETRY_MOST, MetadataWatch

if TYPE_CHECKING:
    from tests.unit.kube.conftest import ScriptedServer
else:
    ScriptedServer = Any

CANARY = "canary-value-of-a-secret"


def meta(name: str, version: str, *, uid: str = "u", namespace: str = "n") -> PartialMetadata:
    return PartialMetadata(namespace, name, uid, version, {})


def item(entry: PartialMetadata) -> dict[str, Any]:
    return {
        "kind": "PartialObjectMetadata",
        "metadata": {
            "namespace": entry.namespace,
            "name": entry.name,
            "uid": entry.uid,
            "resourceVersion": entry.resource_version,
            "annotations": {"note": CANARY},
        },
    }


def line(kind: str, content: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": content}).encode() + b"\n"


def added(name: str, version: str, **extra: str) -> bytes:
    return line("ADDED", item(meta(name, version, **extra)))


def deleted(name: str, version: str) -> bytes:
    return line("DELETED", item(meta(name, version)))


def bookmark(version: str, *, complete: bool = False) -> bytes:
    annotations = {"k8s.io/initial-events-end": "true"} if complete else {}
    return line("BOOKMARK", {"metadata": {"resourceVersion": version, "annotations": annotations}})


def page(*entries: PartialMetadata, version: str, token: str = "") -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": version, "continue": token},
        "items": [item(entry) for entry in entries],
    }


class Harness:
    """A watch with what it reports, how long it waits, and what of its requests a test looks at."""

    def __init__(self, server: ScriptedServer, connection: Connection, **options: Any) -> None:  # noqa: ANN401 - MetadataWatch's
        self.reported: asyncio.Queue[PartialMetadata | Gone] = asyncio.Queue()
        self.waits: asyncio.Queue[float] = asyncio.Queue()
        self.server = server
        self.watch = MetadataWatch(
            connection,
            **{
                "namespaces": [],
                "selector": None,
                "on_change": self.reported.put_nowait,
                "sleep": self.sleep,
                "jitter": lambda: 1.0,
            }
            | options,
        )

    async def sleep(self, seconds: float) -> None:
        self.waits.put_nowait(seconds)
        await asyncio.sleep(0)

    async def next(self) -> PartialMetadata | Gone:
        return await asyncio.wait_for(self.reported.get(), 5)

    async def wait(self) -> float:
        return await asyncio.wait_for(self.waits.get(), 5)

    async def synced(self) -> None:
        await asyncio.wait_for(self.watch.synced.wait(), 5)

    def versions(self) -> list[str | None]:
        """Return the resourceVersion that each request so far was to go on from."""
        queries = [parse_qs(urlsplit(seen.target).query) for seen in self.server.seen]
        return [query.get("resourceVersion", [None])[0] for query in queries]


Start = Callable[..., Any]


@pytest.fixture
def start(server: ScriptedServer, connection: Connection) -> Start:
    @asynccontextmanager
    async def running(**options: Any) -> AsyncIterator[Harness]:  # noqa: ANN401 - MetadataWatch's
        harness = Harness(server, connection, **options)
        task = asyncio.create_task(harness.watch.run())
        try:
            yield harness
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running


async def test_a_streaming_list_and_then_changes(server: ScriptedServer, start: Start) -> None:
    server.stream(
        added("a", "1"),
        added("b", "2"),
        bookmark("5", complete=True),
        line("MODIFIED", item(meta("a", "6"))),
        deleted("b", "7"),
        end="open",
    )
    async with start() as harness:
        assert [await harness.next() for _ in range(4)] == [
            meta("a", "1"),
            meta("b", "2"),
            meta("a", "6"),
            Gone("n", "b", "u"),
        ]
        assert harness.watch.synced.is_set()
        assert harness.watch.get("n", "a") == meta("a", "6")
        assert harness.watch.get("n", "b") is None
        assert len(harness.watch) == 1
    [seen] = server.seen
    assert parse_qs(urlsplit(seen.target).query)["sendInitialEvents"] == ["true"]


async def test_not_synced_before_the_end_of_the_list(server: ScriptedServer, start: Start) -> None:
    server.stream(added("a", "1"), bookmark("3"), end="open")
    async with start() as harness:
        await harness.next()
        assert not harness.watch.synced.is_set()


async def test_a_broken_list_starts_again_from_nothing(server: ScriptedServer, start: Start) -> None:
    server.stream(added("a", "1"), end="cut")
    server.stream(added("a", "1"), added("b", "2"), bookmark("5", complete=True), end="open")
    async with start() as harness:
        assert [await harness.next(), await harness.next()] == [meta("a", "1"), meta("b", "2")]
        await harness.synced()
        assert harness.versions() == [None, None]


async def test_a_broken_stream_goes_on_where_it_was(server: ScriptedServer, start: Start) -> None:
    server.stream(added("a", "1"), bookmark("5", complete=True), added("b", "6"), end="cut")
    server.stream(added("c", "7"), bookmark("9"), end="cut")
    server.raw(b"")
    server.raw(b"")  # aiohttp sends a GET again when the connection breaks at once
    server.stream(deleted("a", "11"), end="clean")
    server.stream(added("d", "12"), end="open")
    async with start() as harness:
        reported = [await harness.next() for _ in range(5)]
        assert reported == [
            meta("a", "1"),
            meta("b", "6"),
            meta("c", "7"),
            Gone("n", "a", "u"),
            meta("d", "12"),
        ]
        assert harness.versions() == [None, "6", "9", "9", "9", "11"]
        assert [await harness.wait() for _ in range(4)] == [0.5, 0.5, 1.0, 0.5], "progress resets the backoff"


GONE = {"code": 410, "reason": "Expired", "message": CANARY}


@pytest.mark.parametrize("where", ["in the stream", "as an answer"])
async def test_a_version_too_old_lists_again_and_finds_what_vanished(
    server: ScriptedServer, start: Start, where: str
) -> None:
    server.stream(
        added("kept", "1"),
        added("gone", "2"),
        added("changed", "3"),
        added("replaced", "4"),
        bookmark("5", complete=True),
        *([line("ERROR", GONE)] if where == "in the stream" else []),
    )
    if where == "as an answer":
        server.answer(410, GONE)
    server.stream(
        added("kept", "1"),
        added("changed", "8"),
        added("replaced", "9", uid="other"),
        bookmark("10", complete=True),
        end="open",
    )
    async with start() as harness:
        for _ in range(4):
            await harness.next()
        assert [await harness.next() for _ in range(3)] == [
            meta("changed", "8"),
            meta("replaced", "9", uid="other"),
            Gone("n", "gone", "u"),
        ]
        assert harness.reported.empty(), "what is as it was is not reported"
        assert harness.versions()[-1] is None


async def test_a_server_without_streaming_lists(server: ScriptedServer, start: Start) -> None:
    server.answer(422, {"reason": "Invalid", "message": CANARY})
    server.answer(200, page(meta("a", "1"), version="5", token="more"))
    server.answer(410, GONE)  # the list went stale between its pages
    server.answer(200, page(meta("a", "1"), version="6", token="more"))
    server.answer(200, page(meta("b", "2"), version="6"))
    server.stream(deleted("a", "7"), end="open")
    async with start() as harness:
        assert [await harness.next() for _ in range(3)] == [
            meta("a", "1"),
            meta("b", "2"),
            Gone("n", "a", "u"),
        ]
        assert harness.watch.problem is None
        assert harness.versions() == [None, None, None, None, None, "6"]
        accepts = [seen.headers["accept"].split(";")[1] for seen in server.seen]
        assert accepts == [
            "as=PartialObjectMetadata",
            *["as=PartialObjectMetadataList"] * 4,
            "as=PartialObjectMetadata",
        ]


async def test_a_paged_list_finds_what_vanished(server: ScriptedServer, start: Start) -> None:
    server.answer(400, {"reason": "BadRequest"})
    server.answer(200, page(meta("a", "1"), meta("b", "2"), version="5"))
    server.stream(line("ERROR", GONE))
    server.answer(200, page(meta("b", "2"), version="9"))
    async with start() as harness:
        assert [await harness.next() for _ in range(3)] == [
            meta("a", "1"),
            meta("b", "2"),
            Gone("n", "a", "u"),
        ]


async def test_a_silent_stream_is_given_up(server: ScriptedServer, start: Start) -> None:
    server.stream(added("a", "1"), bookmark("5", complete=True), end="open")
    server.stream(added("b", "6"), end="open")
    async with start(inactivity=0.1) as harness:
        assert [await harness.next(), await harness.next()] == [meta("a", "1"), meta("b", "6")]
        assert harness.versions() == [None, "5"]


async def test_last_contact_is_that_of_the_stream_that_is_worst_off(
    server: ScriptedServer, connection: Connection
) -> None:
    now = iter(range(100))
    harness = Harness(server, connection, namespaces=["n", "m"], clock=lambda: next(now))
    assert harness.watch.last_contact == 0.0
    server.stream(added("a", "1"), bookmark("5", complete=True), end="open")
    task = asyncio.create_task(harness.watch.run())
    await harness.next()
    assert harness.watch.last_contact in {0.0, 1.0}, "one of both has heard nothing yet"
    assert not harness.watch.synced.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, {"reason": "Forbidden", "message": CANARY}, KubeForbidden),
        (401, b"Unauthorized", KubeForbidden),
    ],
)
async def test_a_refusal_is_a_problem_and_retried_slowly(
    server: ScriptedServer,
    start: Start,
    status: int,
    body: bytes | dict[str, Any],
    error: type,
) -> None:
    server.answer(status, body)
    server.answer(status, body)
    server.stream(added("a", "1"), bookmark("5", complete=True), end="open")
    problems = []
    async with start(retry_refused=60.0) as harness:
        for _ in range(2):
            assert await harness.wait() == 75.0
            problems.append(harness.watch.problem)
        await harness.next()
        assert harness.watch.problem is None, "it is over"
    assert any(type(problem) is error for problem in problems)
    assert not any(CANARY in repr(problem) for problem in problems)


async def test_whole_secrets_are_refused(server: ScriptedServer, start: Start) -> None:
    whole = item(meta("a", "1")) | {"kind": "Secret", "data": {"k": CANARY}}
    server.stream(line("ADDED", whole), end="open")
    async with start() as harness:
        await harness.wait()
        assert isinstance(harness.watch.problem, KubeRejected)
        assert harness.watch.problem.kind == "whole-objects"
        assert len(harness.watch) == 0


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"<html>" + CANARY.encode() + b"</html>\n", "a proxy's page"),
        (b'{"type": "ADDED", "object": {}}\n', "an object without metadata"),
        (b"x" * (4 * 1024 * 1024 + 1), "a line without end"),
        (line("ERROR", {"code": 500, "message": CANARY}), "the server's own failure"),
    ],
)
async def test_garbage_in_a_stream_ends_it_and_nothing_else(
    server: ScriptedServer, start: Start, garbage: bytes, reason: str
) -> None:
    server.stream(added("a", "1"), bookmark("5", complete=True), garbage, end="open")
    server.stream(added("b", "6"), end="open")
    async with start() as harness:
        assert [await harness.next(), await harness.next()] == [meta("a", "1"), meta("b", "6")], reason
        assert harness.versions() == [None, "5"]
        assert harness.watch.problem is None


async def test_a_large_line_comes_through(server: ScriptedServer, start: Start) -> None:
    large = item(meta("a", "1"))
    large["metadata"]["annotations"] = {"note": "x" * 3_000_000}
    server.stream(line("ADDED", large), bookmark("5", complete=True), end="open")
    async with start() as harness:
        assert await harness.next() == meta("a", "1")


async def test_backoff_grows_to_its_limit_and_honours_retry_after(
    server: ScriptedServer, start: Start
) -> None:
    for _ in range(8):
        server.answer(503, b"")
    server.answer(429, b"", headers={"Retry-After": "99"})
    async with start() as harness:
        waits = [await harness.wait() for _ in range(9)]
        assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, RETRY_MOST, RETRY_MOST, 99.0]


async def test_jitter_halves_a_wait_at_most(server: ScriptedServer, start: Start) -> None:
    server.answer(503, b"")
    async with start(jitter=lambda: 0.0) as harness:
        assert await harness.wait() == 0.25


async def test_namespaces_have_a_stream_each(server: ScriptedServer, start: Start) -> None:
    server.stream(bookmark("5", complete=True), end="open")
    server.stream(bookmark("5", complete=True), end="open")
    async with start(namespaces=["n", "m", "n"], selector="app in (x)") as harness:
        await harness.synced()
    paths = {urlsplit(seen.target).path for seen in server.seen}
    assert paths == {"/api/v1/namespaces/n/secrets", "/api/v1/namespaces/m/secrets"}
    assert len(server.seen) == 2
    for seen in server.seen:
        assert parse_qs(urlsplit(seen.target).query)["labelSelector"] == ["app in (x)"]


async def test_a_list_of_one_namespace_leaves_the_others_alone(
    server: ScriptedServer, connection: Connection
) -> None:
    harness = Harness(server, connection, namespaces=["n", "m"])
    for entry in (meta("a", "1"), meta("a", "1", namespace="m")):
        harness.watch.put(entry)
    harness.watch.keep_only(set(), "n")
    assert harness.watch.get("n", "a") is None
    assert harness.watch.get("m", "a") is not None


async def test_a_fault_of_the_receiver_ends_the_watch(server: ScriptedServer, connection: Connection) -> None:
    def fail(_: object) -> None:
        raise OSError("not the network's")

    server.stream(added("a", "1"), end="open")
    harness = Harness(server, connection, on_change=fail)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(harness.watch.run(), 5)
    assert caught.group_contains(OSError, match="not the network's")
