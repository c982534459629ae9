"""The ConfigMap that shows the id to Pods: made, kept, moved, given up, and never anybody else's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from dev.controlplane import ControlPlane
from dev.controlplane.metrics import requests
from tests.integration.canary import CANARY
from tests.integration.world import Object, Predicate, World, message, not_ready, ready

NAME = "acme-method"
OURS = ("app.kubernetes.io/managed-by", "methodsecret-operator")


def publish(name: str = NAME, key: str = "id", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the target
    """Return the field of the spec."""
    return {"publish": {"configMap": {"name": name, "key": key, **more}}}


def _names(world: World) -> set[str]:
    return {item["metadata"]["name"] for item in world.list("configmaps")} - {"kube-root-ca.crt"}


def _configmap(world: World, name: str = NAME) -> Object:
    return world.get(name, "configmaps")


def _foreign(world: World, name: str = NAME) -> Object:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"theirs": "yes"}}
    return world.apply("configmaps", body)


def _settled(world: World) -> Predicate:
    """Whether the status calls the ConfigMap written, as it is now."""

    def holds(obj: Object) -> bool:
        entries = obj["status"].get("published", [])
        return bool(
            ready()(obj)
            and len(entries) == 1
            and entries[0].get("id") == obj["status"]["id"]
            and entries[0]["resourceVersion"]
            == _configmap(world, entries[0]["configMap"])["metadata"]["resourceVersion"]
        )

    return holds


def _moved_from(former: str) -> Predicate:
    return lambda obj: bool(obj["status"]["id"] != former)


async def test_the_id_is_published_with_what_was_asked_for(world: World) -> None:
    await world.start_operator()
    world.secret()
    asked = publish(labels={"app": "checkout"}, annotations={"example.com/purpose": "id"})
    world.method_secret(**asked)
    obj = await world.until(ready())
    made = _configmap(world)
    assert made["data"] == {"id": obj["status"]["id"]}
    assert made["metadata"]["labels"] == {"app": "checkout", OURS[0]: OURS[1]}
    assert made["metadata"]["annotations"] == {"example.com/purpose": "id"}
    assert made["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "methodfi.com/v1",
            "kind": "MethodSecret",
            "name": "acme",
            "uid": obj["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    managed = {(entry["manager"], entry["operation"]) for entry in made["metadata"]["managedFields"]}
    assert managed == {("methodsecret-operator", "Update"), ("methodsecret-operator", "Apply")}, (
        "made, filled"
    )
    assert obj["status"]["published"] == [
        {
            "configMap": NAME,
            "id": obj["status"]["id"],
            "resourceVersion": made["metadata"]["resourceVersion"],
            "observedGeneration": 1,
        }
    ]
    assert await world.control.count("create") == 1


async def test_it_follows_a_rotation_before_the_former_secret_goes(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(rotation={"deleteSupersededAfter": "0s"}, **publish())
    first = (await world.until(ready()))["status"]["id"]
    fault = await world.control.add_fault("delete", "hold", when="before")
    world.secret(value=f"{CANARY}-2")
    await world.control.wait_held(fault)
    obj = world.get()
    assert obj["status"]["id"] != first
    assert _configmap(world)["data"] == {"id": obj["status"]["id"]}, "moved before the DELETE was sent"
    await world.control.release(fault)
    await world.until(lambda o: ready()(o) and not o["status"].get("superseded"))


async def test_an_edit_and_a_deletion_are_repaired(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    obj = await world.until(_settled(world))
    edited = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME},
        "data": {"id": "sec_wrong", "also": "theirs"},
    }
    world.apply("configmaps", edited)
    former = obj["status"]["published"]
    obj = await world.until(lambda o: o["status"]["published"] != former and _settled(world)(o))
    assert _configmap(world)["data"] == {"id": obj["status"]["id"], "also": "theirs"}, "only ours is ours"
    former = obj["status"]["published"]
    world.delete(NAME, "configmaps")
    obj = await world.until(lambda o: o["status"]["published"] != former and ready()(o))
    assert _configmap(world)["data"] == {"id": obj["status"]["id"]}
    assert await world.control.count("create") == 1


async def test_it_is_kept_while_something_else_is_wrong(world: World) -> None:
    """The id in use stays in use, and Pods that mount it must be able to start."""
    await world.start_operator()
    world.secret()
    world.secret("method", key="sk_test_own")
    account = {"environment": "dev", "apiKeySecretRef": {"name": "method", "key": "key"}}
    world.method_secret(account=account, **publish())
    obj = await world.until(_settled(world))
    current = obj["status"]["id"]

    async def repaired(reason: str, key: str) -> None:
        former = world.get()["status"]["published"]
        world.delete(NAME, "configmaps")
        await world.until(lambda o: o["status"]["published"] != former and not_ready(reason)(o))
        assert _configmap(world)["data"] == {key: current}

    world.delete("source", "secrets")
    await world.until(not_ready("SourceNotFound"))
    await repaired("SourceNotFound", "id")
    world.delete("method", "secrets")
    world.method_secret(account=account, **publish(key="secret-id"))
    await world.until(
        lambda o: (
            not_ready("CredentialsNotFound")(o) and o["status"]["published"][0].get("observedGeneration") == 2
        )
    )
    await repaired("CredentialsNotFound", "secret-id")
    world.method_secret(account=account)
    await world.until(lambda o: "published" not in o["status"])
    assert _names(world) == set(), "nor is it left over"
    assert world.get()["status"]["id"] == current


async def test_it_is_kept_while_method_takes_no_new_value(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    current = (await world.until(_settled(world)))["status"]["id"]
    fault = await world.control.add_fault("create", "status", status=503, count=None)
    world.secret(value=f"{CANARY}-2")
    former = (await world.until(not_ready("MethodUnavailable")))["status"]["published"]
    world.delete(NAME, "configmaps")
    await world.until(lambda o: o["status"]["published"] != former and not_ready("MethodUnavailable")(o))
    assert _configmap(world)["data"] == {"id": current}
    await world.control.remove_fault(fault)
    obj = await world.until(_moved_from(current))
    obj = await world.until(_settled(world))
    assert _configmap(world)["data"] == {"id": obj["status"]["id"]}


async def test_it_changes_with_the_spec_and_goes_when_unasked(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**publish(labels={"app": "checkout"}))
    await world.until(ready())
    world.method_secret(**publish(key="secret-id"))
    obj = await world.until(ready(generation=2))
    made = _configmap(world)
    assert made["data"] == {"secret-id": obj["status"]["id"]}, "the former key is gone"
    assert made["metadata"]["labels"] == dict([OURS]), "and so is the label"
    world.method_secret(**publish("other"))
    obj = await world.until(ready(generation=3))
    assert _names(world) == {"other"}
    assert [entry["configMap"] for entry in obj["status"]["published"]] == ["other"]
    world.method_secret()
    obj = await world.until(ready(generation=4))
    assert _names(world) == set()
    assert "published" not in obj["status"]


async def test_a_foreign_one_is_left_alone_until_it_goes(world: World) -> None:
    foreign = _foreign(world)
    await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    obj = await world.until(not_ready("PublishConflict"))
    assert obj["status"]["id"].startswith("sec_")
    assert {c["type"]: c["status"] for c in obj["status"]["conditions"]} == {
        "Ready": "False",
        "Stalled": "True",
    }
    assert NAME in message(obj)
    assert "published" not in obj["status"]
    assert _configmap(world)["metadata"]["resourceVersion"] == foreign["metadata"]["resourceVersion"]
    world.delete(NAME, "configmaps")
    obj = await world.until(ready())
    assert _configmap(world)["data"] == {"id": obj["status"]["id"]}
    assert await world.control.count("create") == 1


async def test_one_that_was_ours_and_is_not_any_more_is_not_deleted(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    await world.until(_settled(world))
    patch = [{"op": "remove", "path": "/metadata/ownerReferences"}]
    world.plane.http.patch(
        world.path("configmaps", NAME),
        headers={"Content-Type": "application/json-patch+json"},
        content=json.dumps(patch),
    ).raise_for_status()
    await world.until(not_ready("PublishConflict"))
    world.method_secret()
    await world.until(ready(generation=2))
    assert _names(world) == {NAME}


async def test_a_restart_costs_nothing_and_finds_what_was_edited_meanwhile(world: World) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    before = await world.until(_settled(world))
    operator.stop()
    operator = await world.start_operator()
    world.secret("late")
    world.method_secret("late", source="late", **publish("late"))
    await world.until(ready(), "late")
    assert world.get() == before, "nothing was written"
    [published] = before["status"]["published"]
    assert _configmap(world)["metadata"]["resourceVersion"] == published["resourceVersion"]
    operator.stop()
    world.delete(NAME, "configmaps")
    await world.start_operator()
    await world.until(lambda o: o["status"]["published"] != before["status"]["published"] and ready()(o))
    assert _configmap(world)["data"] == {"id": before["status"]["id"]}
    assert await world.control.count("create") == 2


async def test_a_process_killed_while_publishing_is_made_good(world: World) -> None:
    """The ConfigMap was announced in the status, and then nobody asks for it any more."""
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    obj = await world.until(_settled(world))
    operator.stop()
    # What a death between the apply of the new one and the status leaves behind.
    owner = _configmap(world)["metadata"]["ownerReferences"]
    metadata = {"name": "announced", "ownerReferences": owner}
    world.apply("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    world.edit_status(published=[*obj["status"]["published"], {"configMap": "announced"}])
    await world.start_operator()
    await world.until(_settled(world))
    assert _names(world) == {NAME}


async def test_two_operators_do_not_fight(world: World) -> None:
    for _ in range(2):
        await world.start_operator()
    before = requests(world.plane.http.get("/metrics").text)
    world.secret()
    world.method_secret(**publish())
    obj = await world.until(_settled(world))
    for number in range(3):
        former = obj["status"]["id"]
        world.secret(value=f"{CANARY}-{number}")
        obj = await world.until(_moved_from(former))
        obj = await world.until(_settled(world))
    assert _configmap(world)["data"] == {"id": obj["status"]["id"]}
    assert len(await world.control.secrets()) == 4
    for operator in world.operators:
        await asyncio.to_thread(operator.stop)
    made = requests(world.plane.http.get("/metrics").text) - before
    # Each of the two writes once for each of the four ids, and once in vain where the other was faster.
    assert made["APPLY", "configmaps"] <= 4 * 2 * 2
    # Two writes for each id are one operator's: the id, and that it is shown.
    assert made["PATCH", "methodsecrets/status"] <= 4 * 2 * 2


async def test_it_is_collected_with_the_object(world: World, controller_manager: ControlPlane) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**publish())
    await world.until(ready())
    assert _names(world) == {NAME}
    controller_manager.restart_controller_manager()  # its garbage collector learns of our kind at once
    world.delete("acme")
    await world.until_gone("acme")
    gone = ("wait", "--for=delete", f"configmap/{NAME}", "-n", world.namespace, "--timeout=60s")
    await asyncio.to_thread(controller_manager.run_kubectl, *gone)
