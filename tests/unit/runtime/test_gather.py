"""What a snapshot is made of: the account or what is wrong with it, and an inventory fresh enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.identity import DigestKey
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.core.snapshot import Attempt, Problem, Snapshot
from methodsecret_operator.method.accounts import Account
from tests.unit import gen
from tests.unit.runtime.kube_server import SERVED, KubeServer
from tests.unit.runtime.test_drift import World, world

__all__ = ["world"]

SOURCE = f"GET /api/v1/namespaces/{gen.NAMESPACE}/secrets/acme"
NAMESPACE = f"GET /api/v1/namespaces/{gen.NAMESPACE}"


async def gather(
    here: World, obj: MethodSecret | None = None, attempt: Attempt | None = None
) -> tuple[Snapshot, Account | None]:
    nothing: dict[str, Any] = {"evidence": {}, "missing": {}, "adoption": None, "config_maps": {}}
    return await here.gatherer.gather(
        obj or gen.method_secret(), attempt=attempt, trusted=True, refused_since=None, **nothing
    )


async def test_an_object_with_all_it_needs(world: World, server: KubeServer) -> None:
    server.put_secret("acme", {"api-key": gen.CANARY.encode()})
    whole, account = await gather(world)
    assert account is not None
    assert whole.source == gen.source()
    assert (whole.marked, whole.scanned_at, whole.doubted) == ((), None, False)
    assert await world.emulator.control.count("list") == 0  # the scan waits until something rests on it


async def test_without_an_account_no_value_is_read(world: World, server: KubeServer) -> None:
    obj = gen.method_secret(spec=gen.raw_spec(account=gen.own_account()))
    whole, account = await gather(world, obj)
    assert account is None
    assert isinstance(whole.account, Problem)
    assert (whole.account.reason, whole.source) == (Reason.CREDENTIALS_NOT_FOUND, whole.account)
    assert SOURCE not in server.seen


async def test_what_cannot_be_an_api_key_is_called_so(world: World, server: KubeServer) -> None:
    server.put_secret("method", {"token": b"sk_a b"})
    whole, account = await gather(world, gen.method_secret(spec=gen.raw_spec(account=gen.own_account())))
    assert account is None
    assert isinstance(whole.account, Problem)
    assert whole.account.reason is Reason.UNAUTHORIZED


async def test_an_account_that_cannot_be_read_is_not_the_operators_own(world: World) -> None:
    """There Method would know nothing of the id, and that would pass for a deletion."""
    obj = gen.synced(deleted=True).model_copy(update={"unread": ("spec.account",)})
    whole, account = await gather(world, obj)
    assert account is None
    assert isinstance(whole.account, Problem)
    assert whole.account.reason is Reason.CREDENTIALS_NOT_FOUND


class Row(NamedTuple):
    """How the namespace of a deleted object is, and whether it is terminating."""

    reason: str
    answer: dict[str, Any] | int
    terminating: bool


@pytest.mark.parametrize(
    "row",
    [
        Row("active", {}, terminating=False),
        Row("terminating", {"deletionTimestamp": gen.EARLIER}, terminating=True),
        Row("not to be read: then it is not taken for terminating", 403, terminating=False),
        Row("gone", 404, terminating=False),
    ],
    ids=lambda row: row.reason,
)
async def test_the_namespace_of_a_deleted_object(world: World, server: KubeServer, row: Row) -> None:
    if isinstance(row.answer, int):
        server.faults[NAMESPACE].append(row.answer)
    else:
        server.documents[f"/api/v1/namespaces/{gen.NAMESPACE}"] = {
            "metadata": {"name": gen.NAMESPACE, "uid": "u", **row.answer}
        }
    whole, _ = await gather(world, gen.synced(deleted=True))
    assert whole.namespace_terminating is row.terminating
    assert SOURCE not in server.seen  # for a deletion the value is of no use


class Fresh(NamedTuple):
    """How long a create has been open, and how many scans there are after it was looked into twice."""

    reason: str
    open_for: float | None
    scans: int


@pytest.mark.parametrize(
    "row",
    [
        Fresh("a first create: one scan serves all", None, 1),
        Fresh("open for less than a minute: the same", 50.0, 1),
        Fresh("open for more: one from after that minute", 70.0, 2),
        Fresh("open for more than ten: one from after those", 640.0, 2),
    ],
    ids=lambda row: row.reason,
)
async def test_how_fresh_the_inventory_is(world: World, server: KubeServer, row: Fresh) -> None:
    server.put_secret("acme", {"api-key": gen.CANARY.encode()})
    _, account = await gather(world)
    assert account is not None
    await account.inventory.ready()
    attempt = None
    if row.open_for is not None:
        attempt = gen.attempt(since=world.now, unresolved=gen.create())
        world.now += timedelta(seconds=row.open_for)
    for _ in range(2):
        whole, account = await gather(world, attempt=attempt)
        assert account is not None
        whole = await world.gatherer.inventory_ready(whole, account, deleting_since=None)
        assert whole.scanned_at == account.inventory.scanned_at is not None
    assert await world.emulator.control.count("list") == row.scans


async def test_a_deletion_rests_on_a_scan_from_after_it(world: World) -> None:
    stray = await world.seed()
    obj = gen.synced(deleted=True)
    deleted = obj.metadata.deletion_timestamp
    assert deleted is not None
    whole, account = await gather(world, obj)
    assert account is not None
    await account.inventory.ready()
    # By this process's own clock; the server's deletionTimestamp may be ahead of it.
    world.now += timedelta(seconds=1)
    whole = await world.gatherer.inventory_ready(whole, account, deleting_since=world.now)
    assert await world.emulator.control.count("list") == 2
    assert [entry.id for entry in whole.marked] == [stray]


async def test_the_id_that_the_inventory_has_not_is_doubted(world: World, server: KubeServer) -> None:
    server.put_secret("acme", {"api-key": gen.CANARY.encode()})
    here, frozen = await world.seed(uid="x"), await world.seed(status="frozen")
    for secret_id, doubted in ((here, False), (frozen, True), ("sec_missing", True)):
        whole, account = await gather(world, gen.synced(status={"id": secret_id}))
        assert account is not None
        whole = await world.gatherer.inventory_ready(whole, account, deleting_since=None)
        assert (secret_id, whole.doubted) == (secret_id, doubted)
        assert not whole.account_changed


@pytest.mark.parametrize("refused", [False, True])
async def test_what_the_list_shows_of_the_ids_that_were_asked_about(world: World, *, refused: bool) -> None:
    shown, other = await world.seed(), await world.seed(uid="another")
    whole, account = await gather(world)
    assert account is not None
    await account.inventory.ready()
    if refused:
        await world.emulator.control.add_fault("list", "status", status=403, count=None)
        await account.inventory.scan(since=world.clock())
    asked = replace(whole, evidence={shown: None}, missing={"sec_unknown": world.now})
    asked = world.gatherer.with_inventory(asked, account)
    assert {entry.id for entry in asked.marked} == {shown, other}
    assert asked.listed == (frozenset() if refused else {shown})
    assert asked.scanned_at is not None
    assert asked.listed_at is not None
    assert asked.listed_at > asked.scanned_at


class Mark(NamedTuple):
    """Whose mark a secret to be adopted carries, the object of that name being gone, and who may be alive."""

    reason: str
    marker: dict[str, str]
    alive: bool


@pytest.mark.parametrize(
    "row",
    [
        Mark("of this cluster, and gone", {}, alive=False),
        Mark("under a former name of the cluster", {"owner": "old-name/a/b"}, alive=False),
        Mark("another cluster's", {"owner": "other/a/b"}, alive=True),
        Mark(
            "our name under a digest key that we do not hold: another cluster may go by it",
            {"revision": gen.revision(key=DigestKey(b"a digest key that another has"))},
            alive=True,
        ),
        Mark("our name with what is no revision", {"revision": "what"}, alive=True),
    ],
    ids=lambda row: row.reason,
)
async def test_whose_mark_stands_in_the_way_of_an_adoption(
    world: World, server: KubeServer, row: Mark
) -> None:
    server.documents[f"{SERVED}/methodsecrets"] = {"metadata": {"resourceVersion": "1"}, "items": []}
    remote = gen.remote(metadata=gen.marker(**row.marker))
    found = await world.gatherer.examine(gen.method_secret(), remote.id, remote)
    assert (found.claimed_by, found.owner_alive) == (None, row.alive)


class Owner(NamedTuple):
    """What is answered in place of the object that a mark names, and whether that may be alive."""

    reason: str
    answers: list[int]
    alive: bool


@pytest.mark.parametrize(
    "row",
    [
        Owner("it is there", [], alive=True),
        Owner("it may not be looked for", [403], alive=True),
        Owner("it is gone", [404], alive=False),
    ],
    ids=lambda row: row.reason,
)
async def test_a_secret_of_another_object_is_left_to_it_unless_it_is_known_to_be_gone(
    world: World, server: KubeServer, row: Owner
) -> None:
    server.documents[f"{SERVED}/methodsecrets"] = {"metadata": {"resourceVersion": "1"}, "items": []}
    place = f"{SERVED}/namespaces/{gen.NAMESPACE}/methodsecrets/before"
    server.documents[place] = gen.raw_object(name="before", uid="former")
    server.faults[f"GET {place}"] = [*row.answers]
    remote = gen.remote(metadata=gen.marker(owner=f"{gen.CLUSTER}/{gen.NAMESPACE}/before"))
    found = await world.gatherer.examine(gen.method_secret(), remote.id, remote)
    assert (found.claimed_by, found.owner_alive) == (None, row.alive)
    assert f"GET {place}" in server.seen


async def test_whatever_may_be_taken_for_ours_is_looked_up_in_others_statuses(world: World) -> None:
    """The id in the status, former ones, and what carries our mark; but not what stands in our own status."""
    stray = await world.seed()
    names = {"current": "sec_current1", "former": "sec_old1", "marked": stray}
    for name, secret_id in names.items():
        world.cache.observe(gen.raw_object(name=name, status=gen.raw_ready_status(id=secret_id)))
    world.gatherer = world.gathering(named_by_other=world.cache.named_by_other)
    superseded = [
        {"id": secret_id, "supersededAt": gen.EARLIER} for secret_id in ("sec_old1", "sec_nobody_elses")
    ]
    obj = gen.synced(status={"superseded": superseded})
    _, account = await gather(world, obj)
    assert account is not None
    await account.inventory.ready()
    whole, _ = await gather(world, obj)
    assert whole.claimed == set(names.values())
