"""One look after another: what one leaves to the next, with Method emulated over real sockets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from method_emulator.testing import RunningEmulator
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.core.snapshot import Problem, SourceValue
from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import KubeServer
from tests.unit.runtime.looking import KEY, OLD_SOURCE, OTHER, PATH, World, emulator, limited

__all__ = ["emulator"]

GET_SECRET = f"GET /api/v1/namespaces/{gen.NAMESPACE}/secrets/acme"


async def test_a_create_that_was_held_is_none(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Nothing was sent, so nothing is to be settled: no create is open, in the status or in memory."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        client = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client
        client._silent.add("create")
        client._under_way["create"] += 1
        await here.reconciler.reconcile(KEY)
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert ready["reason"] == "MethodUnavailable"
        assert "pending" not in here.status
        assert here.reconciler._memories[KEY][1].attempt is None
        client._under_way["create"] -= 1
        await here.reconciler.reconcile(KEY)
        assert here.status["id"].startswith("sec_")
        assert await emulator.control.count("create") == 1


async def test_a_doubt_outlives_the_wait_for_a_turn(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """A status that says all is well must not end what was begun because it is not."""
    key = API_KEY.get_secret_value()
    [gone] = await emulator.control.seed(metadata=dict(gen.marker()), status="deleted", api_key=key)
    async with limited(writes_per_minute=1) as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object(status=gen.raw_ready_status(id=gone)))
        account = await accounts.account(base_url=emulator.url, api_key=API_KEY)
        await account.inventory.ready()
        taken = account.client.writes.try_acquire()
        assert taken is not None
        here.reconciler.doubt(KEY)
        await here.reconciler.reconcile(KEY)
        assert here.status["id"] == gone  # somebody else has the only turn there is
        taken.release()
        await here.reconciler.reconcile(KEY)
        assert here.status["id"] != gone


async def test_what_came_while_an_id_was_not_written_is_looked_at_after_it(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        server.faults[f"PATCH {PATH}/status"] = [503]
        with pytest.raises(KubeUnavailable):
            await here.reconciler.reconcile(KEY)
        here.put(gen.raw_object(version=101, generation=2, spec=gen.raw_spec(metadata={"team": "x"})))
        assert await here.reconciler.reconcile(KEY) == 0.0
        first = here.status["id"]
        assert here.status["observedGeneration"] == 1
        await here.reconciler.reconcile(KEY)
        assert here.status["id"] != first
        assert here.status["observedGeneration"] == 2


async def test_a_refused_look_at_a_replayed_secret_is_no_failure_of_its_create(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The create is still open: another idempotency key would make a second secret."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        await emulator.control.add_fault("create", "reset_after")
        await here.reconciler.reconcile(KEY)
        await emulator.control.add_fault("retrieve", "status", status=401)
        await here.reconciler.reconcile(KEY)
        assert here.status["conditions"][0]["reason"] == "Unauthorized"
        await here.reconciler.reconcile(KEY)
        [stored] = await emulator.control.secrets()
        assert here.status["id"] == stored["id"]


async def test_a_secret_made_anew_that_the_watch_has_not_told_of_is_read_once(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The watch may be away for long: what it had is older, so nothing is to be waited for."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.see_secret(uid="the former one's", version=str(int(gen.SECRET_VERSION) - 1))
        here.put(gen.raw_object())
        await here.reconciler.reconcile(KEY)
        assert here.status["conditions"][0]["reason"] == "Synced"
        assert server.seen.count(GET_SECRET) == 1
        assert here.woken == []


ANEW = "0b0c7b0e-5555-4222-8333-944444444444"


def anew(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - as in gen.raw_object
    """Return another object by that name, as it is right after it was applied."""
    return gen.raw_object(uid=ANEW, version=200, **changed)


@pytest.mark.parametrize("seen", ["while its create is on its way", "after that", "as deleted, then as new"])
async def test_a_create_of_unknown_outcome_is_looked_for_when_its_object_is_applied_anew(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator, seen: str
) -> None:
    """The new uid makes another idempotency key: only a list from after that tells what was made."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        held = await emulator.control.add_fault("create", "hang", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        if seen == "while its create is on its way":
            here.put(anew())
        await emulator.control.release(held)
        await looking
        if seen == "as deleted, then as new":
            here.cache.forget(server.documents.pop(PATH))
            await here.reconciler.reconcile(KEY)
        if seen != "while its create is on its way":
            here.put(anew())
        await here.reconciler.reconcile(KEY)
        [stored] = await emulator.control.secrets()
        assert (here.status["id"], await emulator.control.count("create")) == (stored["id"], 1)
        assert await emulator.control.count("list") == 2  # one for all, and one for what was let go


async def test_an_opinion_on_an_older_status_is_not_written_over_a_newer_one(
    kube: KubeClient,
    server: KubeServer,
    watch: MetadataWatch,
    emulator: RunningEmulator,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another operator writes while our GET of the value is under way, and the watch tells of it at once."""
    in_use, due, going = await emulator.control.seed(
        3, metadata=dict(gen.marker()), api_key=API_KEY.get_secret_value()
    )
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        spec = gen.raw_spec(rotation={"deleteSupersededAfter": "1h"})
        former = [
            {"id": due, "revision": gen.revision(value="due"), "supersededAt": gen.EARLIER},
            {"id": going, "revision": OTHER, "supersededAt": gen.EARLIER, "deleting": True},
        ]
        here.put(gen.raw_object(spec=spec, status=gen.raw_ready_status(id=in_use, superseded=former[:1])))
        here.cache.trust(KEY)
        sources = here.reconciler._gatherer.sources
        read = sources.value

        async def value(obj: MethodSecret) -> SourceValue | Problem:
            got = await read(obj)
            if obj.metadata.resource_version == "100":
                newer = gen.raw_ready_status(id=in_use, superseded=former)
                here.put(gen.raw_object(version=101, spec=spec, status=newer))
            return got

        monkeypatch.setattr(sources, "value", value)  # the moment is in between
        await here.reconciler.reconcile(KEY)
        assert here.status["superseded"] == former
        assert here.woken == [KEY], "another opinion is formed"


async def test_what_was_found_of_an_object_is_not_said_of_its_successor(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """The new one may ask for something else, and would be called Synced with what it does not want."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        held = await emulator.control.add_fault("create", "hold", when="after")
        looking = asyncio.create_task(here.reconciler.reconcile(KEY))
        await emulator.control.wait_held(held)
        here.put(anew(spec=gen.raw_spec(metadata={"team": "x"})))
        await emulator.control.release(held)
        await looking
        assert "id" not in here.status
        await here.reconciler.reconcile(KEY)
        assert here.status["source"]["revision"] == gen.revision(metadata={"team": "x"})


async def test_what_was_to_be_deleted_is_not_taken_again_from_a_replay(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Its DELETE may have been sent and come any moment; here Method refuses it when it is sent once more."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        await here.reconciler.reconcile(KEY)
        first = here.status["id"]
        [other] = await emulator.control.seed(
            metadata=dict(gen.marker(revision=gen.revision(value="former"))),
            api_key=API_KEY.get_secret_value(),
        )
        condemned = {"id": first, "revision": gen.revision(), "supersededAt": gen.EARLIER, "deleting": True}
        status = gen.raw_ready_status(id=other, source=OLD_SOURCE, superseded=[condemned])
        here.put(gen.raw_object(version=200, status=status))
        here.cache.trust(KEY)
        await emulator.control.add_fault("delete", "status", status=403, count=None)
        while await here.reconciler.reconcile(KEY) == 0.0:
            pass
        [ready] = [c for c in here.status["conditions"] if c["type"] == "Ready"]
        assert (ready["reason"], here.status["id"] in (first, other)) == ("Synced", False)


async def test_a_value_that_method_never_takes_can_be_corrected(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    """Its create comes first, but not for ever: after ten minutes of 5xx the present value has its turn."""
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        accounts._now = lambda: here.now
        here.put(gen.raw_object())
        fault = await emulator.control.add_fault("create", "status", status=500, count=None)
        await here.reconciler.reconcile(KEY)
        server.put_secret("acme", {"api-key": b"a value that works"})
        for seconds, keys in ((300, 1), (299, 1), (1, 2)):
            here.now += timedelta(seconds=seconds)
            if keys == 2:
                await emulator.control.remove_fault(fault)
            await here.reconciler.reconcile(KEY)
            sent = await emulator.control.requests(operation="create")
            assert len({request["idempotency_key"] for request in sent}) == keys, seconds
        assert await emulator.control.has_value("a value that works") == [here.status["id"]]


async def test_a_replay_that_cannot_be_looked_at_leaves_its_create_open(
    kube: KubeClient, server: KubeServer, watch: MetadataWatch, emulator: RunningEmulator
) -> None:
    async with limited() as accounts:
        here = World(kube, server, watch, accounts, emulator.url)
        here.put(gen.raw_object())
        await emulator.control.add_fault("create", "reset_after")
        await here.reconciler.reconcile(KEY)
        client = (await accounts.account(base_url=emulator.url, api_key=API_KEY)).client
        client.reads.block(3600)
        await here.reconciler.reconcile(KEY)
        assert await emulator.control.count("create") == 2
        assert "id" not in here.status
        attempt = here.reconciler._memories[KEY][1].attempt
        assert attempt is not None
        assert attempt.unresolved is not None
