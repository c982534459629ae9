"""Every fault over a real socket: what the client sees, and whether the work was done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from method_emulator.control_client import EmulatorControlError
from method_emulator.faults import FaultError, FaultSpec, Kind

if TYPE_CHECKING:
    from method_emulator.testing import RunningEmulator

KEY = {"Idempotency-Key": "0f4f6e4e-6a6e-4c38-9c9e-0c6f8f5f9a11"}
HEADERS = {"Authorization": "Bearer sk_test", "Method-Version": "2026-03-30"}


async def post(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/secrets", json={"value": "v", **body}, headers=KEY)


async def creates(emulator: RunningEmulator) -> int:
    return int((await emulator.control.counters())["creates"])


@pytest.mark.parametrize(
    ("spec", "status", "body", "done", "reason"),
    [
        ({"kind": "status"}, 500, "API_ERROR", 0, "500 before the work by default"),
        ({"kind": "status", "when": "after"}, 500, "API_ERROR", 1, "500 though the work is done"),
        ({"kind": "status", "status": 503, "error_sub_type": "IDEMPOTENCY_UNAVAILABLE"}, 503,
         "IDEMPOTENCY_UNAVAILABLE", 0, "the error's names can be given"),
        ({"kind": "status", "status": 429, "headers": {"Retry-After": "7"}}, 429,
         "TOO_MANY_REQUESTS", 0, "429"),
        ({"kind": "status", "status": 418}, 418, "INVALID_REQUEST", 0, "any status"),
        ({"kind": "html"}, 502, "<html>", 1, "a proxy's page in place of the answer"),
        ({"kind": "html", "status": 200, "when": "before"}, 200, "<html>", 0, "a captive portal's 200"),
        ({"kind": "garbage"}, 200, "", 1, "bytes that are no JSON"),
        ({"kind": "empty"}, 200, "", 1, "nothing at all"),
        ({"kind": "no_id"}, 200, '"status":"active"', 1, "a secret without id"),
        ({"kind": "bad_id"}, 200, "../sec", 1, "an id that is none"),
        ({"kind": "slow", "seconds": 0.05}, 200, "sec_", 1, "late but right"),
        ({"kind": "slow", "seconds": 0.05, "when": "after"}, 200, "sec_", 1, "late but right"),
    ],
)  # fmt: skip
async def test_answers(
    emulator: RunningEmulator, client: httpx.AsyncClient, *,
    spec: dict[str, Any], status: int, body: str, done: int, reason: str,
) -> None:  # fmt: skip
    await emulator.control.add_fault("create", **spec)
    response = await post(client)
    assert response.status_code == status, reason
    assert body in response.text, reason
    for name, value in spec.get("headers", {}).items():
        assert response.headers[name] == value, reason
    assert await creates(emulator) == done, reason
    again = await post(client)
    assert again.status_code == 200, "the count is used up"
    assert again.headers["idem-status"] == ("replayed" if done else "stored"), reason
    assert again.json()["data"]["id"].startswith("sec_")
    assert await creates(emulator) == 1


@pytest.mark.parametrize(("kind", "done"), [("reset_before", 0), ("reset_after", 1)])
async def test_resets(emulator: RunningEmulator, client: httpx.AsyncClient, kind: str, done: int) -> None:
    await emulator.control.add_fault("create", kind)
    with pytest.raises(httpx.ReadError):
        await post(client)
    assert await creates(emulator) == done
    assert (await emulator.control.requests())[-1]["status"] is None
    assert (await post(client)).headers["idem-status"] == ("replayed" if done else "stored")


async def test_a_truncated_body_ends_early(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await emulator.control.add_fault("create", "truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        await post(client)
    assert await creates(emulator) == 1


async def test_a_huge_body_has_its_size(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    size = 3 * 1024 * 1024 + 1
    await emulator.control.add_fault("list", "huge", size=size)
    async with client.stream("GET", "/secrets") as response:
        assert response.headers["Content-Length"] == str(size)
        assert sum([len(chunk) async for chunk in response.aiter_bytes()]) == size


async def test_a_client_may_leave_a_huge_body(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await emulator.control.add_fault("list", "huge", size=10**12)
    async with client.stream("GET", "/secrets") as response:
        async for _ in response.aiter_bytes():
            break
    await emulator.control.wait_for_requests(1, operation="list")
    assert (await client.get("/secrets")).status_code == 200


async def test_a_hang_ends_with_its_fault(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    fault = await emulator.control.add_fault("create", "hang")
    request = asyncio.create_task(post(client))
    assert await emulator.control.wait_held(fault) == 1
    assert not request.done()
    await emulator.control.remove_fault(fault)
    with pytest.raises(httpx.ReadError):
        await request
    assert await creates(emulator) == 0


async def test_a_given_up_request_still_does_its_work(emulator: RunningEmulator) -> None:
    fault = await emulator.control.add_fault("create", "hold")
    async with httpx.AsyncClient(base_url=emulator.url, headers=HEADERS, timeout=0.1) as hasty:
        with pytest.raises(httpx.ReadTimeout):
            await post(hasty)
    assert await creates(emulator) == 0
    await emulator.control.release(fault)
    await emulator.control.wait_for_requests(1, operation="create")
    assert await creates(emulator) == 1


async def test_held_requests_go_on_one_by_one(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    fault = await emulator.control.add_fault("retrieve", "hold", count=None, when="after")
    (secret_id,) = await emulator.control.seed(account="team")
    requests = [asyncio.create_task(client.get(f"/secrets/{secret_id}")) for _ in range(3)]
    assert await emulator.control.wait_held(fault, at_least=3) == 3
    assert await emulator.control.release(fault, count=1) == 1
    done, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    assert (await emulator.control.fault(fault))["held"] == 2
    await emulator.control.clear_faults()
    assert {response.status_code for response in await asyncio.gather(*requests)} == {200}


async def test_waiting_for_a_held_request_ends(emulator: RunningEmulator) -> None:
    fault = await emulator.control.add_fault("create", "hold")
    with pytest.raises(EmulatorControlError, match="408"):
        await emulator.control.wait_held(fault, timeout=0.05)


async def test_count_skip_and_operation(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    fault = await emulator.control.add_fault("list", "status", status=503, count=2, skip=1)
    assert (await client.get("/ping")).status_code == 200
    statuses = [(await client.get("/secrets")).status_code for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]
    shown = await emulator.control.fault(fault)
    assert (shown["seen"], shown["applied"]) == (3, 2)


async def test_match_strikes_only_its_own(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await emulator.control.add_fault("any", "status", count=None, match={"k8s_owner": "c1/ns/"})
    ours, theirs = {"metadata": {"k8s_owner": "c1/ns/a"}}, {"metadata": {"k8s_owner": "c1/other/a"}}
    statuses = [
        (await client.post("/secrets", json={"value": "v", **body})).status_code
        for body in (ours, theirs, {})
    ]
    assert statuses == [500, 200, 200]
    (seeded,) = await emulator.control.seed(metadata=ours["metadata"], account="team")
    assert (await client.get(f"/secrets/{seeded}")).status_code == 500
    assert (await client.delete(f"/secrets/{seeded}")).status_code == 500
    assert (await client.get("/secrets")).status_code == 200


async def test_ids_of_lists_can_be_missing(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await emulator.control.seed(3, account="team")
    await emulator.control.add_fault("list", "no_id")
    response = await client.get("/secrets")
    assert [sorted(secret) for secret in response.json()["data"]] == [
        ["created_at", "metadata", "status", "updated_at"]
    ] * 3
    assert response.headers["Pagination-Total-Count"] == "3"


async def test_an_error_can_repeat_the_value(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await emulator.control.add_fault("create", "status", status=422, echo_value=True)
    response = await client.post("/secrets", json={"value": "loud-value"})
    assert "loud-value" in response.json()["message"]


@pytest.mark.parametrize(
    ("described", "said", "reason"),
    [
        ({"kind": "boom"}, "kind must be one of", "unknown kind"),
        ({"operation": "update"}, "operation must be one of", "unknown operation"),
        ({"kinds": "hang"}, "has no kinds", "a misspelt field would be a fault that never strikes"),
        ({"kind": "reset_before", "when": "after"}, "leave `when` out", "says itself when"),
        ({"kind": "html", "when": "during"}, "for pauses", "only pauses happen during"),
        ({"kind": "hang", "store": True}, "`store` is for", "a hang has no answer to store"),
        ({"operation": "create", "store": True, "echo_value": True}, "keeps no value", "no value is stored"),
        ({"operation": "list", "echo_value": True}, "of a create", "a list has no value"),
        ({"count": 0}, "at least 1", "a fault that never strikes"),
        ({"count": "1"}, "count has the wrong type", "numbers are numbers"),
        ({"status": 99}, "from 200 to 599", "no final status"),
        ({"match": {"k8s_owner": 1}}, "match has the wrong type", "texts are matched"),
        ({"kind": None}, "kind has the wrong type", "a null kind is none"),
        ({"seconds": True}, "seconds has the wrong type", "true is no number"),
    ],
)
def test_senseless_faults_are_refused(described: dict[str, Any], said: str, reason: str) -> None:
    with pytest.raises(FaultError) as caught:
        FaultSpec.parse(described)
    assert said in str(caught.value), reason


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_parses_and_shows(kind: Kind) -> None:
    shown = FaultSpec.parse({"kind": kind.value}).shown()
    assert shown["kind"] == kind
    assert FaultSpec.parse(shown).shown() == shown
