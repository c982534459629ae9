"""The control endpoint: looking inside, simulating drift, settings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from method_emulator.control_client import EmulatorControlError
from method_emulator.server import serve
from method_emulator.settings import DEFAULTS, SettingsError
from method_emulator.testing import running_emulator

if TYPE_CHECKING:
    from method_emulator.testing import RunningEmulator


async def test_drift_vanished_deleted_and_unknown(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    gone, deleted, odd = await emulator.control.seed(3, account="team")
    await emulator.control.vanish(gone)
    await emulator.control.change_secret(deleted, status="deleted")
    await emulator.control.change_secret(odd, status="suspended", metadata={"new": 1})
    assert (await client.get(f"/secrets/{gone}")).status_code == 404
    assert (await client.get(f"/secrets/{deleted}")).json()["data"]["status"] == "deleted"
    shown = (await client.get(f"/secrets/{odd}")).json()["data"]
    assert (shown["status"], shown["metadata"]) == ("suspended", {"new": 1})
    assert [secret["id"] for secret in (await client.get("/secrets")).json()["data"]] == [odd]
    assert await emulator.control.vanish_all() == 2
    assert (await client.get("/secrets")).json()["data"] == []


async def test_seeded_secrets_are_numbered_and_belong_to_a_key(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    ids = await emulator.control.seed(3, metadata={"name": "foreign-{n}", "size": 1}, api_key="sk_test")
    listed = (await client.get("/secrets")).json()["data"]
    assert [secret["id"] for secret in listed] == ids[::-1]
    assert [secret["metadata"]["name"] for secret in listed] == ["foreign-2", "foreign-1", "foreign-0"]
    assert (await emulator.control.counters())["creates"] == 0
    with pytest.raises(EmulatorControlError, match="not accepted"):
        await emulator.control.seed(api_key="sk_nobody")


async def test_one_seeded_secret_may_be_given_its_id_and_time(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    made_at = "2026-01-01T00:00:00.000Z"
    given: dict[str, str] = {"secret_id": "sec_given00000001", "created_at": made_at, "api_key": "sk_test"}
    assert await emulator.control.seed(1, **given) == ["sec_given00000001"]  # type: ignore[arg-type]  # all are texts
    (listed,) = (await client.get("/secrets")).json()["data"]
    assert (listed["id"], listed["created_at"], listed["updated_at"]) == (
        "sec_given00000001",
        made_at,
        made_at,
    )
    for count in (1, 2):  # it is there already; two cannot have one id
        with pytest.raises(EmulatorControlError, match="only once"):
            await emulator.control.seed(count, **given)  # type: ignore[arg-type]  # all are texts


async def test_has_value_compares(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    made = (await client.post("/secrets", json={"value": "right"})).json()["data"]["id"]
    assert await emulator.control.has_value("right") == [made]
    assert await emulator.control.has_value("wrong") == []


async def test_requests_can_be_awaited_and_filtered(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    waiting = asyncio.create_task(emulator.control.wait_for_requests(2, operation="create", owner="c/a/"))
    for owner in ("c/a/1", "c/b/1", "c/a/2"):
        assert not waiting.done()
        await client.post("/secrets", json={"value": "v", "metadata": {"k8s_owner": owner}})
    found = await waiting
    assert [(request["number"], request["owner"]) for request in found] == [(1, "c/a/1"), (3, "c/a/2")]
    assert len(await emulator.control.requests(after=1)) == 2


async def test_counters_and_reset(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    await client.post("/secrets", json={"value": "v"})
    await client.get("/secrets/sec_none")
    counters = await emulator.control.counters()
    assert counters["operations"] == {"create": {"200": 1}, "retrieve": {"404": 1}}
    assert (counters["requests"], counters["creates"]) == (2, 1)
    assert await emulator.control.count("retrieve", 404) == 1
    await emulator.control.reset()
    assert await emulator.control.secrets() == await emulator.control.requests() == []
    assert (await emulator.control.counters())["requests"] == 0


async def test_the_envelope_can_be_switched(emulator: RunningEmulator, client: httpx.AsyncClient) -> None:
    assert set((await client.get("/secrets")).json()) == {"success", "data", "message"}
    await emulator.control.change_settings(envelope=False)
    assert (await client.get("/secrets")).json() == []
    error = (await client.get("/secrets/sec_none")).json()
    assert error["error"]["sub_type"] == "NOT_FOUND"


async def test_deleted_secrets_as_the_settings_say(
    emulator: RunningEmulator, client: httpx.AsyncClient
) -> None:
    (secret_id,) = await emulator.control.seed(account="team")
    path = f"/secrets/{secret_id}"
    assert [(await client.delete(path)).status_code for _ in range(2)] == [200, 404]
    await emulator.control.change_settings(
        retrieve_deleted="not_found", delete_deleted="ok", list_deleted=True
    )
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 200
    assert [secret["status"] for secret in (await client.get("/secrets")).json()["data"]] == ["deleted"]


async def test_without_control_there_is_none() -> None:
    async with serve(DEFAULTS, control=False) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/_emulator/secrets")).status_code == 404
        assert (await client.post("/_emulator/reset")).status_code == 404


async def test_control_refuses_what_makes_no_sense(emulator: RunningEmulator) -> None:
    async with httpx.AsyncClient(base_url=f"{emulator.url}/_emulator") as client:
        for method, path, body in (
            ("POST", "/faults", b"[]"),
            ("POST", "/faults", b"{"),
            ("POST", "/faults", b'{"kind": "boom"}'),
            ("PATCH", "/settings", b'{"colour": "red"}'),
            ("PATCH", "/settings", b'{"envelope": "maybe"}'),
            ("PATCH", "/settings", b'{"request_log_size": 1}'),
            ("POST", "/secrets", b'{"count": 0}'),
            ("POST", "/has-value", b'{"value": 1}'),
            ("GET", "/requests?after=x", b""),
        ):
            response = await client.request(method, path, content=body)
            assert response.status_code == 400, (path, body)
            assert response.json()["error"]
        assert (await client.get("/faults/99")).status_code == 404
        assert (await client.delete("/secrets/sec_none")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same_key_at_once": "maybe"}, "must be one of wait, conflict"),
        ({"writes_per_minute": "many"}, "must be a int"),
        ({"writes_per_minute": -1}, "must not be negative"),
        ({"api_keys": ["sk_secret"]}, "api_keys must be"),
    ],
)
def test_senseless_settings_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        DEFAULTS.changed(changes)
    assert "sk_secret" not in str(caught.value)


async def test_a_list_of_many_is_paged_without_walking_it() -> None:
    async with running_emulator(api_keys={"sk_a": "a"}, reads_per_minute=0) as emulator:
        await emulator.control.seed(100_000)
        headers = {"Authorization": "Bearer sk_a", "Method-Version": "2026-03-30"}
        async with httpx.AsyncClient(base_url=emulator.url, headers=headers) as client:
            last = await client.get("/secrets", params={"page": 1_000, "page_limit": 100})
            assert len(last.json()["data"]) == 100
            assert last.headers["Pagination-Total-Count"] == "100000"
            assert "Pagination-Page-Cursor-Next" not in last.headers
