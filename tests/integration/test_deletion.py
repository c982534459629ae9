"""Deletion: Retain leaves everything, Delete leaves nothing, and no outage turns one into the other."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dev.controlplane import ControlPlane
from dev.operator_process import OperatorProcess
from tests.integration.canary import CANARY
from tests.integration.world import World, condition, message, not_ready, ready

FINALIZER = "methodfi.com/method-secret"
DELETE: dict[str, Any] = {"deletionPolicy": "Delete"}


async def _active(world: World, **where: str) -> list[str]:
    return [s["id"] for s in await world.control.secrets(**where) if s["status"] == "active"]


async def test_retain_takes_no_finalizer_and_leaves_the_secret(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    obj = await world.until(ready())
    world.delete("acme")
    assert world.list() == [], "gone at once: nobody holds it"
    assert await _active(world) == [obj["status"]["id"]]


async def test_delete_sets_the_finalizer_first_and_deletes_with_the_object(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="before")
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    await world.control.wait_held(fault)
    assert world.get()["metadata"]["finalizers"] == [FINALIZER], "before the POST"
    await world.control.release(fault)
    await world.until(ready())
    world.delete("acme")
    await world.until_gone("acme")
    assert await _active(world) == []
    assert await world.control.count("delete") == 1


async def test_everything_of_the_object_is_deleted_with_it(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    first = await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])
    marker = {
        "k8s_owner": "elsewhere/by/name",
        "k8s_uid": first["metadata"]["uid"],
        "k8s_revision": first["status"]["source"]["revision"],
    }
    (stranger,) = await world.control.seed(1, metadata=marker, api_key="sk_test_default")
    world.delete("acme")
    await world.until_gone("acme")
    assert await _active(world) == [stranger], "another owner's, whatever uid it claims"


async def test_switching_the_policy_takes_the_finalizer_on_and_off(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    obj = await world.until(ready())
    world.method_secret(**DELETE)
    await world.until(lambda o: o["metadata"].get("finalizers") == [FINALIZER])
    world.method_secret()
    await world.until(lambda o: "finalizers" not in o["metadata"])
    world.delete("acme")
    assert await _active(world) == [obj["status"]["id"]]


async def test_retain_chosen_while_it_is_being_deleted_lets_go(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    obj = await world.until(ready())
    await world.control.add_fault("delete", "status", status=500, count=None)
    world.delete("acme")
    await world.until(not_ready("MethodUnavailable"))
    world.method_secret()
    await world.until_gone("acme")
    assert await _active(world) == [obj["status"]["id"]]


async def test_an_outage_of_method_holds_the_object_until_it_is_over(world: World) -> None:
    await world.start_operator(DELETION_TIMEOUT_SECONDS="0")
    world.secret()
    world.method_secret(**DELETE)
    await world.until(ready())
    fault = await world.control.add_fault("delete", "status", status=503, count=None)
    world.delete("acme")
    held = await world.until(not_ready("MethodUnavailable"))
    assert held["metadata"]["finalizers"] == [FINALIZER]
    await world.control.remove_fault(fault)
    await world.until_gone("acme")
    assert await _active(world) == []


async def test_an_answer_lost_after_the_delete_is_a_success_at_the_second_look(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    await world.until(ready())
    await world.control.add_fault("delete", "reset_after")
    world.delete("acme")
    await world.until_gone("acme")
    assert await _active(world) == []


async def test_what_is_listed_is_not_left_behind_by_a_404(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    obj = await world.until(ready())
    fault = await world.control.add_fault("retrieve", "status", status=404, count=None)
    world.delete("acme")
    waits = await world.until(not_ready("Pending"))
    assert message(waits).startswith(f"Method lists {obj['status']['id']}")
    await world.control.remove_fault(fault)
    world.method_secret(**DELETE, annotations={"methodfi.com/reconcile-requested-at": "now"})
    await world.until_gone("acme")
    assert await _active(world) == []


async def test_deleted_while_its_post_is_in_flight(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="after")
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    await world.control.wait_held(fault)
    world.delete("acme")
    await world.control.release(fault)
    await world.until_gone("acme")
    assert len(await world.control.secrets()) == 1
    assert await _active(world) == []


async def test_deleted_with_retain_while_its_post_is_in_flight(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="after")
    operator = await world.start_operator()
    world.secret()
    world.method_secret()
    await world.control.wait_held(fault)
    world.delete("acme")
    assert world.list() == [], "gone at once: nobody holds it"
    await world.control.release(fault)
    await asyncio.to_thread(operator.wait_event, "object is gone; its secret stays at Method")
    (kept,) = await _active(world)
    assert kept in operator.log_text(), "what stays at Method is named"
    assert await world.control.count("delete") == 0
    world.method_secret()
    again = await world.until(ready())
    assert again["status"]["id"] == kept, "and it is taken over by whoever asks for it next"
    assert await world.control.count("create") == 1


async def test_deleted_after_the_operator_died_with_its_post_in_flight(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="after")
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    await world.control.wait_held(fault)
    operator.kill()
    await world.control.release(fault)
    world.delete("acme")
    await world.start_operator()
    await world.until_gone("acme")
    assert await _active(world) == []


async def test_a_forged_id_of_somebody_else_is_not_deleted(world: World) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret("theirs")
    theirs = await world.until(ready(), "theirs")
    world.method_secret(**DELETE)
    await world.until(ready())
    operator.stop()
    forged = {"id": theirs["status"]["id"], "revision": "1:x:y", "supersededAt": "2026-01-01T00:00:00Z"}
    world.edit_status(id=theirs["status"]["id"], superseded=[forged])
    await world.start_operator()
    world.delete("acme")
    await world.until_gone("acme")
    assert await _active(world) == [theirs["status"]["id"]]


async def test_a_paused_object_is_deleted_all_the_same(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    await world.until(ready())
    world.method_secret(annotations={"methodfi.com/paused": "true"}, **DELETE)
    world.delete("acme")
    await world.until_gone("acme")
    assert await _active(world) == []


async def test_refused_credentials_hold_it_until_the_time_out_and_then_let_go(world: World) -> None:
    await world.control.change_settings(api_keys={"sk_test_default": "a"})
    operator = await world.start_operator(DELETION_TIMEOUT_SECONDS="1")
    world.secret()
    world.method_secret(**DELETE)
    obj = await world.until(ready())
    await world.control.change_settings(api_keys={"sk_test_other": "a"})
    world.delete("acme")
    held = await world.until(not_ready("Unauthorized"))
    assert condition("Stalled", "True")(held)
    assert "HTTP 401" in message(held)
    await world.until_gone("acme")
    assert await _active(world) == [obj["status"]["id"]]
    assert obj["status"]["id"] in operator.log_text(), "what stays at Method is named"


async def test_another_accounts_404_is_not_believed(world: World) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    obj = await world.until(ready())
    operator.kill()
    world.api_key_file.write_text("sk_test_another_account")
    await world.start_operator()
    world.delete("acme")
    # The start's own check may say AccountChanged first, before it sees the deletion.
    held = await world.until(lambda held: "DELETION_TIMEOUT_SECONDS" in message(held))
    assert not_ready("AccountChanged")(held)
    assert obj["status"]["id"] in message(held)
    world.api_key_file.write_text("sk_test_default")
    await world.until_gone("acme")
    assert await _active(world) == []


async def test_another_account_holds_an_object_no_longer_than_the_time_out(world: World) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    obj = await world.until(ready())
    operator.kill()
    world.api_key_file.write_text("sk_test_another_account")
    operator = await world.start_operator(DELETION_TIMEOUT_SECONDS="1")
    world.delete("acme")
    await world.until_gone("acme")
    assert await _active(world) == [obj["status"]["id"]]
    assert "secrets stay at Method" in operator.log_text()
    assert obj["status"]["id"] in operator.log_text(), "what stays at Method is named"


async def test_a_namespace_goes_with_secret_and_credentials_first(
    world: World, controller_manager: ControlPlane
) -> None:
    await world.start_operator()
    world.secret()
    world.secret("method", key="sk_test_own")
    account: dict[str, Any] = {
        "environment": "dev",
        "apiKeySecretRef": {"name": "method", "key": "key"},
    }
    world.method_secret(account=account, **DELETE)
    await world.until(ready())
    world.delete("source", "secrets")
    world.delete("method", "secrets")
    await asyncio.to_thread(
        controller_manager.run_kubectl, "delete", "namespace", world.namespace, "--timeout=60s"
    )
    assert await _active(world) == []


async def _goes_without_its_secrets(
    world: World, controller_manager: ControlPlane, operator: OperatorProcess, names: tuple[str, ...]
) -> None:
    """Delete the namespace: it goes, and each id that stays at Method is named."""
    ids = sorted(world.get(name)["status"]["id"] for name in names)
    await asyncio.to_thread(
        controller_manager.run_kubectl, "delete", "namespace", world.namespace, "--timeout=60s"
    )
    assert sorted(await _active(world)) == ids
    left = [line for line in operator.log_text().splitlines() if "secrets stay at Method" in line]
    assert sorted(secret_id for line in left for secret_id in json.loads(line)["ids"]) == ids


@pytest.mark.parametrize("operation", ["retrieve", "delete"])
async def test_a_namespace_goes_though_method_answers_with_a_long_429(
    world: World, controller_manager: ControlPlane, operation: str
) -> None:
    """One object gets the 429, the other, after it, waits for our own budget."""
    operator = await world.start_operator(DELETION_TIMEOUT_SECONDS="2", WORKERS="1")
    world.secret()
    names = ("acme", "other")
    for name in names:
        world.method_secret(name, **DELETE)
        await world.until(ready(), name)
    await world.control.add_fault(
        operation, "status", status=429, headers={"Retry-After": "3600"}, count=None
    )
    await _goes_without_its_secrets(world, controller_manager, operator, names)
    assert await world.control.count(operation) == 1, "the key is left alone"


async def test_a_namespace_goes_though_nobody_listens_at_method(
    world: World, controller_manager: ControlPlane
) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**DELETE)
    await world.until(ready())
    await asyncio.to_thread(operator.stop)
    operator = await world.start_operator(DELETION_TIMEOUT_SECONDS="2", BASE_URL="http://127.0.0.1:1")
    await _goes_without_its_secrets(world, controller_manager, operator, ("acme",))


async def test_a_namespace_goes_though_method_is_silent(
    world: World, controller_manager: ControlPlane
) -> None:
    operator = await world.start_operator(DELETION_TIMEOUT_SECONDS="2")
    world.secret()
    world.method_secret(**DELETE)
    await world.until(ready())
    for operation in ("list", "retrieve", "delete"):
        await world.control.add_fault(operation, "hang", count=None)
    await _goes_without_its_secrets(world, controller_manager, operator, ("acme",))
    operator.kill()  # at a stop it would sit out what it has asked for


async def test_superseded_secrets_are_deleted_when_their_time_has_come(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(rotation={"deleteSupersededAfter": "0s"})
    first = await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    second = await world.until(
        lambda obj: obj["status"]["id"] != first["status"]["id"] and "superseded" not in obj["status"]
    )
    assert ready()(second)
    assert await _active(world) == [second["status"]["id"]]


async def test_superseded_secrets_stay_where_no_time_is_given(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    first = await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    second = await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])
    assert sorted(await _active(world)) == sorted([first["status"]["id"], second["status"]["id"]])
    assert await world.control.count("delete") == 0
