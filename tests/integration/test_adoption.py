"""Taking over a secret that is at Method already: what may be taken, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.canary import CANARY
from tests.integration.world import World, condition, message, not_ready, ready

KEY = "sk_test_default"
LOOK = {"methodfi.com/reconcile-requested-at": "now"}
"""Asks for a look at once: what stands in an adoption's way is looked at again after 30 s only."""


@pytest.fixture
async def elsewhere(world: World) -> AsyncIterator[World]:
    """Make another namespace, to be served by the operators of `world`."""
    name = f"{world.namespace}-elsewhere"
    world.plane.http.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    made = World(
        plane=world.plane,
        namespace=name,
        kubeconfig=world.kubeconfig,
        emulator=world.emulator,
        control=world.control,
        directory=world.directory,
    )
    yield made
    await made.check_leaks(CANARY)
    world.plane.http.delete(f"/api/v1/namespaces/{name}")


def adopt(secret_id: str) -> dict[str, Any]:
    return {"adopt": {"id": secret_id}}


async def test_an_unmarked_secret_is_adopted_with_its_value_unverified(world: World) -> None:
    (theirs,) = await world.control.seed(1, api_key=KEY)
    await world.start_operator()
    world.secret()
    world.method_secret(**adopt(theirs))
    obj = await world.until(ready("Adopted"))
    assert obj["status"]["id"] == theirs
    assert "source" not in obj["status"], "nobody knows whether it holds the source's value"
    assert "not known" in message(obj)
    assert await world.control.count("create") == 0


async def test_an_adopted_object_costs_nothing_at_the_next_start(world: World) -> None:
    (theirs,) = await world.control.seed(1, api_key=KEY)
    operator = await world.start_operator()
    world.secret()
    world.method_secret(**adopt(theirs))
    obj = await world.until(ready("Adopted"))
    operator.stop()
    await world.start_operator()
    world.method_secret("fence")
    await world.until(ready(), "fence")
    assert world.get()["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]


async def test_the_first_rotation_makes_a_secret_of_our_own_and_never_deletes_theirs(world: World) -> None:
    (theirs,) = await world.control.seed(1, api_key=KEY)
    await world.start_operator()
    world.secret()
    spec = {**adopt(theirs), "deletionPolicy": "Delete", "rotation": {"deleteSupersededAfter": "0s"}}
    world.method_secret(**spec)
    await world.until(ready("Adopted"))
    world.secret(value=f"{CANARY}-2")
    obj = await world.until(
        lambda o: ready("Synced")(o) and o["status"]["id"] != theirs and "superseded" not in o["status"]
    )
    assert "adopted" not in obj["status"]
    world.delete("acme")
    await world.until_gone("acme")
    states = {secret["id"]: secret["status"] for secret in await world.control.secrets()}
    assert states == {theirs: "active", obj["status"]["id"]: "deleted"}


async def test_a_requested_rotation_replaces_what_was_adopted(world: World) -> None:
    (theirs,) = await world.control.seed(1, api_key=KEY)
    await world.start_operator()
    world.secret()
    world.method_secret(**adopt(theirs))
    await world.until(ready("Adopted"))
    world.method_secret(annotations={"methodfi.com/rotation-requested-at": "now"}, **adopt(theirs))
    obj = await world.until(ready("Synced"))
    assert [former["id"] for former in obj["status"]["superseded"]] == [theirs]
    assert await world.control.has_value(CANARY) == [obj["status"]["id"]]


async def test_an_id_that_method_does_not_know_is_said(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(**adopt("sec_nobodyknows"))
    obj = await world.until(not_ready("AdoptionFailed"))
    assert condition("Stalled", "True")(obj)
    assert "sec_nobodyknows" in message(obj)
    assert await world.control.count("create") == 0
    world.method_secret()
    await world.until(ready())


async def test_an_id_in_another_status_is_not_taken(world: World) -> None:
    (theirs,) = await world.control.seed(1, api_key=KEY)
    await world.start_operator()
    world.secret()
    world.method_secret("first", **adopt(theirs))
    await world.until(ready("Adopted"), "first")
    world.method_secret(**adopt(theirs))
    obj = await world.until(not_ready("AdoptionFailed"))
    assert f"{world.namespace}/first" in message(obj)
    assert "id" not in obj["status"]


@pytest.mark.parametrize("cluster", ["other-cluster", "here", "former"])
async def test_another_clusters_mark_is_respected(world: World, cluster: str) -> None:
    """Also one that goes by our name, or by a former one: it shows by its digest key."""
    marker = {"k8s_owner": f"{cluster}/{world.namespace}/gone", "k8s_uid": "u"}
    (theirs,) = await world.control.seed(1, metadata=marker | {"k8s_revision": "1:aaaaaaaa:b"}, api_key=KEY)
    await world.start_operator(CLUSTER_NAME="here", CLUSTER_ALIASES="former")
    world.secret()
    world.method_secret(**adopt(theirs))
    obj = await world.until(not_ready("AdoptionFailed"))
    assert "mark of another owner" in message(obj)
    assert "another digest key" in message(obj)
    assert await world.control.count("create") == 0


async def test_a_renamed_object_takes_its_secret_along(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret("before")
    before = await world.until(ready(), "before")
    world.delete("before")
    world.method_secret("after", **adopt(before["status"]["id"]))
    after = await world.until(ready("Adopted"), "after")
    assert after["status"]["id"] == before["status"]["id"]
    assert await world.control.count("create") == 1


async def test_a_rename_waits_until_the_former_object_goes(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret("before")
    before = await world.until(ready(), "before")
    created = await world.control.count("create")
    world.method_secret("after", **adopt(before["status"]["id"]))
    waiting = await world.until(not_ready("AdoptionFailed"), "after")
    assert f"in use by MethodSecret {world.namespace}/before" in message(waiting)
    assert "id" not in waiting["status"]
    world.delete("before")
    world.method_secret("after", annotations=LOOK, **adopt(before["status"]["id"]))
    after = await world.until(ready("Adopted"), "after")
    assert after["status"]["id"] == before["status"]["id"]
    assert await world.control.count("create") == created
    assert await world.control.count("delete") == 0


async def test_an_object_moved_to_another_namespace_takes_its_secret_along(
    world: World, elsewhere: World
) -> None:
    await world.start_operator(NAMESPACES=f"{world.namespace},{elsewhere.namespace}")
    world.secret()
    world.method_secret(deletionPolicy="Retain")
    before = await world.until(ready())
    created = await world.control.count("create")
    elsewhere.secret()
    elsewhere.method_secret(**adopt(before["status"]["id"]))
    waiting = await elsewhere.until(not_ready("AdoptionFailed"))
    assert f"in use by MethodSecret {world.namespace}/acme" in message(waiting)
    world.delete("acme")
    elsewhere.method_secret(annotations=LOOK, **adopt(before["status"]["id"]))
    after = await elsewhere.until(ready("Adopted"))
    assert after["status"]["id"] == before["status"]["id"]
    assert await world.control.count("create") == created
    assert await world.control.count("delete") == 0


async def test_a_secret_that_was_taken_along_outlives_its_former_owner_made_again(world: World) -> None:
    """A backup brings the former object back, status and all: the secret's mark is still that one's."""
    operator = await world.start_operator()
    world.secret()
    world.method_secret("before")
    before = await world.until(ready(), "before")
    world.delete("before")
    world.method_secret("after", **adopt(before["status"]["id"]))
    after = await world.until(ready("Adopted"), "after")
    operator.stop()
    world.method_secret("before", deletionPolicy="Delete")
    world.edit_status("before", **before["status"])
    operator = await world.start_operator()
    await world.until(lambda obj: bool(obj["metadata"].get("finalizers")), "before")
    world.delete("before")
    await world.until_gone("before")
    states = {secret["id"]: secret["status"] for secret in await world.control.secrets()}
    assert states[after["status"]["id"]] == "active"
    assert "another MethodSecret goes by them" in operator.log_text()


async def test_a_rebuild_after_a_rotation_does_not_fall_back_to_what_was_adopted(world: World) -> None:
    (theirs,) = await world.control.seed(1, api_key=KEY)
    await world.start_operator()
    world.secret()
    world.method_secret(**adopt(theirs))
    await world.until(ready("Adopted"))
    world.secret(value=f"{CANARY}-2")
    rotated = await world.until(ready("Synced"))
    world.delete("acme")
    world.method_secret(**adopt(theirs))
    again = await world.until(ready("Synced"))
    assert again["status"]["id"] == rotated["status"]["id"]
    assert await world.control.count("create") == 1
