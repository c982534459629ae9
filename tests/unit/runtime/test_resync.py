"""The list of everything: what it drops, queues and leaves, and what it survives."""

from __future__ import annotations

import asyncio
import random
from typing import cast

import pytest

from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime import resync as resync_module
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.drift import Drift
from methodsecret_operator.runtime.resync import Resync
from methodsecret_operator.runtime.workqueue import LoopTimer, WorkQueue
from tests.unit import gen
from tests.unit.runtime.kube_server import SERVED, KubeServer

KEY = f"{gen.NAMESPACE}/{gen.NAME}"
LIST = f"GET {SERVED}/methodsecrets"


class Looked:
    """Stands for Drift: counts the looks."""

    def __init__(self) -> None:
        self.count = 0
        self.twice = asyncio.Event()

    async def look(self) -> None:
        self.count += 1
        if self.count == 2:
            self.twice.set()


class World:
    """A resync over a server's lists."""

    def __init__(self, kube: KubeClient, *namespaces: str, seconds: float = 600.0) -> None:
        self.cache = ObjectCache(wake=lambda _: None)
        self.queue = WorkQueue(timer=LoopTimer(), rng=random.Random(1), base_seconds=1000, max_seconds=9000)  # noqa: S311 - jitter
        self.drift = Looked()
        self.resync = Resync(
            kube=kube,
            cache=self.cache,
            queue=self.queue,
            drift=cast("Drift", self.drift),
            namespaces=namespaces,
            seconds=seconds,
            clock=lambda: gen.NOW,
        )


async def test_what_is_listed_is_known_and_queued(kube: KubeClient, server: KubeServer) -> None:
    server.put_list(gen.raw_object(), gen.raw_object(name="b"))
    world = World(kube)
    assert not world.resync.synced
    await world.resync.once()
    assert world.cache.keys() == [KEY, f"{gen.NAMESPACE}/b"]
    assert (len(world.queue), world.drift.count, world.resync.synced) == (2, 1, True)


async def test_what_is_in_backoff_comes_in_its_own_time(kube: KubeClient, server: KubeServer) -> None:
    server.put_list(gen.raw_object())
    world = World(kube)
    world.queue.retry(KEY)
    await world.resync.once()
    assert (len(world.queue), world.queue.delayed) == (0, 1)


async def test_what_is_not_listed_is_dropped_unless_it_is_newer(kube: KubeClient, server: KubeServer) -> None:
    world = World(kube)
    for version in (199, 200, 201):
        world.cache.observe(gen.raw_object(name=f"v{version}", version=version))
    server.put_list(version=200)
    await world.resync.once()
    assert world.cache.keys() == [f"{gen.NAMESPACE}/v201"]


async def test_namespaces_are_listed_each_by_itself(kube: KubeClient, server: KubeServer) -> None:
    world = World(kube, "a", "b")
    world.cache.observe(gen.raw_object(namespace="a", name="gone"))
    world.cache.observe(gen.raw_object(namespace="b", name="stays"))
    server.put_list(namespace="a")
    server.put_list(gen.raw_object(namespace="b", name="stays"), namespace="b")
    await world.resync.once()
    assert world.cache.keys() == ["b/stays"]


@pytest.mark.parametrize("fault", ["a 500", "a list without a version"])
async def test_a_list_that_fails_drops_nothing_and_syncs_nothing(
    kube: KubeClient, server: KubeServer, fault: str
) -> None:
    server.put_list()
    if fault == "a 500":
        server.faults[LIST].append(500)
    else:
        server.documents[f"{SERVED}/methodsecrets"]["metadata"] = {}
    world = World(kube)
    world.cache.observe(gen.raw_object())
    with pytest.raises(KubeUnavailable):
        await world.resync.once()
    assert (len(world.cache), world.drift.count, world.resync.synced) == (1, 0, False)


async def test_it_goes_on_for_ever_and_soon_after_a_failure(
    kube: KubeClient, server: KubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync_module, "_RETRY_SECONDS", 0.0)
    server.put_list(gen.raw_object())
    server.faults[LIST].append(500)
    world = World(kube, seconds=0.0)
    running = asyncio.create_task(world.resync.run())
    await world.drift.twice.wait()
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(server.seen) >= 3
