"""Before an id is forgotten it is known whether too many are missing: also where no resync has compared them.

A key of another account may have come since the last resync, or the list of this one may have broken. What
is then called gone stays at Method, and nobody knows its id any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import pytest

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator.core.resource import FINALIZER
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import KubeServer
from tests.unit.runtime.looking import KEY, World, limited

FORMER: Final = "sec_in_the_former_account"


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with running_emulator() as emulator:
        yield emulator


async def _seed(emulator: RunningEmulator, count: int = 1, **marker: str) -> list[str]:
    metadata, key = dict(gen.marker(**marker)), API_KEY.get_secret_value()
    return await emulator.control.seed(count, metadata=metadata, api_key=key)


def _others(here: World, ids: list[str]) -> None:
    """Let as many other objects name these ids."""
    for number, other in enumerate(ids):
        known = gen.raw_ready_status(id=other)
        here.cache.observe(gen.raw_object(name=f"other-{number}", uid=f"uid {number}", status=known))


def _reason(here: World) -> str:
    [ready] = [found for found in here.status["conditions"] if found["type"] == "Ready"]
    return str(ready["reason"])


@pytest.mark.parametrize(
    ("theirs", "kept", "reason"),
    [
        ("missing", True, "the others' are missing as well: it may be in another account"),
        ("there", False, "they are there: it is gone from this account"),
    ],
)
async def test_a_former_id_holds_a_deletion_where_it_may_be_in_another_account(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    theirs: str,
    kept: bool,
    reason: str,
) -> None:
    """The id in use, made after the key was replaced, is there: to find that says nothing of the former."""
    [current], others = await _seed(emulator), await _seed(emulator, 5, owner="a/b/c", uid="theirs")
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        _others(here, [f"{FORMER}{number}" for number in range(5)] if theirs == "missing" else others)
        superseded = [{"id": FORMER, "supersededAt": gen.EARLIER}]
        status = gen.raw_ready_status(id=current, superseded=superseded)
        spec = gen.raw_spec(deletionPolicy="Delete")
        here.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=spec, status=status))
        await here.reconciler.reconcile(KEY)
        assert bool(here.finalizers) is kept, reason
        if kept:
            assert _reason(here) == "AccountChanged"


@pytest.mark.parametrize(
    ("theirs", "named", "reason"),
    [
        ("missing", [FORMER], "the others' are missing as well: it may be in another account"),
        ("there", [], "they are there: it is gone from this account"),
    ],
)
async def test_a_condemned_id_is_not_forgotten_where_it_may_be_in_another_account(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    theirs: str,
    named: list[str],
    reason: str,
) -> None:
    """Its DELETE is to be sent, or was: once the status names it no more, nobody does it."""
    [current], others = await _seed(emulator), await _seed(emulator, 5, owner="a/b/c", uid="theirs")
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        _others(here, [f"{FORMER}{number}" for number in range(5)] if theirs == "missing" else others)
        superseded = [{"id": FORMER, "supersededAt": gen.EARLIER, "deleting": True}]
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=current, superseded=superseded)))
        here.cache.trust(KEY)
        await here.reconciler.reconcile(KEY)
        assert [entry["id"] for entry in here.status.get("superseded", ())] == named, reason
        assert _reason(here) == "Synced"


@pytest.mark.parametrize(
    ("left", "policy", "said", "reason"),
    [
        (0, "OnRequest", "AccountChanged", "with it everything: that is no deletion of one"),
        (5, "OnRequest", "RemoteDeleted", "the others are there: it is gone"),
        (0, "Automatic", "AccountChanged", "nothing is stored in what may be another account"),
        (5, "Automatic", "Synced", "it is stored again"),
    ],
)
async def test_a_list_made_for_one_id_is_compared_before_it_is_believed(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    left: int,
    policy: str,
    said: str,
    reason: str,
) -> None:
    """The list of before had them all, and nothing was missing by that."""
    [current], others = await _seed(emulator), await _seed(emulator, 5, owner="a/b/c", uid="theirs")
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        _others(here, others)
        spec = gen.raw_spec(rotation={"policy": policy})
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=current)))
        here.cache.trust(KEY)
        await emulator.control.change_secret(current, status="frozen")
        await emulator.control.add_fault("retrieve", "status", status=404, count=None)
        await (await accounts.account(base_url=emulator.url, api_key=API_KEY)).inventory.ready()
        here.reconciler.doubt(KEY)
        await here.reconciler.reconcile(KEY)
        assert _reason(here) == "Pending"
        for gone in (current, *others[left:]):
            await emulator.control.vanish(gone)
        here.now += timedelta(seconds=60)
        await here.reconciler.reconcile(KEY)
        assert (_reason(here), await emulator.control.count("list")) == (said, 2), reason
        assert await emulator.control.count("create") == (said == "Synced")
