"""Idempotency-Key under races, with every setting, over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from method_emulator.testing import RunningEmulator

KEY = {"Idempotency-Key": "4a4b5b5e-9b9f-4c53-a1f4-1d3ee3d2d0a1"}


async def post(client: httpx.AsyncClient, value: str = "v", **body: object) -> httpx.Response:
    return await client.post("/secrets", json={"value": value, **body}, headers=KEY)


async def test_duplicates_wait_for_the_first(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    fault = await emulator.control.add_fault("create", "hold", when="during")
    first = asyncio.create_task(post(client))
    await emulator.control.wait_held(fault)
    others = [asyncio.create_task(post(client)) for _ in range(5)]
    while len(await emulator.control.requests(operation="create")) < 6:
        pass  # each look is a call, during which they arrive
    assert not any(other.done() for other in others)
    await emulator.control.release(fault)
    answers = await asyncio.gather(first, *others)
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers["idem-status"] for answer in answers] == ["stored"] + ["replayed"] * 5
    assert (await emulator.control.counters())["creates"] == 1


async def test_duplicates_are_refused_where_asked_for(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    await emulator.control.change_settings(same_key_at_once="conflict")
    fault = await emulator.control.add_fault("create", "hold", when="during")
    first = asyncio.create_task(post(client))
    await emulator.control.wait_held(fault)
    assert (await post(client)).status_code == 409
    await emulator.control.release(fault)
    assert (await first).status_code == 200
    assert (await post(client)).headers["idem-status"] == "replayed"


async def test_a_first_that_breaks_gives_the_key_to_the_next(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    fault = await emulator.control.add_fault("create", "hang", when="during")
    first = asyncio.create_task(post(client))
    await emulator.control.wait_held(fault)
    second = asyncio.create_task(post(client))
    await emulator.control.release(fault)
    answer = await second
    assert (answer.status_code, answer.headers["idem-status"]) == (200, "stored")
    with pytest.raises(httpx.TransportError):
        await first


@pytest.mark.parametrize(("setting", "status"), [("replay", 200), ("conflict", 409), ("unprocessable", 422)])
async def test_the_same_key_with_another_body(
    emulator: RunningEmulator, client: httpx.AsyncClient, setting: str, status: int
) -> None:
    await emulator.control.change_settings(same_key_other_body=setting)
    await post(client, "v1", metadata={"a": 1, "b": 2})
    same = await client.post("/secrets", content=b'{"metadata": {"b":2, "a":1}, "value": "v1"}', headers=KEY)
    assert same.headers["idem-status"] == "replayed"  # however the JSON is written
    assert (await post(client, "v2")).status_code == status
    assert await emulator.control.has_value("v2") == []


async def test_accounts_do_not_share_keys(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await emulator.control.change_settings(api_keys="sk_test=team,sk_same=team,sk_other=other")
    first = await post(client)
    same = await client.post(
        "/secrets", json={"value": "v"}, headers={**KEY, "Authorization": "Bearer sk_same"}
    )
    other = await client.post(
        "/secrets", json={"value": "v"}, headers={**KEY, "Authorization": "Bearer sk_other"}
    )
    assert same.json() == first.json()
    assert other.json() != first.json()
    secret_id = first.json()["data"]["id"]
    hidden = await client.get(f"/secrets/{secret_id}", headers={"Authorization": "Bearer sk_other"})
    assert hidden.status_code == 404


async def test_forgotten_keys_create_again(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    first = await post(client)
    assert await emulator.control.forget_idempotency() == 1
    assert (await post(client)).json() != first.json()


async def test_a_stored_server_error_is_replayed(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    await emulator.control.add_fault("create", "status", status=500, store=True)
    answers = [await post(client), await post(client)]
    assert [answer.status_code for answer in answers] == [500, 500]
    assert [answer.headers["idem-status"] for answer in answers] == ["stored", "replayed"]
    assert (await emulator.control.counters())["creates"] == 0


async def test_a_replay_names_the_first_request(client: httpx.AsyncClient) -> None:
    first, second = await post(client), await post(client)
    assert (
        first.headers["idem-request-id"] == first.headers["Request-Id"] == second.headers["idem-request-id"]
    )
    assert second.headers["Request-Id"] != first.headers["Request-Id"]
