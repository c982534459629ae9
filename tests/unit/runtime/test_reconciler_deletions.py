"""Looks at what is to be deleted, an object or a former secret: when it goes, what does not hold it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from method_emulator.testing import RunningEmulator
from methodsecret_operator.core.resource import FINALIZER
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.method.accounts import Tier
from methodsecret_operator.runtime import metrics
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import KubeServer
from tests.unit.runtime.looking import KEY, World, emulator, limited, namespace_goes

__all__ = ["emulator"]


async def test_a_deletion_is_not_let_go_by_one_refusal_after_an_outage(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The time-out of 300 s, which the outage has outlasted, counts from the first refusal."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        finalizers, spec = (FINALIZER,), gen.raw_spec(deletionPolicy="Delete")
        status = gen.raw_ready_status(id=held)
        here.put(gen.raw_object(deleted=True, finalizers=finalizers, spec=spec, status=status))
        here.now += timedelta(hours=1)  # Method was away
        await emulator.control.change_settings(api_keys={"sk_another": "a"})
        for seconds, kept in ((0, True), (299, True), (1, False)):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert bool(here.finalizers) is kept, seconds


async def test_a_deletion_ends_where_the_api_key_may_read_and_not_delete(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """That it is asked before each DELETE, and answers, does not make the key good for it."""
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=API_KEY.get_secret_value())
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        await emulator.control.add_fault("delete", "status", status=403, count=None)
        here.put_deleted(held)
        for seconds, finalizers in ((0, [FINALIZER]), (299, [FINALIZER]), (1, [])):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert here.finalizers == finalizers, seconds


async def test_an_object_of_another_versions_schema_is_deleted_with_what_it_names(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    key = API_KEY.get_secret_value()
    [current, former] = await emulator.control.seed(2, metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec = {"deletionPolicy": "Delete", "valueFrom": {"vaultRef": {"path": "x"}}}
        status = gen.raw_ready_status(id=current, superseded=[{"id": former, "supersededFor": "7d"}])
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []
        assert {one["id"]: one["status"] for one in await emulator.control.secrets()} == {
            current: "deleted",
            former: "deleted",
        }


async def test_an_account_of_another_versions_schema_holds_it_until_it_is_read(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        account = gen.own_account("staging")
        spec = gen.raw_spec(deletionPolicy="Delete", account=account)
        here.put(
            gen.raw_object(
                deleted=True, finalizers=(FINALIZER,), spec=spec, status=gen.raw_ready_status(source=7)
            )
        )
        for _ in range(3):
            assert await here.reconciler.reconcile(KEY) == 60.0
            here.now += timedelta(hours=1)
            assert here.finalizers == [FINALIZER]
            assert len(server.patched) == 1, "no write for each look"
        assert here.status["source"] == 7, "what was not read is left as it was"
        assert here.status["conditions"][0]["reason"] == "CredentialsNotFound"
        namespace_goes(server)
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []


@pytest.mark.parametrize("status", [403, 422])
async def test_a_former_secret_that_may_not_be_deleted_does_no_harm_to_the_one_in_use(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, status: int
) -> None:
    key = API_KEY.get_secret_value()
    marker = dict(gen.marker())
    [current, first, second] = await emulator.control.seed(3, metadata=marker, api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        superseded = [
            {"id": former, "supersededAt": gen.EARLIER, "deleting": True} for former in (first, second)
        ]
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=current, superseded=superseded)))
        here.cache.trust(KEY)
        await emulator.control.add_fault("delete", "status", status=status)
        assert await here.reconciler.reconcile(KEY) == "resync"
        assert here.status["conditions"][0]["reason"] == "Synced"
        assert [entry["id"] for entry in here.status["superseded"]] == [first]
        assert await emulator.control.count("delete") == 2, "the others are not held up by it"
        await here.reconciler.reconcile(KEY)
        assert "superseded" not in here.status


@pytest.mark.parametrize("status", [401, 503])
async def test_what_is_no_refusal_of_that_deletion_is_said(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, status: int
) -> None:
    key = API_KEY.get_secret_value()
    [current, former] = await emulator.control.seed(2, metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        superseded = [{"id": former, "supersededAt": gen.EARLIER, "deleting": True}]
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=current, superseded=superseded)))
        here.cache.trust(KEY)
        await emulator.control.add_fault("delete", "status", status=status)
        await here.reconciler.reconcile(KEY)
        assert here.status["conditions"][0]["reason"] in {"Unauthorized", "MethodUnavailable"}


async def test_a_deletion_does_not_wait_for_ever_for_a_create_that_is_refused(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        spec = gen.raw_spec(deletionPolicy="Delete")
        here.put(gen.raw_object(finalizers=(FINALIZER,), spec=spec))
        await emulator.control.add_fault("create", "reset_before")
        await here.reconciler.reconcile(KEY)
        await emulator.control.add_fault("create", "status", status=422, count=None)
        here.put(gen.raw_object(version=500, deleted=True, finalizers=(FINALIZER,), spec=spec))
        for seconds, finalizers in ((0, [FINALIZER]), (599, [FINALIZER]), (2, [])):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert here.finalizers == finalizers, seconds
        assert await emulator.control.secrets() == []


async def test_a_deletion_waits_for_a_list_without_what_a_get_does_not_know(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Else Delete would be Retain, and nobody told. Known again, it is deleted; else the time-out ends it."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put_deleted(there)
        fault = await emulator.control.add_fault("retrieve", "status", status=404, count=None)
        for seconds in (0, 60, 120):
            here.now += timedelta(seconds=seconds)
            assert await here.reconciler.reconcile(KEY) == 60.0
            assert here.finalizers == [FINALIZER], seconds
        await emulator.control.remove_fault(fault)
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []
        [stored] = await emulator.control.secrets()
        assert stored["status"] == "deleted"


@pytest.mark.parametrize("tier", ["reads", "writes"])
async def test_a_namespace_is_not_held_by_a_429_to_another(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, tier: Tier
) -> None:
    """The time-out is 300 s, and the object was deleted 60.25 s ago."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put_deleted(held)
        conditions = here.status["conditions"]
        client = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client
        (client.reads if tier == "reads" else client.writes).block(3600)
        for seconds in (0, 600):
            here.now += timedelta(seconds=seconds)
            await here.reconciler.reconcile(KEY)
            assert here.finalizers == [FINALIZER], "no namespace is waiting"
        here.now = gen.NOW
        namespace_goes(server)
        assert await here.reconciler.reconcile(KEY) == 239.75
        here.now += timedelta(seconds=239)
        assert await here.reconciler.reconcile(KEY) == 1.0
        assert here.finalizers == [FINALIZER]
        assert here.status["conditions"] == conditions, "waiting is no state"
        here.now += timedelta(seconds=1)
        undone = metrics.ABANDONED._value.get()
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []
        assert metrics.ABANDONED._value.get() - undone == 1
        here.reconciler._forget(KEY)
        assert await emulator.control.count("delete") == 0


@pytest.mark.parametrize("operation", ["list", "retrieve", "delete"])
async def test_a_namespace_is_not_held_by_its_own_429(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, operation: str
) -> None:
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put_deleted(held)
        namespace_goes(server)
        await emulator.control.add_fault(operation, "status", status=429, headers={"Retry-After": "3600"})
        assert await here.reconciler.reconcile(KEY) == 239.75
        assert here.status["conditions"][0]["reason"] == "RateLimited"
        here.now += timedelta(seconds=240)
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []
        here.reconciler._forget(KEY)


async def test_a_namespace_waits_for_a_turn_within_the_limit(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Thousands of objects are deleted in their order: what takes long is no failure."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited(writes_per_minute=1) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put_deleted(held)
        namespace_goes(server)
        writes = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client.writes
        taken = writes.try_acquire()
        assert taken is not None
        here.now += timedelta(seconds=600)
        assert await here.reconciler.reconcile(KEY) == 60.0, "a 429 may come meanwhile"
        assert here.finalizers == [FINALIZER]
        await asyncio.sleep(0)
        assert writes.waiting == 1, "it stands in line"
        taken.release()
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []
        [stored] = await emulator.control.secrets()
        assert stored["status"] == "deleted"


async def test_a_namespace_is_not_held_for_a_second_failure(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Whether the time is over is judged when Method has failed, not when it was asked."""
    key = API_KEY.get_secret_value()
    [held] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)

    def pass_a_while(_tier: Tier, _seconds: float) -> None:
        here.now += timedelta(seconds=20)

    async with limited(waited=pass_a_while) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put_deleted(held)
        namespace_goes(server)
        await emulator.control.add_fault("retrieve", "status", status=500)
        here.now += timedelta(seconds=239)
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []


async def test_a_process_that_was_suspended_asks_once_more(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """It has missed the time-out itself, not Method."""
    key = API_KEY.get_secret_value()
    [there] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=key)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put_deleted(there)
        namespace_goes(server)
        held = await emulator.control.add_fault("retrieve", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        here.now += timedelta(hours=1)
        await emulator.control.release(held)
        await looking
        assert here.finalizers == [FINALIZER]
        await here.reconciler.reconcile(KEY)
        assert here.finalizers == []
        [stored] = await emulator.control.secrets()
        assert stored["status"] == "deleted"
