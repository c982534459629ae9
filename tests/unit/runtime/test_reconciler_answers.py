"""Looks at answers that are not to be believed: of another account, of another time, against a list."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from method_emulator.testing import RunningEmulator
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.method.accounts import Tier
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import KubeServer
from tests.unit.runtime.looking import KEY, OLD_SOURCE, World, emulator, limited

__all__ = ["emulator"]

ANOTHER = "sec_in_the_former_account"


@pytest.mark.parametrize(
    ("status", "annotations", "scanned", "reason"),
    [
        ({"source": OLD_SOURCE}, {}, False, "a changed value, before any list has been compared"),
        ({"source": OLD_SOURCE}, {}, True, "a changed value, after another object's create has listed it"),
        ({}, {gen.RECONCILE: "now"}, True, "the same value: its id is asked for, and is not there"),
    ],
)
async def test_nothing_is_created_in_another_account(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    status: dict[str, Any],
    annotations: dict[str, str],
    scanned: bool,
    reason: str,
) -> None:
    """The key may be another account's since the last resync; or since the process before this one."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        for number in range(5):
            known = gen.raw_ready_status(id=f"{ANOTHER}{number}")
            here.cache.observe(gen.raw_object(name=f"other-{number}", uid=f"uid {number}", status=known))
        whole = gen.raw_ready_status(id=ANOTHER, **status)
        here.put(gen.raw_object(status=whole, annotations=annotations))
        here.cache.trust(KEY)
        if scanned:
            account = await accounts.account(base_url=emulator.url, api_key=API_KEY)
            await account.inventory.ready()
        for seconds in (0, 61, 61):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
            assert ready["reason"] == "AccountChanged", reason
        assert here.status["id"] == ANOTHER
        assert await emulator.control.count("create") == 0


async def test_what_is_listed_and_not_known_is_stored_again_only_after_a_list_without_it(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """However long its GET fails; and the account is not listed more than once a minute for it."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    await emulator.control.seed(5, metadata=dict(gen.marker(owner="a/b/c")), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        here.put(gen.raw_object())
        await emulator.control.add_fault("retrieve", "status", status=404, count=None)
        for seconds, lists in ((0, 1), (59, 1), (1, 2), (59, 2), (1, 3), (600, 4)):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert await emulator.control.count("list") == lists, seconds
            assert await emulator.control.count("create") == 0
        await emulator.control.vanish(there)
        here.now += timedelta(seconds=60)
        await here.reconciler.reconcile(KEY)
        assert await emulator.control.count("create") == 1


async def test_a_404_of_hours_ago_is_not_the_first_of_two(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Where the object was ready in between, its id was there: what it was missing for is over."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    others = await emulator.control.seed(5, metadata=dict(gen.marker(owner="a/b/c")), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        # With a former secret whose time comes, it is looked at whole each time: it is never settled.
        former = {"id": "sec_former", "revision": "1:x:y", "supersededAt": gen.EARLIER}
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "87600h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=there, superseded=[former])))
        here.cache.trust(KEY)
        inventory = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).inventory
        for number, other in enumerate(others):  # that its own id is missing, alone, is no other account
            known = gen.raw_ready_status(id=other)
            here.cache.observe(gen.raw_object(name=f"other-{number}", uid=f"uid {number}", status=known))
        await inventory.ready()

        async def listed_and_looked_at(**after: float) -> str:
            here.now += timedelta(**after)
            await inventory.scan(since=here.now)
            here.reconciler.doubt(KEY)
            await here.reconciler.reconcile(KEY)
            [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
            return str(ready["reason"])

        await emulator.control.change_secret(there, status="frozen")
        await emulator.control.add_fault("retrieve", "status", status=404)
        assert await listed_and_looked_at(seconds=30) == "Pending"
        await emulator.control.change_secret(there, status="active")
        assert await listed_and_looked_at(seconds=30) == "Synced"
        await emulator.control.vanish(there)
        assert await listed_and_looked_at(hours=5) == "Pending"
        assert await emulator.control.count("create") == 0
        assert await listed_and_looked_at(seconds=60) == "Synced"
        assert await emulator.control.count("create") == 1


@pytest.mark.parametrize(
    ("seconds", "believed", "reason"),
    [
        (60, True, "an answer that took as long as a slow API may"),
        (61, False, "the process was suspended while the answer lay there: it is from another time"),
    ],
)
async def test_an_answer_from_long_ago_is_none(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    seconds: int,
    believed: bool,
    reason: str,
) -> None:
    """Since when an id is missing decides what becomes of it."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status()))
        here.reconciler.doubt(KEY)
        held = await emulator.control.add_fault("retrieve", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        here.now += timedelta(seconds=seconds)
        await emulator.control.release(held)
        await looking
        missing = here.reconciler._memories[KEY][1].missing
        assert missing == ({gen.SECRET_ID: here.now} if believed else {}), reason
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert (ready["reason"] == "MethodUnavailable") is not believed, reason
        assert await emulator.control.count("create") == believed, reason


async def test_a_request_that_waited_for_the_budget_has_an_answer_of_now(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """How old an answer is counts from when it was asked for, not from when it was wanted."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)

    def pass_an_hour(_tier: Tier, _seconds: float) -> None:
        here.now += timedelta(hours=1)

    async with limited(waited=pass_an_hour) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status(id=there)))
        await here.reconciler.reconcile(KEY)
        assert await emulator.control.count("retrieve") == 1
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert ready["reason"] == "Synced"


async def test_reads_that_a_429_has_blocked_are_no_state_of_an_object(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """It was another object's: this one's status says what it said, and it comes back when the block ends."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status(id=there)))
        here.reconciler.doubt(KEY)
        reads = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client.reads
        reads.block(3600)
        for _ in range(2):
            assert await here.reconciler.reconcile(KEY) == pytest.approx(reads.blocked, abs=5.0)
        assert server.patched == []
        assert await emulator.control.count("retrieve") == 0
