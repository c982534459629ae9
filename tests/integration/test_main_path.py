"""From a manifest to an id in the status, and what moves it from there; the operator as a process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.canary import CANARY
from tests.integration.world import World, condition, message, not_ready, ready


async def test_a_manifest_ends_with_an_id_in_its_status(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(metadata={"team": "payments"})
    obj = await world.until(ready())

    (stored,) = await world.control.secrets()
    status = obj["status"]
    assert status["id"] == stored["id"]
    assert status["status"] == "active"
    assert status["environment"] == "production"
    assert status["observedGeneration"] == obj["metadata"]["generation"]
    assert status["createdAt"] == stored["created_at"]
    assert [c["type"] for c in status["conditions"]] == ["Ready"]
    assert await world.control.has_value(CANARY) == [stored["id"]]
    assert stored["metadata"]["team"] == "payments"
    assert stored["metadata"]["k8s_owner"].endswith(f"/{world.namespace}/acme")
    assert stored["metadata"]["k8s_uid"] == obj["metadata"]["uid"]
    assert stored["metadata"]["k8s_revision"] == status["source"]["revision"]


async def test_a_create_takes_one_post_one_status_write_and_no_more(world: World) -> None:
    await world.start_operator()
    world.secret()
    before = world.method_secret()
    obj = await world.until(ready())

    assert await world.control.count("create") == 1
    assert [r["operation"] for r in await world.control.requests()] == ["list", "create"]
    writers = [m for m in obj["metadata"]["managedFields"] if m.get("subresource") == "status"]
    assert len(writers) == 1
    assert obj["metadata"]["generation"] == before["metadata"]["generation"]
    assert "finalizers" not in obj["metadata"], "Retain takes no finalizer, ever"
    assert [a for a in obj["metadata"].get("annotations", {}) if "kopf" in a] == []


async def test_a_secret_that_arrives_later_is_acted_on_at_once(world: World) -> None:
    await world.start_operator()
    world.method_secret()
    obj = await world.until(not_ready("SourceNotFound"))
    assert condition("Reconciling", "True", "SourceNotFound")(obj)
    assert "source" in message(obj)

    world.secret()
    obj = await world.until(ready(), seconds=3)
    assert [c["type"] for c in obj["status"]["conditions"]] == ["Ready"]


async def test_a_changed_value_makes_a_new_secret_and_keeps_the_old_id_in_superseded(world: World) -> None:
    await world.start_operator()
    world.secret(value=f"{CANARY}-1")
    world.method_secret()
    first = await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    second = await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])

    assert ready()(second)
    assert [entry["id"] for entry in second["status"]["superseded"]] == [first["status"]["id"]]
    assert second["status"]["superseded"][0]["revision"] == first["status"]["source"]["revision"]
    assert await world.control.has_value(f"{CANARY}-2") == [second["status"]["id"]]
    assert await world.control.count("create") == 2


async def test_changed_metadata_makes_a_new_secret_and_observes_the_new_generation(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(metadata={"team": "one"})
    first = await world.until(ready())
    world.method_secret(metadata={"team": "two"})
    second = await world.until(ready(generation=first["metadata"]["generation"] + 1))

    assert second["status"]["id"] != first["status"]["id"]
    assert [entry["id"] for entry in second["status"]["superseded"]] == [first["status"]["id"]]


async def test_another_key_of_the_secret_changes_nothing_at_method(world: World) -> None:
    await world.start_operator()
    world.secret(value=CANARY, other="1")
    world.method_secret()
    first = await world.until(ready())
    changed = world.secret(value=CANARY, other="2")
    version = changed["metadata"]["resourceVersion"]
    second = await world.until(lambda obj: obj["status"]["source"]["resourceVersion"] == version)

    assert second["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_labels_and_foreign_annotations_cause_no_work(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    await world.until(ready())
    former = world.method_secret(annotations={"argocd.argoproj.io/tracking-id": "a:b/c:d/e"})
    world.method_secret(name="fence")
    await world.until(ready(), "fence")

    assert world.get()["metadata"]["resourceVersion"] == former["metadata"]["resourceVersion"]
    assert await world.control.count("create") == 2


async def test_paused_is_left_alone_and_taken_up_again(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(annotations={"methodfi.com/paused": "true"})
    world.method_secret(name="fence")
    await world.until(ready(), "fence")
    assert world.get()["status"] == {"observedGeneration": -1}

    world.method_secret()
    await world.until(ready())


async def test_a_requested_reconcile_is_echoed(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    first = await world.until(ready())
    world.method_secret(annotations={"methodfi.com/reconcile-requested-at": "2026-11-23T20:00:00Z"})
    obj = await world.until(lambda obj: obj["status"].get("lastHandledReconcileAt") == "2026-11-23T20:00:00Z")
    assert obj["status"]["id"] == first["status"]["id"]
    assert await world.control.count("create") == 1


async def test_rotation_on_request_waits_for_the_request_and_says_so(world: World) -> None:
    await world.start_operator()
    world.secret(value=f"{CANARY}-1")
    on_request: dict[str, Any] = {"rotation": {"policy": "OnRequest"}}
    world.method_secret(**on_request)
    first = await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    waiting = await world.until(condition("RotationPending", "True"))
    assert ready()(waiting)
    assert not condition("Reconciling", "True")(waiting)
    assert waiting["status"]["id"] == first["status"]["id"]
    assert "former value" in message(waiting)

    world.method_secret(annotations={"methodfi.com/rotation-requested-at": "now"}, **on_request)
    second = await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])
    assert ready()(second)
    assert second["status"]["lastHandledRotationAt"] == "now"
    assert not condition("RotationPending", "True")(second)


async def test_events_tell_of_transitions_and_of_nothing_twice(world: World) -> None:
    await world.start_operator()
    world.method_secret()
    await world.until(not_ready("SourceNotFound"))
    world.secret()
    await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    second = await world.until(lambda obj: len(obj["status"].get("superseded", ())) == 1)
    await world.until_event("Synced")
    world.operators[0].stop()  # what was announced is posted before it ends

    told = [(event["type"], event["reason"]) for event in world.list("events")]
    assert sorted(told) == [("Normal", "Synced"), ("Normal", "Synced"), ("Warning", "SourceNotFound")]
    assert any(second["status"]["id"] in event["message"] for event in world.list("events"))


async def test_a_source_that_changes_ten_times_at_once_ends_with_its_last_value(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    await world.until(ready())
    values = [f"{CANARY}-{number}" for number in range(10)]
    last = [world.secret(value=value) for value in values][-1]["metadata"]["resourceVersion"]
    obj = await world.until(lambda o: ready()(o) and o["status"]["source"]["resourceVersion"] == last)
    assert await world.control.has_value(values[-1]) == [obj["status"]["id"]]
    # Values that came and went between two looks are stored nowhere, and none is stored twice.
    for value in values:
        assert len(await world.control.has_value(value)) <= 1, value
    stored = {secret["id"] for secret in await world.control.secrets()}
    named = {obj["status"]["id"], *(former["id"] for former in obj["status"]["superseded"])}
    assert stored == named, "each is known"
    assert await world.control.count("create") == len(stored)


async def test_what_changes_while_a_post_is_in_flight_costs_one_more_secret(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="after")
    await world.start_operator()
    world.secret()
    world.method_secret()
    await world.control.wait_held(fault)
    values = [f"{CANARY}-{number}" for number in range(10)]
    last = [world.secret(value=value) for value in values][-1]["metadata"]["resourceVersion"]
    await world.control.release(fault)
    obj = await world.until(lambda o: ready()(o) and o["status"]["source"]["resourceVersion"] == last)
    assert await world.control.has_value(values[-1]) == [obj["status"]["id"]]
    assert await world.control.has_value(CANARY) == [former["id"] for former in obj["status"]["superseded"]]
    assert len(await world.control.secrets()) == 2, "the first value's, and the last one's"


async def test_an_operator_started_again_makes_no_request_and_no_write(world: World) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret()
    synced = await world.until(ready())
    assert operator.stop() == 0

    await world.start_operator()
    world.secret("other", value=f"{CANARY}-other")
    world.method_secret("fence", source="other")
    await world.until(ready(), "fence")
    assert world.get()["metadata"]["resourceVersion"] == synced["metadata"]["resourceVersion"]
    operations = [request["operation"] for request in await world.control.requests()]
    assert operations == ["list", "create", "list", "create"], "a scan after each start, and no more"


async def test_an_account_of_its_own_is_used(world: World) -> None:
    world.api_key_file.write_text("")
    await world.start_operator()
    world.secret()
    world.secret("method", key="sk_test_own")
    account = {"environment": "sandbox", "apiKeySecretRef": {"name": "method", "key": "key"}}
    world.method_secret(account=account)
    obj = await world.until(ready())

    assert obj["status"]["environment"] == "sandbox"
    (stored,) = await world.control.secrets(api_key="sk_test_own")
    assert stored["id"] == obj["status"]["id"]


async def test_without_a_watch_on_secrets_the_value_is_polled(world: World) -> None:
    await world.start_operator(SOURCE_WATCH="poll", RESYNC_SECONDS="1")
    world.method_secret()
    await world.until(not_ready("SourceNotFound"))
    world.secret(value=f"{CANARY}-1")
    first = await world.until(ready())
    world.secret(value=f"{CANARY}-2")
    second = await world.until(lambda obj: obj["status"]["id"] != first["status"]["id"])
    assert await world.control.has_value(f"{CANARY}-2") == [second["status"]["id"]]


@pytest.mark.parametrize("world", [{"envelope": False}], indirect=True)
async def test_bare_answers_are_understood_as_well(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret()
    await world.until(ready())
