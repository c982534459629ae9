"""What Method already holds is found again, never created again: each case with the count of POSTs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.canary import CANARY
from tests.integration.world import Object, World, condition, message, not_ready, ready


async def _first(world: World, **spec: Any) -> Object:  # noqa: ANN401 - fields of the spec
    world.secret()
    world.method_secret(**spec)
    return await world.until(ready())


async def test_deleted_with_retain_and_applied_again(world: World) -> None:
    await world.start_operator()
    first = await _first(world)
    world.delete("acme")
    world.method_secret()
    again = await world.until(ready())
    assert again["metadata"]["uid"] != first["metadata"]["uid"]
    assert again["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_applied_again_while_nobody_knows_what_its_create_has_come_to(world: World) -> None:
    fault = await world.control.add_fault("create", "hang", when="after")
    await world.start_operator()
    world.secret()
    world.method_secret()
    await world.control.wait_held(fault)
    world.delete("acme")
    world.method_secret()
    await world.control.release(fault)
    again = await world.until(ready())
    (stored,) = await world.control.secrets()
    assert again["status"]["id"] == stored["id"]
    assert stored["metadata"]["k8s_uid"] != again["metadata"]["uid"]
    assert await world.control.count("create") == 1


async def test_a_cluster_rebuilt_with_the_same_name_and_digest_key(world: World) -> None:
    operator = await world.start_operator(CLUSTER_NAME="rebuilt")
    first = await _first(world)
    operator.stop()
    world.delete("acme")
    await world.control.forget_idempotency()
    await world.start_operator(CLUSTER_NAME="rebuilt")
    world.method_secret()
    again = await world.until(ready())
    assert again["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_a_former_name_of_the_cluster_is_recognised(world: World) -> None:
    operator = await world.start_operator(CLUSTER_NAME="before")
    first = await _first(world)
    operator.stop()
    world.delete("acme")
    await world.start_operator(CLUSTER_NAME="after", CLUSTER_ALIASES="before")
    world.method_secret()
    again = await world.until(ready())
    assert again["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_a_status_lost_while_the_operator_was_away_and_the_keys_expired(world: World) -> None:
    operator = await world.start_operator()
    first = await _first(world)
    operator.kill()
    world.edit_status(id=None, status=None, source=None, conditions=None)
    await world.control.forget_idempotency()
    await world.start_operator()
    again = await world.until(ready())
    assert again["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_a_value_rolled_back_gets_its_former_id_again(world: World) -> None:
    await world.start_operator()
    first = await _first(world)
    world.secret(value=f"{CANARY}-2")
    second = await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])
    world.secret()
    third = await world.until(lambda obj: obj["status"]["id"] == first["status"]["id"])
    assert [former["id"] for former in third["status"]["superseded"]] == [second["status"]["id"]]
    assert await world.control.count("create") == 2


async def test_an_older_status_put_back_ends_with_the_wanted_value(world: World) -> None:
    await world.start_operator()
    first = await _first(world)
    world.secret(value=f"{CANARY}-2")
    second = await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])
    backup = {name: first["status"][name] for name in ("id", "source", "conditions")}
    world.edit_status(**backup, superseded=None)
    healed = await world.until(
        lambda obj: obj["status"]["id"] == second["status"]["id"] and "superseded" in obj["status"]
    )
    assert [former["id"] for former in healed["status"]["superseded"]] == [first["status"]["id"]]
    assert await world.control.count("create") == 2


async def test_the_digest_key_lost_with_an_intact_status_changes_no_id(world: World) -> None:
    operator = await world.start_operator()
    first = await _first(world)
    operator.stop()
    await world.start_operator(DIGEST_KEY_SECRET=f"other-{world.namespace}", RESYNC_SECONDS="1")
    world.method_secret(annotations={"methodfi.com/reconcile-requested-at": "now"})
    again = await world.until(lambda obj: obj["status"]["source"] != first["status"]["source"])
    assert again["status"]["id"] == first["status"]["id"]
    assert ready()(again)
    assert await world.control.count("create") == 1


async def test_the_digest_key_and_the_status_lost_stalls_until_it_is_back(world: World) -> None:
    operator = await world.start_operator()
    first = await _first(world)
    operator.stop()
    world.edit_status(id=None, status=None, source=None, conditions=None)
    operator = await world.start_operator(DIGEST_KEY_SECRET=f"other-{world.namespace}")
    lost = await world.until(not_ready("DigestKeyLost"))
    assert condition("Stalled", "True")(lost)
    assert "DIGEST_KEY_SECRET" in message(lost)
    assert await world.control.count("create") == 1
    operator.stop()

    await world.start_operator()
    back = await world.until(ready())
    assert back["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_a_lost_digest_key_is_overruled_by_a_requested_rotation(world: World) -> None:
    operator = await world.start_operator()
    first = await _first(world)
    operator.stop()
    world.edit_status(id=None, status=None, source=None, conditions=None)
    await world.start_operator(DIGEST_KEY_SECRET=f"other-{world.namespace}")
    await world.until(not_ready("DigestKeyLost"))
    world.method_secret(annotations={"methodfi.com/rotation-requested-at": "now"})
    again = await world.until(ready())
    assert again["status"]["id"] != first["status"]["id"]
    assert len(await world.control.secrets()) == 2


async def test_another_cluster_of_our_name_keeps_its_secret(world: World) -> None:
    """Its object is called as ours, so that the mark names ours: only the digest key tells them apart."""
    marker = {
        "k8s_owner": f"twin/{world.namespace}/acme",
        "k8s_uid": "theirs",
        "k8s_revision": "1:00000000:0123456789abcdef0123456789abcdef",
    }
    (theirs,) = await world.control.seed(1, value=CANARY, metadata=marker, api_key="sk_test_default")
    await world.start_operator(CLUSTER_NAME="twin")
    spec: dict[str, Any] = {"deletionPolicy": "Delete"}
    world.secret()
    world.method_secret(**spec)
    stalled = await world.until(not_ready("DigestKeyLost"))
    assert condition("Stalled", "True")(stalled)
    assert await world.control.count("create") == 0

    asked = {"methodfi.com/rotation-requested-at": "now"}
    world.method_secret(annotations=asked, **spec)
    ours = (await world.until(ready()))["status"]
    assert ours["id"] != theirs
    asked["methodfi.com/reconcile-requested-at"] = "now"
    world.method_secret(annotations=asked, **spec)
    again = (await world.until(lambda obj: "lastHandledReconcileAt" in obj["status"]))["status"]
    assert (again["id"], "superseded" in again) == (ours["id"], False)
    forged = {"id": theirs, "revision": marker["k8s_revision"], "supersededAt": "2026-05-01T00:00:00Z"}
    world.edit_status(superseded=[forged])
    spec["rotation"] = {"deleteSupersededAfter": "0s"}
    world.method_secret(annotations=asked, **spec)
    await world.until(lambda obj: ready(generation=2)(obj) and "superseded" not in obj["status"])
    world.edit_status(id=theirs)
    await world.until(lambda obj: ready()(obj) and obj["status"]["id"] == ours["id"])

    world.edit_status(superseded=[forged])
    world.delete("acme")
    await world.until_gone("acme")
    assert await world.control.count("create") == 1
    states = {secret["id"]: secret["status"] for secret in await world.control.secrets()}
    assert states == {theirs: "active", ours["id"]: "deleted"}
    done = await world.command("orphans", "--min-age", "0s", "--output", "json", CLUSTER_NAME="twin")
    found = json.loads(done.stdout)
    assert (found["orphans"], found["counts"]) == ([], {"made with another digest key": 1})


async def test_where_listing_is_refused_the_first_guard_stands_alone(world: World) -> None:
    await world.control.add_fault("list", "status", status=403, count=None)
    operator = await world.start_operator()
    first = await _first(world)
    operator.kill()
    world.edit_status(id=None, status=None, source=None, conditions=None)
    operator = await world.start_operator()
    again = await world.until(ready())
    assert again["status"]["id"] == first["status"]["id"]
    assert len(await world.control.secrets()) == 1
    assert "listing refused" in operator.log_text()


@pytest.mark.parametrize("kind", ["hold", "html", "status"])
async def test_nothing_is_created_while_the_list_cannot_be_read(world: World, kind: str) -> None:
    status = {"status": 500} if kind == "status" else {}
    fault = await world.control.add_fault("list", kind, count=None, **status)
    await world.start_operator()
    world.secret()
    world.method_secret()
    if kind == "hold":
        await world.control.wait_held(fault)
    else:
        await world.until(not_ready("MethodUnavailable"))
    assert await world.control.count("create") == 0
    await world.control.remove_fault(fault)
    await world.until(ready())
