"""One id at Method, and two objects that name it in spec.adopt: one of them gets it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from method_emulator.testing import RunningEmulator
from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import SERVED, KubeServer
from tests.unit.runtime.looking import KEY, World, emulator, limited

__all__ = ["emulator"]

KEYS = [f"{gen.NAMESPACE}/{name}" for name in ("first", "second")]


def path(key: str) -> str:
    namespace, name = key.split("/")
    return f"{SERVED}/namespaces/{namespace}/methodsecrets/{name}"


def put(here: World, key: str, adopted: str, **changed: Any) -> None:  # noqa: ANN401 - see gen.raw_object
    """Let there be an object that asks for an id."""
    name = key.split("/")[1]
    raw = gen.raw_object(name=name, uid=f"uid of {name}", spec=gen.raw_spec(adopt={"id": adopted}), **changed)
    here.server.documents[path(key)] = raw
    here.cache.observe(raw)


def told(here: World, key: str) -> tuple[str | None, str]:
    """Return the id and the reason in a status."""
    status = here.server.documents[path(key)]["status"]
    return status.get("id"), status["conditions"][0]["reason"]


async def seeded(emulator: RunningEmulator) -> str:
    [theirs] = await emulator.control.seed(1, api_key=API_KEY.get_secret_value())
    return theirs


async def test_two_looks_at_once_do_not_both_adopt_it(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    theirs = await seeded(emulator)
    server.put_list()  # as both of them find it
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        for key in KEYS:
            put(here, key, theirs)
        await asyncio.gather(*(here.reconciler.reconcile(key) for key in KEYS))
        assert {told(here, key) for key in KEYS} == {(theirs, "Adopted"), (None, "AdoptionFailed")}


async def test_it_is_kept_for_the_first_until_its_status_is_written(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    theirs = await seeded(emulator)
    server.put_list()
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        first, second = KEYS
        for key in KEYS:
            put(here, key, theirs)
        server.faults[f"PATCH {path(first)}/status"] = [503, 503]
        for _ in range(2):
            with pytest.raises(KubeUnavailable):
                await here.reconciler.reconcile(first)
            await here.reconciler.reconcile(second)
            assert told(here, second) == (None, "AdoptionFailed")
        await here.reconciler.reconcile(first)
        assert told(here, first) == (theirs, "Adopted")


async def test_the_former_owner_waits_while_it_is_kept_for_another(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Its mark is on it, so that it would take it, as what it left behind when it was deleted."""
    [theirs] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=API_KEY.get_secret_value())
    server.put_list()
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        after = KEYS[0]
        put(here, after, theirs)
        server.faults[f"PATCH {path(after)}/status"] = [503]
        with pytest.raises(KubeUnavailable):
            await here.reconciler.reconcile(after)
        here.put(gen.raw_object())  # applied again, by whoever takes the renaming back
        assert await here.reconciler.reconcile(KEY) == 1.0
        assert told(here, KEY) == (None, "Pending")
        await here.reconciler.reconcile(after)
        assert told(here, after) == (theirs, "Adopted")
        assert await emulator.control.count("create") == 0


async def test_it_is_free_again_when_the_first_is_gone(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    theirs = await seeded(emulator)
    server.put_list()
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        first, second = KEYS
        for key in KEYS:
            put(here, key, theirs)
        server.faults[f"PATCH {path(first)}/status"] = [503]
        with pytest.raises(KubeUnavailable):
            await here.reconciler.reconcile(first)
        here.cache.drop(first, uid="uid of first")
        await here.reconciler.reconcile(first)
        await here.reconciler.reconcile(second)
        assert told(here, second) == (theirs, "Adopted")


async def test_one_that_does_not_get_it_keeps_it_from_nobody(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """What stands in the way is another each time, and the last one looks after that has gone."""
    theirs = await seeded(emulator)
    third = gen.raw_object(name="third", uid="uid of third", status=gen.raw_ready_status(id=theirs))
    server.put_list(third)
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        first, second = KEYS
        for key in KEYS:
            put(here, key, theirs)
        await here.reconciler.reconcile(first)
        assert told(here, first) == (None, "AdoptionFailed")
        server.put_list()
        await here.reconciler.reconcile(second)
        assert told(here, second) == (theirs, "Adopted")


async def test_what_its_owner_deletes_as_it_goes_is_not_adopted(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """It was there when Method was asked for its mark; the owner's last act came before it was found gone."""
    [theirs] = await emulator.control.seed(metadata=dict(gen.marker()), api_key=API_KEY.get_secret_value())
    server.put_list()
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        after = KEYS[0]
        put(here, after, theirs)
        asked = await emulator.control.add_fault("retrieve", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(after))
        await emulator.control.wait_held(asked)
        await emulator.control.change_secret(theirs, status="deleted")
        await emulator.control.remove_fault(asked)
        await looking
        assert told(here, after) == (None, "AdoptionFailed")
