"""A status that somebody else wrote is not believed because ours was written onto it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from methodsecret_operator.core.snapshot import Finding
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.memory import Memory
from tests.unit import gen
from tests.unit.runtime.kube_server import KubeServer
from tests.unit.runtime.looking import KEY, PATH, reconciler


class World:
    """A reconciler whose cache has seen somebody else's id come into the status."""

    def __init__(self, kube: KubeClient, server: KubeServer, accounts: Accounts) -> None:
        self.woken: list[str] = []
        self.cache = ObjectCache(wake=self.woken.append)
        self.reconciler = reconciler(
            self.cache,
            kube=kube,
            accounts=accounts,
            watch=None,
            api_key=None,
            url="http://127.0.0.1:9",
            clock=lambda: gen.NOW,
            wake=self.woken.append,
        )
        self.cache.observe(gen.raw_object(status=gen.raw_ready_status()))
        theirs = gen.raw_object(version=101, status=gen.raw_ready_status(id="sec_theirs"))
        server.documents[PATH] = theirs
        self.cache.observe(theirs)
        self.woken.clear()

    async def write(self, finding: Finding) -> Any:  # noqa: ANN401 - the queue's business
        obj = self.cache.get(KEY)
        assert obj is not None
        return await self.reconciler._write(KEY, obj, finding, Memory())


@asynccontextmanager
async def world(kube: KubeClient, server: KubeServer) -> AsyncIterator[World]:
    accounts = Accounts(writes_per_minute=1, reads_per_minute=1)
    try:
        yield World(kube, server, accounts)
    finally:
        await accounts.aclose()


async def test_an_id_in_hand_is_saved_and_theirs_is_asked_about(kube: KubeClient, server: KubeServer) -> None:
    async with world(kube, server) as here:
        await here.write(gen.finding(base_id=gen.SECRET_ID))
        stored = server.documents[PATH]["status"]
        assert stored["id"] == "sec_theirs"
        assert [entry["id"] for entry in stored["superseded"]] == ["sec_new1"]
        assert not here.cache.trusted(KEY)
        assert here.woken == [KEY]


async def test_an_opinion_on_the_former_id_is_not_one_on_theirs(kube: KubeClient, server: KubeServer) -> None:
    async with world(kube, server) as here:
        await here.write(gen.finding(base_id=gen.SECRET_ID, secret=None))
        assert server.patched == []
        assert not here.cache.trusted(KEY)
        assert here.woken == [KEY]


async def test_what_was_confirmed_of_theirs_is_trusted(kube: KubeClient, server: KubeServer) -> None:
    async with world(kube, server) as here:
        await here.write(gen.finding(base_id="sec_theirs", secret=gen.remote("sec_theirs")))
        assert here.cache.trusted(KEY)
        assert here.woken == []
