"""What happens at Method behind our back: found by the resync's scan, asked about, then believed."""

from __future__ import annotations

from typing import Any

from tests.integration.canary import CANARY
from tests.integration.world import World, condition, message, not_ready, ready

SOON: dict[str, Any] = {"RESYNC_SECONDS": "1"}


async def _synced(world: World, count: int) -> list[str]:
    ids = []
    world.secret()
    for number in range(count):
        world.method_secret(f"acme-{number}")
        ids.append((await world.until(ready(), f"acme-{number}"))["status"]["id"])
    return ids


async def test_a_secret_deleted_at_method_is_stored_again(world: World) -> None:
    await world.start_operator(**SOON)
    first, *_ = await _synced(world, 2)
    await world.control.change_secret(first, status="deleted")
    obj = await world.until(lambda o: o["status"]["id"] != first, "acme-0")
    assert ready()(obj)
    assert await world.control.count("create") == 4, "the former key is answered with the deleted one first"
    assert len(await world.control.secrets()) == 3


async def test_on_request_a_deleted_secret_waits_for_the_request(world: World) -> None:
    await world.start_operator(**SOON)
    world.secret()
    on_request: dict[str, Any] = {"rotation": {"policy": "OnRequest"}}
    world.method_secret(**on_request)
    first = await world.until(ready())
    await world.control.change_secret(first["status"]["id"], status="deleted")
    stalled = await world.until(not_ready("RemoteDeleted"))
    assert condition("Stalled", "True")(stalled)
    assert stalled["status"]["status"] == "deleted"
    assert "rotation-requested-at" in message(stalled)
    world.method_secret(annotations={"methodfi.com/rotation-requested-at": "now"}, **on_request)
    again = await world.until(ready())
    assert again["status"]["id"] != first["status"]["id"]


async def test_a_secret_that_method_does_not_know_is_not_created_again_at_once(world: World) -> None:
    await world.start_operator(**SOON)
    ids = await _synced(world, 5)
    await world.control.vanish(ids[2])
    obj = await world.until(not_ready("Pending"), "acme-2")
    assert obj["status"]["id"] == ids[2]
    assert condition("Reconciling", "True")(obj)
    assert await world.control.count("create") == 5


async def test_many_missing_at_once_are_another_account_and_no_drift(world: World) -> None:
    await world.start_operator(**SOON)
    ids = await _synced(world, 3)
    world.api_key_file.write_text("sk_test_another_account")
    for number, former in enumerate(ids):
        obj = await world.until(not_ready("AccountChanged"), f"acme-{number}")
        assert obj["status"]["id"] == former
    assert await world.control.count("create") == 3
    world.api_key_file.write_text("sk_test_default")
    for number, former in enumerate(ids):
        obj = await world.until(ready(), f"acme-{number}")
        assert obj["status"]["id"] == former
    assert await world.control.count("create") == 3


async def test_an_unknown_status_is_waited_for(world: World) -> None:
    await world.start_operator(**SOON)
    first, *_ = await _synced(world, 2)
    await world.control.change_secret(first, status="quarantined")
    obj = await world.until(not_ready("Pending"), "acme-0")
    assert obj["status"]["status"] == "quarantined"
    await world.control.change_secret(first, status="active")
    obj = await world.until(ready(), "acme-0")
    assert obj["status"]["id"] == first
    assert await world.control.count("create") == 2


async def test_another_environment_of_the_operator_creates_nothing(world: World) -> None:
    operator = await world.start_operator()
    (first,) = await _synced(world, 1)
    operator.stop()
    await world.start_operator(ENVIRONMENT="sandbox")
    obj = await world.until(not_ready("AccountChanged"), "acme-0")
    assert obj["status"]["id"] == first
    assert "production" in message(obj)
    assert await world.control.count("create") == 1


async def test_a_second_secret_of_the_same_revision_is_healed_away(world: World) -> None:
    await world.start_operator(**SOON)
    (first,) = await _synced(world, 1)
    (stored,) = await world.control.secrets()
    (extra,) = await world.control.seed(1, metadata=stored["metadata"], api_key="sk_test_default")
    await world.control.wait_for_requests(1, operation="delete")
    states = {secret["id"]: secret["status"] for secret in await world.control.secrets()}
    assert states == {first: "active", extra: "deleted"}


async def test_a_secret_of_ours_that_no_status_names_joins_superseded(world: World) -> None:
    await world.start_operator(**SOON)
    (first,) = await _synced(world, 1)
    world.secret(value=f"{CANARY}-2")
    await world.until(lambda o: o["status"]["id"] != first, "acme-0")
    world.edit_status("acme-0", superseded=None)
    obj = await world.until(lambda o: "superseded" in o["status"], "acme-0")
    assert [former["id"] for former in obj["status"]["superseded"]] == [first]
