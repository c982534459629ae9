"""The inventory against the emulator: what a scan finds, and what was written while it was on its way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple

import pytest

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator.core.remote import RemoteSecret
from methodsecret_operator.errors import MethodError, MethodUnauthorized, MethodUnavailable
from methodsecret_operator.method.inventory import LAG, Inventory
from methodsecret_operator.method.wire import Page
from tests.unit import gen
from tests.unit.method.servers import API_KEY, always, method_client, raw_server, reply

OWNER = f"{gen.CLUSTER}/{gen.NAMESPACE}/{gen.NAME}"
KEY = API_KEY.get_secret_value()
HEADER = "pagination-page-cursor-next"


class Clock:
    """Goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@contextlib.asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[tuple[RunningEmulator, Inventory, Clock]]:  # noqa: ANN401 - the emulator's
    async with running_emulator(**settings) as emulator, method_client(emulator.url) as client:
        clock = Clock()
        yield emulator, Inventory(client, clock=clock), clock


def ids(inventory: Inventory, owner: str = OWNER) -> set[str]:
    return {entry.id for entry in inventory.of(owner)}


# --- what an earlier process has spent --------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds_ago", "api_ahead", "owner", "counted", "reason"),
    [
        (10, 0, OWNER, True, "ours, within the minute that the API counts"),
        (65, 0, OWNER, False, "over a minute ago"),
        (55, -20, OWNER, True, "the API's clock is behind ours: it counts by its own"),
        (10, 3600, OWNER, True, "and were it an hour ahead"),
        (55, None, OWNER, True, "it tells no time: ours has to do"),
        (-10, None, OWNER, True, "then it may be ahead of ours"),
        (-90, None, OWNER, False, "but not by as much: a clock is wrong, and nobody knows which"),
        (10, 0, "former/shop/card", True, "marked before the cluster was renamed"),
        (10, 0, "other/shop/card", False, "another cluster has a share of its own"),
        (10, 0, None, False, "not marked: other programs leave us our share anyway"),
        (None, 0, OWNER, False, "no time of creation, or none that can be read"),
    ],
)
async def test_the_first_scan_tells_the_budget_what_a_process_before_this_one_has_created(
    *, seconds_ago: float | None, api_ahead: float | None, owner: str | None, counted: bool, reason: str
) -> None:
    clock = Clock()
    time_there = clock.now + timedelta(seconds=api_ahead or 0)
    secret = {
        "id": "sec_a1",
        "status": "active",
        "metadata": {"team": "x"} if owner is None else dict(gen.marker(owner=owner)),
        "created_at": "soon" if seconds_ago is None else _ago(seconds_ago, time_there),
    }
    date = [] if api_ahead is None else [f"Date: {format_datetime(time_there, usegmt=True)}"]
    async with raw_server() as server, method_client(server.url, limit=1) as client:
        server.talk = always(server, reply(json.dumps({"success": True, "data": [secret]}).encode(), *date))
        inventory = Inventory(client, clock=clock, clusters={gen.CLUSTER, "former"})
        await inventory.ready()
        assert len(inventory) + inventory.others == 1
        assert client.writes.available == (0 if counted else 1), reason


def _ago(seconds: float, now: datetime) -> str:
    return (now - timedelta(seconds=seconds)).isoformat()


async def test_a_later_scan_tells_the_budget_nothing() -> None:
    """By then what it shows was created with this budget, and is counted."""
    clock = Clock()
    async with running_emulator() as emulator, method_client(emulator.url, limit=80) as client:
        inventory = Inventory(client, clock=clock, clusters={gen.CLUSTER})
        await inventory.ready()
        created = datetime.now(UTC).isoformat()
        await emulator.control.seed(76, metadata=dict(gen.marker()), created_at=created, api_key=KEY)
        await inventory.scan(since=clock())
        assert len(inventory) == 76
        assert client.writes.available == 2


async def test_it_tells_whether_it_is_scanning() -> None:
    """Of a large account that takes long: no reason to take the workers for dead."""
    async with world() as (emulator, inventory, _):
        told = [inventory.scanning]
        held = await emulator.control.add_fault("list", "hold", when="after")
        waiting = asyncio.create_task(inventory.ready())
        await emulator.control.wait_held(held)
        told.append(inventory.scanning)
        await emulator.control.release(held)
        await waiting
        assert [*told, inventory.scanning] == [False, True, False]


# --- one scan ---------------------------------------------------------------------------------------


async def test_a_scan_reads_every_page_and_keeps_names_only() -> None:
    async with world() as (emulator, inventory, _):
        ours = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        others = await emulator.control.seed(250, metadata={"team": "x"}, api_key=KEY)
        deleted = await emulator.control.seed(metadata=dict(gen.marker()), status="deleted", api_key=KEY)
        await emulator.control.change_settings(list_deleted=True)
        assert inventory.has(ours[0]) is None  # nobody has looked yet
        await inventory.ready()
        assert await emulator.control.count("list") == 3
        assert (inventory.of(OWNER), inventory.of("a/b/c")) == ((gen.marked(ours[0]),), ())
        assert (len(inventory), inventory.whole, inventory.refused) == (1, True, False)
        assert all(inventory.has(known) for known in (*ours, *others))
        assert inventory.has(deleted[0]) is False
        await inventory.ready()
        assert await emulator.control.count("list") == 3  # one scan serves everybody


async def test_a_scan_is_made_anew_for_who_needs_a_later_one() -> None:
    async with world() as (emulator, inventory, clock):
        await inventory.ready()
        began = inventory.scanned_at
        assert began is not None
        await inventory.scan(since=began)
        assert await emulator.control.count("list") == 1
        await inventory.scan(since=clock())
        assert await emulator.control.count("list") == 2
        assert inventory.scanned_at is not None
        assert inventory.scanned_at > began


async def test_a_scan_from_before_a_create_was_let_go_serves_nobody_any_more() -> None:
    """Whoever is ready after that knows what the create has come to; one scan is enough for all."""
    async with world() as (emulator, inventory, _):
        await inventory.ready()
        (stray,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        inventory.outdate()
        assert not inventory.current
        await asyncio.gather(*(inventory.ready() for _ in range(3)))
        assert (ids(inventory), inventory.current) == ({stray}, True)
        await inventory.ready()
        assert await emulator.control.count("list") == 2


async def test_a_scan_that_was_under_way_when_a_create_was_let_go_is_no_answer() -> None:
    async with world() as (emulator, inventory, clock):
        held = await emulator.control.add_fault("list", "hold", when="after")
        waiting = asyncio.create_task(inventory.ready())
        await emulator.control.wait_held(held)
        (stray,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        inventory.outdate()
        ready = asyncio.create_task(inventory.ready())
        clock.now -= timedelta(hours=1)  # which scan was first is not told by the time of day
        await emulator.control.release(held)
        await asyncio.gather(waiting, ready)
        assert ids(inventory) == {stray}
        assert await emulator.control.count("list") == 2


async def test_where_listing_is_refused_a_create_that_was_let_go_holds_up_nobody() -> None:
    async with world() as (emulator, inventory, _):
        await emulator.control.add_fault("list", "status", status=403, count=None)
        inventory.outdate()
        for _ in range(2):
            await inventory.ready()
        assert (inventory.refused, await emulator.control.count("list")) == (True, 1)


async def test_another_scan_is_another_and_began_late_enough() -> None:
    async with world() as (emulator, inventory, clock):
        await inventory.ready()
        held = await emulator.control.add_fault("list", "hold", when="after")
        running = asyncio.create_task(inventory.scan(since=clock()))
        await emulator.control.wait_held(held)
        since = clock()
        again = asyncio.create_task(inventory.scan_again(since=since))
        await asyncio.sleep(0)
        await emulator.control.release(held)
        await asyncio.gather(running, again)
        assert await emulator.control.count("list") == 3  # the one that was under way began too early
        await inventory.scan_again(since=since)
        assert await emulator.control.count("list") == 4  # late enough as the last one was
        assert inventory.scanned_at is not None
        assert inventory.listed_at is not None
        assert since <= inventory.scanned_at < inventory.listed_at


async def test_a_clock_that_was_put_back_does_not_keep_a_scan_going() -> None:
    """A scan that began after it was asked for is late enough, whatever the time of day says."""
    async with world() as (emulator, inventory, clock):
        await inventory.ready()
        since = clock()
        clock.now -= timedelta(hours=1)
        await asyncio.wait_for(inventory.scan(since=since), timeout=5)
        assert await emulator.control.count("list") == 3  # no more than two for one who waits


async def test_a_secret_that_is_gone_is_dropped_by_the_next_scan() -> None:
    async with world() as (emulator, inventory, clock):
        (ours,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        await inventory.ready()
        await emulator.control.vanish(ours)
        await inventory.scan(since=clock())
        assert (ids(inventory), inventory.has(ours), len(inventory)) == (set(), False, 0)


class Metadata(NamedTuple):
    """What stands where a marker should, and whether it is one."""

    reason: str
    metadata: dict[str, Any] | None
    marked: bool


WHOLE = gen.marker()
METADATA = [
    Metadata("our marker", dict(WHOLE), marked=True),
    Metadata("beside a user's own", {**WHOLE, "team": {"deep": [1]}}, marked=True),
    Metadata("none", None, marked=False),
    Metadata("half a marker", {"k8s_owner": OWNER}, marked=False),
    Metadata("a marker that is no text", {**WHOLE, "k8s_uid": 7}, marked=False),
]


@pytest.mark.parametrize("row", METADATA, ids=lambda row: row.reason)
async def test_what_counts_as_marked(row: Metadata) -> None:
    async with world() as (emulator, inventory, _):
        (secret_id,) = await emulator.control.seed(metadata=row.metadata, api_key=KEY)
        await inventory.ready()
        assert ids(inventory) == ({secret_id} if row.marked else set())
        assert inventory.has(secret_id) is True


async def test_entries_that_cannot_be_read_leave_room_for_doubt() -> None:
    entries = [{"id": "sec_a", "status": "active", "metadata": WHOLE}, {"id": 7}, "what"]
    async with raw_server() as server, method_client(server.url) as client:
        server.talk = always(server, reply(json.dumps(entries).encode()))
        inventory = Inventory(client, clock=Clock())
        await inventory.ready()
        assert (ids(inventory), inventory.whole) == ({"sec_a"}, False)
        # It may be one of those that cannot be read: absence is not told.
        assert (inventory.has("sec_a"), inventory.has("sec_b")) == (True, None)
        assert inventory.judge({"sec_b"}) == set()


class Counted(NamedTuple):
    """Pages of a list, each with its ids and how many it says there are in all; and whether that is whole."""

    reason: str
    pages: tuple[tuple[tuple[str, ...], str | None], ...]
    whole: bool


COUNTED = [
    Counted("as many as there are", ((("sec_a", "sec_b"), "2"),), whole=True),
    Counted("one never came", ((("sec_a", "sec_b"), "3"),), whole=False),
    Counted("none came at all", (((), "1"),), whole=False),
    Counted("one came twice, and the other never", ((("sec_a", "sec_a"), "2"),), whole=False),
    Counted("more than it says", ((("sec_a", "sec_b"), "1"),), whole=True),
    Counted("it does not say", ((("sec_a", "sec_b"), None),), whole=True),
    Counted("it says nothing that could be read", ((("sec_a", "sec_b"), "many"),), whole=True),
    Counted("of all pages together", ((("sec_a", "sec_b"), "3"), (("sec_c",), "3")), whole=True),
    Counted("the last page came empty", ((("sec_a", "sec_b"), "3"), ((), "3")), whole=False),
    Counted("one was deleted meanwhile", ((("sec_a",), "3"), (("sec_c",), "2")), whole=True),
    Counted("one was added, and missed", ((("sec_a",), "2"), (("sec_c",), "3")), whole=False),
]


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row.reason)
async def test_a_list_that_is_shorter_than_it_says_leaves_room_for_doubt(row: Counted) -> None:
    answers = []
    for number, (listed, total) in enumerate(row.pages, 1):
        entries = [{"id": secret_id, "status": "active", "metadata": WHOLE} for secret_id in listed]
        more = [f"{HEADER}: page-{number}"] if number < len(row.pages) else []
        said = [] if total is None else [f"pagination-total-count: {total}"]
        answers.append(reply(json.dumps(entries).encode(), *more, *said))
    async with raw_server() as server, method_client(server.url) as client:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await server.receive(reader):
                writer.write(answers.pop(0))
                await writer.drain()

        server.talk = talk
        inventory = Inventory(client, clock=Clock())
        await inventory.ready()
        assert answers == []
        assert ids(inventory) == {secret_id for listed, _ in row.pages for secret_id in listed}
        assert inventory.whole is row.whole
        # What came is there; only where all came, what did not come is missed.
        assert inventory.has("sec_missed") is (False if row.whole else None)
        assert inventory.judge({"sec_missed"}) == ({"sec_missed"} if row.whole else set())


async def test_a_cursor_that_comes_again_is_no_list() -> None:
    async with raw_server() as server, method_client(server.url) as client:
        server.talk = always(server, reply(b"[]", f"{HEADER}: again"))
        inventory = Inventory(client, clock=Clock())
        with pytest.raises(MethodUnavailable) as caught:
            await inventory.ready()
        assert (caught.value.operation, caught.value.kind) == ("list", "unreadable")
        assert (len(server.requests), inventory.scanned_at) == (2, None)


async def test_a_failed_scan_changes_nothing_and_the_next_is_made() -> None:
    async with world() as (emulator, inventory, clock):
        (ours,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        await emulator.control.seed(100, api_key=KEY)
        await inventory.ready()
        began = inventory.scanned_at
        await emulator.control.add_fault("list", "status", skip=1)  # the second page
        with pytest.raises(MethodUnavailable):
            await inventory.scan(since=clock())
        assert (ids(inventory), inventory.scanned_at) == ({ours}, began)
        await inventory.scan(since=clock())
        assert inventory.scanned_at > began  # type: ignore[operator]  # it was scanned above


async def test_where_listing_is_refused_there_is_no_second_guard() -> None:
    async with world() as (emulator, inventory, clock):
        (ours,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        refusal = await emulator.control.add_fault("list", "status", status=403, count=None)
        await inventory.ready()
        assert (inventory.refused, inventory.scanned_at, inventory.has(ours)) == (True, None, None)
        await inventory.ready()
        assert await emulator.control.count("list") == 1  # not asked again for each create
        await inventory.scan(since=clock())  # a resync asks again
        assert await emulator.control.count("list") == 2
        await emulator.control.remove_fault(refusal)
        await inventory.scan(since=clock())
        assert (inventory.refused, ids(inventory)) == (False, {ours})


async def test_a_wrong_key_is_no_refusal() -> None:
    async with world() as (emulator, inventory, _):
        await emulator.control.add_fault("list", "status", status=401)
        with pytest.raises(MethodUnauthorized):
            await inventory.ready()
        assert not inventory.refused


# --- what is written meanwhile ----------------------------------------------------------------------


class Write(NamedTuple):
    """What is written while a scan is on its way, and what is known of the seeded secret afterwards."""

    reason: str
    seeded: bool
    writes: tuple[str, ...]
    there: bool


WRITES = [
    Write("a new secret that the answer on its way has not", seeded=False, writes=("learn",), there=True),
    Write("a deleted one that the answer on its way still has", seeded=True, writes=("forget",), there=False),
    Write("the last word counts: deleted", seeded=True, writes=("learn", "forget"), there=False),
    Write("the last word counts: there", seeded=True, writes=("forget", "learn"), there=True),
    Write("learned to be deleted", seeded=True, writes=("learn deleted",), there=False),
    Write("nothing", seeded=True, writes=(), there=True),
]


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.reason)
async def test_a_scan_is_merged_into_what_was_written_since_it_began(row: Write) -> None:
    async with world() as (emulator, inventory, _):
        metadata = dict(gen.marker())
        secret_id = (
            (await emulator.control.seed(metadata=metadata, api_key=KEY))[0] if row.seeded else "sec_n"
        )
        secret = RemoteSecret(id=secret_id, status="active", metadata=metadata)
        hold = await emulator.control.add_fault("list", "hold")
        scan = asyncio.create_task(inventory.ready())
        await emulator.control.wait_held(hold)
        for write in row.writes:
            if write == "forget":
                inventory.forget(secret_id)
            else:
                status = "deleted" if write == "learn deleted" else "active"
                inventory.learn(RemoteSecret(id=secret_id, status=status, metadata=secret.metadata))
        await emulator.control.release(hold)
        await scan
        assert ids(inventory) == ({secret_id} if row.there else set())
        assert inventory.has(secret_id) is row.there


async def test_what_was_written_before_a_scan_began_is_for_the_scan_to_say() -> None:
    async with world() as (_, inventory, clock):
        await inventory.ready()
        inventory.learn(RemoteSecret(id="sec_gone", status="active", metadata=gen.marker()))
        inventory.learn(RemoteSecret(id="sec_other", status="active"))
        assert (ids(inventory), inventory.has("sec_other")) == ({"sec_gone"}, True)
        clock.now += LAG
        await inventory.scan(since=clock())
        assert (ids(inventory), inventory.has("sec_gone"), inventory.has("sec_other")) == (
            set(),
            False,
            False,
        )
        assert len(inventory) == 0


async def test_what_was_answered_just_before_is_known_though_a_list_lags() -> None:
    """Whose object is deleted and applied anew makes another key: this is all that tells of its secret."""
    async with world() as (_, inventory, clock):
        await inventory.ready()
        made = RemoteSecret(id="sec_made", status="active", metadata=gen.marker())
        inventory.learn(made)
        clock.now += LAG - timedelta(seconds=10)
        for _ in range(2):
            await inventory.scan(since=clock())
            assert ids(inventory) == {"sec_made"}, "it may be this object's"
            assert inventory.has("sec_made") is False, "and is not listed all the same"
            assert not inventory.vanished("sec_made")
        inventory.learn(made)
        assert inventory.has("sec_made") is True, "just asked for, and there"
        inventory.forget("sec_made")
        await inventory.scan(since=clock())
        assert ids(inventory) == set()


async def test_one_scan_at_a_time_and_a_waiter_may_leave() -> None:
    async with world() as (emulator, inventory, _):
        hold = await emulator.control.add_fault("list", "hold")
        first = asyncio.create_task(inventory.ready())
        await emulator.control.wait_held(hold)
        second = asyncio.create_task(inventory.ready())
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await emulator.control.release(hold)
        await second
        assert inventory.scanned_at is not None
        assert await emulator.control.count("list") == 1


async def test_a_scan_that_may_hang_is_waited_for_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with every other call to an account that is silent: see MethodClient.silent."""
    async with world() as (emulator, inventory, _):
        hold = await emulator.control.add_fault("list", "hold")
        first = asyncio.create_task(inventory.ready())
        await emulator.control.wait_held(hold)
        monkeypatch.setattr(inventory._client, "silent", lambda operation: operation == "list")
        with pytest.raises(MethodUnavailable, match="list: held"):
            await inventory.ready()
        await emulator.control.release(hold)
        await first
        await inventory.ready()
        assert await emulator.control.count("list") == 1


async def test_one_who_comes_in_the_moment_in_which_a_scan_ends_gets_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as (_, inventory, clock):
        page = await inventory._client.list_page()
        answer: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()
        join, joined = inventory._join, 0

        async def list_page(**_: object) -> Page:
            asked.set()
            return await answer

        async def counted() -> None:
            nonlocal joined
            joined += 1
            assert joined < 10, "waits without waiting, and nothing else gets its turn"
            await join()

        monkeypatch.setattr(inventory, "_join", counted)
        monkeypatch.setattr(inventory._client, "list_page", list_page)
        first = asyncio.create_task(inventory.ready())
        await asked.wait()
        answer.set_result(page)
        # Its first step is due after the scan's last one, and before what the scan's end sets off.
        late = asyncio.create_task(inventory.scan(since=clock()))
        await asyncio.gather(first, late)


async def test_a_scan_that_fails_for_nobody_is_not_complained_of() -> None:
    async with world() as (emulator, inventory, _):
        hold = await emulator.control.add_fault("list", "hold")
        await emulator.control.add_fault("list", "status", count=None)
        waiter = asyncio.create_task(inventory.ready())
        await emulator.control.wait_held(hold)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await emulator.control.release(hold)
        with contextlib.suppress(MethodError):
            await inventory.ready()
        # pytest makes an error of an exception that nobody has looked at


# --- what is missing --------------------------------------------------------------------------------


class Judged(NamedTuple):
    """How many known ids there are, how many of them are missing, and whether that is another account."""

    reason: str
    known: int
    missing: int
    mass: bool


JUDGED = [
    Judged("nothing is known", 0, 0, mass=False),
    Judged("all there", 5, 0, mass=False),
    Judged("the only one: it could be the account", 1, 1, mass=True),
    Judged("three of four are few", 4, 3, mass=False),
    Judged("all of three", 3, 3, mass=True),
    Judged("four of forty are 10 %", 40, 4, mass=False),
    Judged("five of forty are more", 40, 5, mass=True),
    Judged("four of thirty are more than 10 % and than three", 30, 4, mass=True),
    Judged("three of thirty", 30, 3, mass=False),
]


@pytest.mark.parametrize("row", JUDGED, ids=lambda row: row.reason)
async def test_how_many_missing_ids_are_another_account(row: Judged) -> None:
    async with world() as (_, inventory, _clock):
        await inventory.ready()
        known = [f"sec_{number}" for number in range(row.known)]
        for secret_id in known[row.missing :]:
            inventory.learn(RemoteSecret(id=secret_id, status="active"))
        assert inventory.judge(known) == set(known[: row.missing])
        assert inventory.mass_absence is row.mass
        for secret_id in known:
            inventory.learn(RemoteSecret(id=secret_id, status="active"))
        assert inventory.judge(known) == set()
        assert not inventory.mass_absence  # they are back


async def test_what_this_account_had_is_told_from_what_it_never_had() -> None:
    async with world() as (emulator, inventory, clock):
        (listed,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        await inventory.ready()
        await emulator.control.vanish(listed)
        await inventory.scan(since=clock())
        assert inventory.vanished(listed)
        assert inventory.judge({listed, "sec_never"}) == {listed, "sec_never"}
        assert inventory.vanished(listed)
        inventory.judge({"sec_never"})
        assert not inventory.vanished(listed), "nobody knows it any more, so it is not kept for ever"
        mine = RemoteSecret(id="sec_mine", status="active", metadata=gen.marker())
        inventory.learn(mine)
        assert not inventory.vanished("sec_mine")
        inventory.forget("sec_mine")
        assert inventory.vanished("sec_mine")
        assert not inventory.vanished("sec_never")
        inventory.learn(mine)
        assert not inventory.vanished("sec_mine")  # it is back


async def test_without_a_scan_nothing_is_missing() -> None:
    async with world() as (_, inventory, _clock):
        assert inventory.judge({"sec_a"}) == set()
        assert not inventory.mass_absence


# --- size -------------------------------------------------------------------------------------------


async def test_foreign_secrets_cost_their_names() -> None:
    # 100,000 cost as much each (117 B seen), but take half a minute to trace.
    count = 20_000
    async with world(reads_per_minute=0) as (emulator, inventory, _):
        await emulator.control.seed(count, metadata={"team": "x" * 200}, api_key=KEY)
        (ours,) = await emulator.control.seed(metadata=dict(gen.marker()), api_key=KEY)
        started = time.perf_counter()
        tracemalloc.start()
        try:
            before, _peak = tracemalloc.get_traced_memory()
            await inventory.ready()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        seconds = time.perf_counter() - started
        print(f"{count} secrets: {seconds:.1f} s traced, {(after - before) / count:.0f} B each kept")  # noqa: T201 - a figure
        assert ids(inventory) == {ours}
        assert (after - before) / count < 250
        assert (peak - before) / count < 600
