"""Which objects are doubted after a scan, and that what cannot be asked now spoils nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import pytest
from pydantic import JsonValue, SecretStr

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import Connection
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.drift import Drift
from methodsecret_operator.runtime.gather import Cluster, Gatherer
from methodsecret_operator.runtime.publications import Publications
from methodsecret_operator.runtime.sources import Sources
from tests.unit import gen
from tests.unit.runtime.kube_server import KubeServer

KEY = f"{gen.NAMESPACE}/{gen.NAME}"
API_KEY = "sk_drift"
OTHER = gen.revision(value="former value")


class World:
    """A cache, an account at the emulator, and what is doubted of it."""

    def __init__(self, emulator: RunningEmulator, connection: Connection) -> None:
        kube = KubeClient(connection)
        self.now = datetime(2026, 5, 4, tzinfo=UTC)
        self.emulator = emulator
        self.doubted: list[str] = []
        self.busy: set[str] = set()
        self.cache = ObjectCache(wake=lambda _: None)
        self.accounts = Accounts(writes_per_minute=1000, reads_per_minute=1000, now=self.clock)
        self.gathering = partial(
            Gatherer,
            cluster=Cluster(name=gen.CLUSTER, digest_key=gen.KEY, aliases=("old-name",)),
            accounts=self.accounts,
            default_key=DefaultKey(api_key=SecretStr(API_KEY), path=None),
            sources=Sources(kube=kube, watch=None, selector=None),
            default_environment="production",
            default_namespaces=(),
            base_url_for=lambda _: emulator.url,
            clock=self.clock,
            kube=kube,
            deletion_timeout=300.0,
            namespaces=(),
            publications=Publications(connection=connection, namespaces=(), wake=lambda _: None),
        )
        self.gatherer = self.gathering(named_by_other=lambda _id, _key: False)
        self.drift = Drift(
            cache=self.cache,
            gatherer=self.gatherer,
            doubt=self.doubted.append,
            busy=self.busy.__contains__,
            clock=self.clock,
        )

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    async def seed(self, status: str = "active", **marker: str) -> str:
        """Store a secret with the ordinary object's marker, or one that differs in something."""
        metadata = dict(gen.marker(**marker))
        return (await self.emulator.control.seed(metadata=metadata, status=status, api_key=API_KEY))[0]

    async def look(self) -> list[str]:
        self.doubted.clear()
        await self.drift.look()
        return list(self.doubted)


@pytest.fixture
async def world(connection: Connection) -> AsyncIterator[World]:
    async with running_emulator() as emulator, contextlib.AsyncExitStack() as stack:
        here = World(emulator, connection)
        stack.push_async_callback(here.accounts.aclose)
        yield here


class Row(NamedTuple):
    """What Method holds beside the object's own secret, and whether the object is doubted."""

    reason: str
    beside: dict[str, str] | None
    doubted: bool


TABLE = [
    Row("all is as the status says", None, doubted=False),
    Row("a second one with our uid that no status names", {}, doubted=True),
    Row(
        "under a former name of the cluster", {"owner": f"old-name/{gen.NAMESPACE}/{gen.NAME}"}, doubted=True
    ),
    Row("of a former object by this name", {"uid": "former"}, doubted=False),
    Row("another object's", {"owner": f"{gen.CLUSTER}/{gen.NAMESPACE}/other"}, doubted=False),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
async def test_what_makes_an_object_doubted(world: World, row: Row) -> None:
    current = await world.seed()
    if row.beside is not None:
        await world.seed(**row.beside)
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id=current)))
    assert await world.look() == ([KEY] if row.doubted else [])


async def test_a_former_secret_that_the_status_names_is_no_surprise(world: World) -> None:
    current, former = await world.seed(), await world.seed(revision=OTHER)
    superseded = [{"id": former, "revision": OTHER, "supersededAt": gen.EARLIER}]
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id=current, superseded=superseded)))
    assert await world.look() == []


async def test_an_object_that_got_its_secret_during_the_scan_is_no_surprise(world: World) -> None:
    world.cache.observe(gen.raw_object())
    hold = await world.emulator.control.add_fault("list", "hold")
    looking = asyncio.create_task(world.look())
    await world.emulator.control.wait_held(hold)
    status = gen.raw_ready_status(id=await world.seed())
    world.cache.observe(gen.raw_object(version=101, status=status))
    await world.emulator.control.release(hold)
    assert await looking == []


async def test_an_object_that_is_worked_on_is_left_to_its_worker(world: World) -> None:
    world.cache.observe(gen.raw_object())
    await world.seed()  # created, and not in the status yet
    world.busy.add(KEY)
    assert await world.look() == []
    world.busy.clear()
    assert await world.look() == [KEY]


async def test_a_secret_that_vanishes_is_noticed_at_the_next_look(world: World) -> None:
    names = {f"n{number}": await world.seed(uid=f"u{number}") for number in range(3)}
    for name, secret_id in names.items():
        status = gen.raw_ready_status(id=secret_id)
        world.cache.observe(gen.raw_object(name=name, status=status))
    assert await world.look() == []
    await world.emulator.control.vanish(names["n1"])
    assert await world.look() == [f"{gen.NAMESPACE}/n1"]


class Mark(NamedTuple):
    """What somebody has made of the metadata of the secret in use, at Method."""

    reason: str
    metadata: dict[str, JsonValue] | None


MARKS = [
    Mark("taken off", None),
    Mark("written over by other metadata", {"team": "x"}),
    Mark("half of it taken off", {"k8s_owner": gen.marker()["k8s_owner"]}),
    Mark("another object's", gen.marker(owner=f"{gen.CLUSTER}/{gen.NAMESPACE}/other")),
    Mark("another cluster's", gen.marker(owner=f"elsewhere/{gen.NAMESPACE}/{gen.NAME}")),
    Mark("of a former object by this name", gen.marker(uid="former")),
    Mark("of another revision", gen.marker(revision=OTHER)),
    Mark("under another digest key", gen.marker(revision="1:00000000:00")),
]


@pytest.mark.parametrize("row", MARKS, ids=lambda row: row.reason)
async def test_the_id_in_use_is_judged_by_its_being_there_not_by_its_marker(world: World, row: Mark) -> None:
    """No answer would end such a doubt: it would come again with each resync."""
    current = await world.seed()
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id=current)))
    assert await world.look() == []
    await world.emulator.control.change_secret(current, metadata=row.metadata)
    assert await world.look() == []
    (account,) = world.accounts.all_accounts()
    assert not account.inventory.vanished(current)
    await world.emulator.control.vanish(current)
    assert await world.look() == [KEY], "and when it is gone, that is noticed"


async def test_a_secret_that_is_not_active_any_more_is_noticed(world: World) -> None:
    current = await world.seed(status="frozen")
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id=current)))
    assert await world.look() == [KEY]


async def test_the_first_look_shares_the_scan_that_the_creates_have_made(world: World) -> None:
    world.cache.observe(gen.raw_object())
    obj = world.cache.get(KEY)
    assert obj is not None
    account, _ = await world.gatherer.account(obj)
    assert account is not None
    await account.inventory.ready()
    await world.look()
    assert await world.emulator.control.count("list") == 1
    await world.look()
    assert await world.emulator.control.count("list") == 2


async def test_an_account_that_cannot_be_asked_is_left_for_the_next_time(world: World) -> None:
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id="sec_missing")))
    await world.emulator.control.add_fault("list", "status")
    assert await world.look() == []
    assert await world.look() == [KEY]


async def test_an_account_that_hangs_holds_up_no_other(world: World, server: KubeServer) -> None:
    for number in range(2):
        server.put_secret(f"method{number}", {"k": b"sk_%d" % number})
        reference = {"apiKeySecretRef": {"name": f"method{number}", "key": "k"}}
        spec = gen.raw_spec(account=gen.own_account() | reference)
        status = gen.raw_ready_status(id=f"sec_missing{number}")
        world.cache.observe(gen.raw_object(name=f"n{number}", spec=spec, status=status))
    hold = await world.emulator.control.add_fault("list", "hold")
    doubted: asyncio.Queue[str] = asyncio.Queue()
    drift = Drift(
        cache=world.cache,
        gatherer=world.gatherer,
        doubt=doubted.put_nowait,
        busy=world.busy.__contains__,
        clock=world.clock,
    )
    looking = asyncio.create_task(drift.look())
    await world.emulator.control.wait_held(hold)
    async with asyncio.timeout(10):
        first = await doubted.get()
    await world.emulator.control.release(hold)
    await looking
    assert {first, doubted.get_nowait()} == {f"{gen.NAMESPACE}/n0", f"{gen.NAMESPACE}/n1"}


async def test_an_object_that_cannot_be_read_or_has_no_account_stops_no_other(
    world: World, server: KubeServer
) -> None:
    world.cache.observe(gen.raw_object(name="broken", spec={"valueFrom": 7}))
    world.cache.observe(gen.raw_object(name="keyless", spec=gen.raw_spec(account=gen.own_account())))
    forbidden = gen.raw_spec(account=gen.own_account() | {"apiKeySecretRef": {"name": "down", "key": "k"}})
    world.cache.observe(gen.raw_object(name="unasked", spec=forbidden))
    server.faults[f"GET /api/v1/namespaces/{gen.NAMESPACE}/secrets/down"].append(500)
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id="sec_missing")))
    assert await world.look() == [KEY]


async def test_an_account_that_no_object_uses_any_more_is_closed(world: World) -> None:
    world.cache.observe(gen.raw_object())
    for _ in range(4):
        await world.look()
        assert len(world.accounts.all_accounts()) == 1, "in use: kept"
    world.cache.drop(KEY, uid=gen.UID)
    await world.look()
    await world.look()
    assert len(world.accounts.all_accounts()) == 0


class Whose(NamedTuple):
    """A secret at Method beside the ordinary object's own, and whose it counts as."""

    reason: str
    marker: dict[str, str]
    owner: str


WHOSE = [
    Whose("of an object that is here", {}, "own"),
    Whose("of a former object by its name", {"uid": "former"}, "own"),
    Whose("under a former name of the cluster", {"owner": f"old-name/{gen.NAMESPACE}/{gen.NAME}"}, "own"),
    Whose("of an object that is gone", {"owner": f"{gen.CLUSTER}/{gen.NAMESPACE}/gone"}, "orphan"),
    Whose("of another cluster", {"owner": f"elsewhere/{gen.NAMESPACE}/{gen.NAME}"}, "foreign"),
    Whose("under another digest key", {"revision": "1:00000000:00"}, "foreign"),
    Whose("of an owner that is none", {"owner": gen.CLUSTER}, "foreign"),
]


@pytest.mark.parametrize("row", WHOSE, ids=lambda row: row.reason)
async def test_whose_a_secret_is(world: World, row: Whose) -> None:
    current = await world.seed()
    await world.seed(**row.marker)
    await world.emulator.control.seed(3, metadata={"made": "by hand"}, api_key=API_KEY)
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id=current)))
    await world.look()
    assert dict(world.drift.owned + Counter()) == Counter({"own": 1, "unmarked": 3}) + Counter([row.owner])


async def test_what_was_taken_along_by_a_new_name_is_no_orphan(world: World) -> None:
    adopted = await world.seed(owner=f"{gen.CLUSTER}/{gen.NAMESPACE}/former-name")
    world.cache.observe(gen.raw_object(status=gen.raw_ready_status(id=adopted)))
    await world.look()
    assert world.drift.owned["orphan"] == 0
    assert world.drift.owned["own"] == 1
