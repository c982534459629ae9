"""Accounts: what is shared by whom."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from methodsecret_operator import errors
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.method.budget import WINDOW, Timer
from tests.unit import gen
from tests.unit.method.servers import always, raw_server, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Stopwatch:
    """Time that passes only when the test says so; its alarms never ring."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        raise NotImplementedError("nobody waits here")


ONE, OTHER = "https://dev.methodfi.com", "https://sandbox.methodfi.com"


@pytest.fixture
async def accounts() -> AsyncIterator[Accounts]:
    accounts = Accounts(writes_per_minute=100, reads_per_minute=200)
    yield accounts
    await accounts.aclose()


async def test_one_client_per_api_and_key_and_one_budget_per_key(accounts: Accounts) -> None:
    first = (await accounts.account(base_url=ONE, api_key=SecretStr("sk_1"))).client
    assert (await accounts.account(base_url=ONE + "/", api_key=SecretStr("sk_1"))).client is first
    elsewhere = (await accounts.account(base_url=OTHER, api_key=SecretStr("sk_1"))).client
    stranger = (await accounts.account(base_url=ONE, api_key=SecretStr("sk_2"))).client
    assert len({first, elsewhere, stranger}) == 3
    assert elsewhere.writes is first.writes
    assert stranger.writes is not first.writes
    assert (first.writes.limit, first.reads.limit) == (100, 200)
    assert len(accounts.all_budgets()) == 2


async def test_white_space_around_a_key_is_not_part_of_it(accounts: Accounts) -> None:
    async with raw_server() as server:
        server.talk = always(server, reply(b"{}"))
        client = (await accounts.account(base_url=server.url, api_key=SecretStr(" sk_1\r\n"))).client
        await client.ping()
        await accounts.aclose()
    assert b"\r\nauthorization: bearer sk_1\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        ("\n", "only white space"),
        ("sk_1\r\nX-Evil: 1", "two lines"),
        ("sk 1", "two words"),
        ("sk_ä", "not ASCII"),
        ("sk_\x00", "a control character"),
        ("k" * 1025, "too long for a header"),
    ],
)
async def test_what_cannot_be_a_key_is_never_sent(accounts: Accounts, key: str, reason: str) -> None:
    with pytest.raises(errors.MethodUnauthorized) as caught:
        await accounts.account(base_url=ONE, api_key=SecretStr(key))
    assert caught.value.kind == "invalid-key", reason
    assert not accounts.all_budgets()


async def test_closing_ends_the_connections_and_forgets_the_keys() -> None:
    accounts = Accounts(writes_per_minute=100, reads_per_minute=200)
    async with raw_server() as server:
        server.talk = always(server, reply(b"{}"))
        client = (await accounts.account(base_url=server.url, api_key=SecretStr("sk_1"))).client
        await client.ping()
        client.writes.block(600)
        waiting = asyncio.ensure_future(client.delete("sec_a1"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await accounts.aclose()
        await server.hung_up.wait()
    assert accounts.all_budgets() == ()
    assert not [name for name, held in vars(accounts).items() if isinstance(held, dict) and held]


async def test_no_repr_shows_a_key(accounts: Accounts) -> None:
    await accounts.account(base_url=ONE, api_key=SecretStr("sk_canary"))
    assert "canary" not in repr(accounts) + repr(vars(accounts))


async def test_every_request_is_told_of_with_what_came_of_it() -> None:
    told: list[tuple[str, str]] = []
    waits: list[str] = []
    accounts = Accounts(
        writes_per_minute=100,
        reads_per_minute=100,
        observe=lambda operation, status, seconds: told.append((operation, status if seconds >= 0 else "")),
        waited=lambda tier, _: waits.append(tier),
    )
    answers = [reply(b"{}"), reply(b"{}", status="503 Service Unavailable")]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers and await server.receive(reader):
            writer.write(answers.pop(0))
            await writer.drain()

    async with raw_server(talk) as server:
        account = await accounts.account(base_url=server.url, api_key=SecretStr("sk_1"))
        await account.client.ping()
        with pytest.raises(errors.MethodError):
            await account.client.delete("sec_1")
    with pytest.raises(errors.MethodUnavailable):
        await account.client.retrieve("sec_1")  # nobody listens any more
    assert told == [("ping", "200"), ("delete", "503"), ("retrieve", "connection")]
    assert waits == ["reads", "writes", "reads"]
    assert accounts.all_accounts() == (account,)
    await accounts.aclose()


async def test_an_account_nobody_asks_for_is_closed_after_two_rounds() -> None:
    accounts = Accounts(writes_per_minute=100, reads_per_minute=200)
    async with raw_server() as server:
        server.talk = always(server, reply(b"{}"))
        left = (await accounts.account(base_url=server.url, api_key=SecretStr("sk_left"))).client
        await left.ping()
        for expected in (0, 0):
            await accounts.account(base_url=server.url, api_key=SecretStr("sk_used"))
            assert await accounts.end_round() == expected, "its use may be of the round's last moment"
            await accounts.account(base_url=server.url, api_key=SecretStr("sk_used"))
        assert await accounts.end_round() == 1
        assert len(accounts.all_accounts()) == 1
        with pytest.raises(errors.MethodUnavailable):
            await left.ping()
        again = (await accounts.account(base_url=server.url, api_key=SecretStr("sk_left"))).client
        assert again is not left
        await again.ping()
    await accounts.aclose()


async def test_what_an_api_key_has_sent_counts_when_it_comes_back() -> None:
    clock = Stopwatch()
    accounts = Accounts(writes_per_minute=100, reads_per_minute=200, clock=clock)
    key = SecretStr("sk_1")
    first = (await accounts.account(base_url=ONE, api_key=key)).client
    with await first.writes.acquire() as slot:
        slot.use()
    before = first.writes
    for _ in range(3):
        await accounts.end_round()
    assert len(accounts.all_accounts()) == 0
    assert accounts.budgets(key).writes is before, "the API counts it for a minute more"
    clock.now += WINDOW + 1
    await accounts.end_round()
    assert accounts.all_budgets() == (), "now nothing is lost with it"
    await accounts.aclose()


async def test_an_account_with_a_request_under_way_is_not_closed() -> None:
    accounts = Accounts(writes_per_minute=100, reads_per_minute=200)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(reply(b"{}"))
        await writer.drain()

    async with raw_server() as server:
        server.talk = slow
        client = (await accounts.account(base_url=server.url, api_key=SecretStr("sk_1"))).client
        pinged = asyncio.create_task(client.ping())
        await asked.wait()
        assert [await accounts.end_round() for _ in range(3)] == [0, 0, 0]
        go_on.set()
        await pinged
        assert await accounts.end_round() == 1


async def test_a_key_that_comes_later_has_no_earlier_process_behind_it() -> None:
    """What was created within the last minute was then created by this one, with another key."""
    clock = Stopwatch()
    accounts = Accounts(
        writes_per_minute=1, reads_per_minute=100, clusters=[gen.CLUSTER], clock=clock, now=lambda: gen.NOW
    )
    secret = {"id": "sec_a1", "status": "active", "metadata": dict(gen.marker())}
    body = json.dumps({"success": True, "data": [secret | {"created_at": gen.NOW.isoformat()}]}).encode()
    try:
        async with raw_server() as server:
            server.talk = always(server, reply(body))
            clock.now += 3600  # it was standing by
            for key, seconds, left in (("sk_1", 0, 0), ("sk_2", 59, 0), ("sk_3", 1, 1)):
                clock.now += seconds
                account = await accounts.account(base_url=server.url, api_key=SecretStr(key))
                await account.inventory.ready()
                assert account.client.writes.available == left, key
    finally:
        await accounts.aclose()
