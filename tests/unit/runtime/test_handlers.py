"""The informer starts wherever the process may be, shows kopf news only, and ends when it is told to."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from aiohttp import web

from methodsecret_operator.kube.connection import Connection
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.handlers import Informer
from tests.unit import gen
from tests.unit.runtime.kube_server import SERVED, connected


async def test_it_starts_under_a_uid_without_a_name(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: uid 65532, or any on OpenShift, is in no /etc/passwd."""

    def nameless() -> NoReturn:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    cache = ObjectCache(wake=lambda _: None)
    informer = Informer(connection=connection, cache=cache, namespaces=("payments",))
    task = await informer.start()
    informer.stop()
    await task


def _kind(kind: str, plural: str, *, namespaced: bool) -> dict[str, Any]:
    verbs = ["list", "watch", "patch"]
    return {
        "name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced, "verbs": verbs,
    }  # fmt: skip


GROUP = {"name": "methodfi.com", "preferredVersion": {"version": "v1"}, "versions": [{"version": "v1"}]}
DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [_kind("Namespace", "namespaces", namespaced=False)]},
    "/apis": {"groups": [GROUP]},
    SERVED: {"resources": [_kind("MethodSecret", "methodsecrets", namespaced=True)]},
}
"""What kopf asks for before it watches."""


class Observed(ObjectCache):
    """A cache that notes each version that it is told of, by name."""

    def __init__(self) -> None:
        super().__init__(wake=lambda _: None)
        self.told: list[tuple[str, str]] = []
        self.came = asyncio.Event()

    def observe(self, raw: Mapping[str, Any]) -> None:
        super().observe(raw)
        self.told.append((raw["metadata"]["name"], raw["metadata"]["resourceVersion"]))
        self.came.set()

    def forget(self, raw: Mapping[str, Any]) -> None:
        super().forget(raw)
        self.told.append((raw["metadata"]["name"], "gone"))
        self.came.set()

    async def until_told(self, *wanted: tuple[str, str]) -> None:
        while self.told != list(wanted):
            assert len(self.told) <= len(wanted), self.told
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), 10)


async def test_kopf_is_shown_what_is_news(tmp_path: Path) -> None:
    watch: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if not request.query.get("watch"):
            items = [gen.raw_object(name=name) for name in ("a", "b")]
            return web.json_response({"metadata": {"resourceVersion": "100"}, "items": items})
        stream = web.StreamResponse()
        await stream.prepare(request)
        while (event := await watch.get()) is not None:
            line = json.dumps({"type": event[0], "object": event[1]}, separators=(",", ":"))
            await stream.write(line.encode() + b"\n")
        return stream

    def workers() -> int:
        return sum("worker for" in task.get_name() for task in asyncio.all_tasks())

    cache = Observed()
    async with connected(answer, tmp_path) as connection:
        informer = Informer(connection=connection, cache=cache, namespaces=())
        task = await informer.start()
        await asyncio.wait_for(informer.listed.wait(), 10)
        # A list is in the cache when it is complete, and kopf has made nothing of it.
        assert (cache.told, workers()) == ([("a", "100"), ("b", "100")], 0)

        # Our own write: its answer was faster than its event, which is no news then.
        cache.take(gen.raw_object(name="a", version=101, status=gen.raw_ready_status()))
        watch.put_nowait(("MODIFIED", gen.raw_object(name="a", version=101, status=gen.raw_ready_status())))
        watch.put_nowait(("MODIFIED", gen.raw_object(name="b", version=102, generation=2)))
        await cache.until_told(("a", "100"), ("b", "100"), ("b", "102"))
        watch.put_nowait(("ADDED", gen.raw_object(name="c", version=103)))
        await cache.until_told(("a", "100"), ("b", "100"), ("b", "102"), ("c", "103"))
        watch.put_nowait(("DELETED", gen.raw_object(name="a", version=104)))
        await cache.until_told(("a", "100"), ("b", "100"), ("b", "102"), ("c", "103"), ("a", "gone"))
        informer.stop()
        watch.put_nowait(None)  # the server's own task, which kopf would wait for
        await task
    assert sorted(cache.keys()) == [f"{gen.NAMESPACE}/b", f"{gen.NAMESPACE}/c"]
