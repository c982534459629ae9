"""What Method documents of Idempotency-Key, and what it does where it documents nothing."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from tests.contract.target import unwrapped

if TYPE_CHECKING:
    from tests.contract.target import MethodApi


async def test_the_first_answer_is_stored_and_replayed(method_api: MethodApi) -> None:
    key = str(uuid.uuid4())
    body = {"value": method_api.new_value(), "metadata": method_api.metadata()}
    first, second = [await method_api.create(body, key=key) for _ in range(2)]
    assert (first.status_code, first.headers["idem-status"]) == (200, "stored")
    assert (second.status_code, second.headers["idem-status"]) == (200, "replayed")
    assert second.json() == first.json()
    listed = unwrapped(await method_api.request("GET", "/secrets", params={"page_limit": 2}))
    assert [secret["id"] for secret in listed].count(unwrapped(first)["id"]) == 1


async def test_a_failure_is_stored_and_replayed(method_api: MethodApi) -> None:
    key = str(uuid.uuid4())
    first, second = [await method_api.create({"value": 12}, key=key) for _ in range(2)]
    assert first.status_code in (400, 422)
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert (first.headers["idem-status"], second.headers["idem-status"]) == ("stored", "replayed")


async def test_another_key_is_another_secret(method_api: MethodApi) -> None:
    body = {"value": method_api.new_value(), "metadata": method_api.metadata()}
    first, second = [await method_api.create(body, key=str(uuid.uuid4())) for _ in range(2)]
    assert unwrapped(first)["id"] != unwrapped(second)["id"]


async def test_a_replay_outlives_the_secret(method_api: MethodApi) -> None:
    key = str(uuid.uuid4())
    body = {"value": method_api.new_value(), "metadata": method_api.metadata()}
    first = await method_api.create(body, key=key)
    await method_api.request("DELETE", f"/secrets/{unwrapped(first)['id']}")
    second = await method_api.create(body, key=key)
    assert second.json() == first.json()


async def test_a_key_longer_than_255_is_refused(method_api: MethodApi) -> None:
    response = await method_api.create(key="k" * 256)
    assert response.status_code in (400, 422)


async def test_the_same_key_with_another_body(method_api: MethodApi) -> None:
    key = str(uuid.uuid4())
    first = await method_api.create(key=key)
    second = await method_api.create(key=key)
    assert second.status_code in (200, 400, 409, 422)
    same = second.status_code == 200 and unwrapped(second)["id"] == unwrapped(first)["id"]
    seen = "the first answer" if same else f"{second.status_code} {second.headers.get('idem-status')}"
    method_api.observe("same Idempotency-Key, another body", seen)


async def test_the_same_key_at_once_makes_one_secret(method_api: MethodApi) -> None:
    key = str(uuid.uuid4())
    body = {"value": method_api.new_value(), "metadata": method_api.metadata()}
    responses = await asyncio.gather(*(method_api.create(body, key=key) for _ in range(8)))
    ids = {unwrapped(response)["id"] for response in responses if response.status_code == 200}
    assert len(ids) == 1
    statuses = sorted({response.status_code for response in responses})
    assert set(statuses) <= {200, 409, 425, 429, 503}
    method_api.observe("same Idempotency-Key eight times at once", str(statuses))


async def test_without_a_key_each_request_creates(method_api: MethodApi) -> None:
    body = {"value": method_api.new_value(), "metadata": method_api.metadata()}
    first, second = [await method_api.request("POST", "/secrets", json=body) for _ in range(2)]
    assert unwrapped(first)["id"] != unwrapped(second)["id"]
    method_api.observe("idem-status without a key", repr(first.headers.get("idem-status")))
