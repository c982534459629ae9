"""`orphans` on real servers: what is listed, what is deleted when asked to, and what never is."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from tests.integration.canary import CANARY
from tests.integration.conftest import SYSTEM
from tests.integration.world import World, ready

CLUSTER: Final = "orphanage"
NOW: Final = ("--min-age", "0s")


async def _seed(world: World, owner: str, revision: str, **where: str) -> str:
    marker = {"k8s_owner": owner, "k8s_uid": "somebody", "k8s_revision": revision}
    (secret_id,) = await world.control.seed(1, metadata=marker, **({"api_key": "sk_test_default"} | where))
    return secret_id


async def _orphans(world: World, *arguments: str, code: int = 0, **env: Any) -> dict[str, Any]:  # noqa: ANN401 - as World's
    done = await world.command("orphans", "--output", "json", *arguments, CLUSTER_NAME=CLUSTER, **env)
    assert done.returncode == code, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


async def _active(world: World) -> set[str]:
    return {secret["id"] for secret in await world.control.secrets() if secret["status"] == "active"}


def _listed(found: dict[str, Any]) -> set[str]:
    return {one["id"] for one in found["orphans"]}


async def _scene(world: World) -> dict[str, str]:
    """Leave secrets of every kind at Method, with no operator running; return ids by what they are."""
    operator = await world.start_operator(CLUSTER_NAME=CLUSTER)
    world.secret()
    world.secret("key", token="sk_test_other")
    names = ("retained", "moved", "kept", "again")
    for name in names:
        world.method_secret(name)
    account = {"environment": "sandbox", "apiKeySecretRef": {"name": "key", "key": "token"}}
    world.method_secret("own-account", account=account)
    ids = {name: (await world.until(ready(), name))["status"]["id"] for name in (*names, "own-account")}
    revision = world.get("kept")["status"]["source"]["revision"]
    world.delete("moved")
    world.method_secret("mover", adopt={"id": ids["moved"]})
    await world.until(ready("Adopted"), "mover")
    await asyncio.to_thread(operator.stop)
    world.delete("retained")
    world.delete("again")

    mine = f"{CLUSTER}/{world.namespace}"
    ids |= {
        "former": await _seed(world, f"former/{world.namespace}/gone", revision),
        "other key": await _seed(world, f"{mine}/gone", "1:00000000:beef"),
        "shown": await _seed(world, f"{mine}/published", revision),
        "elsewhere": await _seed(world, f"{CLUSTER}/elsewhere/gone", revision),
        "theirs": await _seed(world, f"another/{world.namespace}/gone", revision),
        "in own account": await _seed(world, f"{mine}/gone", revision, api_key="sk_test_other"),
    }
    (ids["unmarked"],) = await world.control.seed(1, metadata={"team": "x"}, api_key="sk_test_default")
    labels = {"app.kubernetes.io/managed-by": "methodsecret-operator"}
    config_map = {"metadata": {"name": "left", "labels": labels}, "data": {"id": ids["shown"]}}
    world.apply("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **config_map})
    return ids


async def test_only_what_nobody_stands_behind_is_listed_and_deleted(world: World) -> None:
    ids = await _scene(world)
    before = await _active(world)
    found = await _orphans(world, *NOW, CLUSTER_ALIASES="former")
    orphans = {ids["retained"], ids["again"], ids["former"], ids["in own account"]}
    assert _listed(found) == orphans
    (other,) = [one for one in found["orphans"] if one["id"] == ids["in own account"]]
    assert (other["account"], other["environment"]) == (f"Secret {world.namespace}/key, key token", "sandbox")
    assert found["counts"] == {
        "another cluster's": 1,
        "in use": 4,
        "made with another digest key": 1,
        "not the operator's": 1,
        "of a namespace that is not looked at": 1,
        "orphan": 4,
    }
    assert _listed(await _orphans(world)) == set(), "too young, by default"
    assert await _active(world) == before, "nothing is deleted without being asked for"

    # One is applied again while its deletion is on the way, after the list was made.
    held = await world.control.add_fault("retrieve", "hold", when="before")
    wanted = [ids.pop("again"), own := ids["in own account"]]
    not_orphans = [secret_id for name, secret_id in ids.items() if secret_id not in orphans]
    deleting = asyncio.create_task(_orphans(world, *NOW, "--delete", *wanted, *not_orphans, code=1))
    await world.control.wait_held(held)
    world.method_secret("again")
    await world.control.release(held)
    done = await deleting
    assert done["deleted"] == [own]
    assert done["notDeleted"].pop(wanted[0]) == f"MethodSecret {world.namespace}/again exists by now"
    assert set(done["notDeleted"]) == set(not_orphans)
    assert set(done["notDeleted"].values()) == {"it is not in the list of orphans"}
    assert await _active(world) == before - {own}

    table = await world.command(
        "orphans", *NOW, "--delete", ids["former"], CLUSTER_NAME=CLUSTER, CLUSTER_ALIASES="former"
    )
    assert table.returncode == 0, table.stderr
    assert f"{ids['retained']}  {world.namespace}/retained" in table.stdout
    assert "leaves its secrets at Method on purpose" in table.stdout
    assert table.stderr == f"{ids['former']}: deleted\n"
    refused = await world.command("orphans", *NOW, "--delete", "--all", "--yes", CLUSTER_NAME=CLUSTER)
    assert (refused.returncode, "--all is for all namespaces" in refused.stderr) == (2, True)
    unasked = await world.command("orphans", *NOW, "--delete", "--all", CLUSTER_NAME=CLUSTER, NAMESPACES="")
    assert (unasked.returncode, "give --yes" in unasked.stderr) == (2, True), unasked.stderr
    assert ids["retained"] in await _active(world)
    await world.command("orphans", *NOW, "--delete", "--all", "--yes", CLUSTER_NAME=CLUSTER, NAMESPACES="")
    assert await _active(world) == before - {own, ids["former"], ids["retained"], ids["elsewhere"]}


async def _orphaned(world: World, *names: str) -> list[str]:
    """Leave a secret at Method by each of these objects, which are gone again, as the operator is."""
    operator = await world.start_operator(CLUSTER_NAME=CLUSTER)
    world.secret()
    for name in names:
        world.method_secret(name)
    ids = [(await world.until(ready(), name))["status"]["id"] for name in names]
    await asyncio.to_thread(operator.stop)
    for name in names:
        world.delete(name)
    return ids


async def test_what_has_changed_since_the_list_is_not_deleted(world: World) -> None:
    names = ("wanted", "shown", "edited", "taken", "newer", "unknown", "refused", "left")
    wanted, shown, edited, taken, newer, unknown, refused, left = ids = await _orphaned(world, *names)
    kept = await _active(world)
    held = await world.control.add_fault("retrieve", "hold")
    for operation, name in (("retrieve", "unknown"), ("delete", "refused")):
        match = {"k8s_owner": f"{CLUSTER}/{world.namespace}/{name}"}
        await world.control.add_fault(operation, "status", status=404, match=match)
    deleting = asyncio.create_task(_orphans(world, *NOW, "--delete", *ids, code=1))
    await world.control.wait_held(held)
    # As a person does, or another program, while the question waits for its answer.
    world.method_secret("mover", source="comes-later", adopt={"id": wanted})
    labels = {"app.kubernetes.io/managed-by": "methodsecret-operator"}
    config_map = {"metadata": {"name": "left", "labels": labels}, "data": {"id": shown}}
    world.apply("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **config_map})
    world.method_secret("another", source="comes-later")
    world.edit_status("another", published=[{"configMap": "ids", "id": edited}])
    await world.control.change_secret(taken, metadata={"team": "x"})
    await world.control.change_secret(newer, status="frozen")
    await world.control.release(held)
    done = await deleting
    named, unheard = "a MethodSecret or a ConfigMap names it by now", "Method does not know it when asked"
    unheard += ", though its list had it: run the command again later"
    assert done["notDeleted"] == {
        wanted: named,
        shown: named,
        edited: named,
        taken: "its marker is another than in the list",
        newer: "it is of an unknown status, age or owner by now",
        unknown: unheard,
        refused: unheard,
    }
    assert done["deleted"] == [left]
    assert await world.control.count("delete") == 2, "one more was sent, to which Method said 404"
    assert await _active(world) == kept - {left, newer}


async def test_what_was_adopted_and_has_become_a_former_secret_is_not_deleted(world: World) -> None:
    (secret_id,) = await _orphaned(world, "before")
    held = await world.control.add_fault("retrieve", "hold")
    deleting = asyncio.create_task(_orphans(world, *NOW, "--delete", secret_id, code=1))
    await world.control.wait_held(held)
    await world.start_operator(CLUSTER_NAME=CLUSTER)
    world.method_secret("after", adopt={"id": secret_id})
    await world.until(ready("Adopted"), "after")
    world.secret(value=f"{CANARY}-2")
    world.method_secret("after")
    after = await world.until(lambda obj: ready()(obj) and obj["status"]["id"] != secret_id, "after")
    assert [former["id"] for former in after["status"]["superseded"]] == [secret_id]
    assert "adopt" not in after["spec"]
    await world.control.release(held)
    assert (await deleting)["notDeleted"] == {secret_id: "a MethodSecret or a ConfigMap names it by now"}
    assert await world.control.count("delete") == 0


@pytest.mark.parametrize("by_status", [False, True], ids=["spec.adopt.id", "status.id"])
async def test_what_gets_an_id_after_the_last_list_is_asked_about(world: World, *, by_status: bool) -> None:
    first, second = await _orphaned(world, "first", "second")
    held = await world.control.add_fault("retrieve", "hold", skip=1)
    deleting = asyncio.create_task(_orphans(world, *NOW, "--delete", first, second, code=1))
    await world.control.wait_held(held)  # after the list that the first was deleted by
    if by_status:
        world.method_secret("after", source="comes-later")
        world.edit_status("after", id=second)
    else:
        world.method_secret("after", source="comes-later", adopt={"id": second})
    await world.control.release(held)
    done = await deleting
    assert done["deleted"] == [first]
    assert done["notDeleted"] == {second: "a MethodSecret or a ConfigMap names it by now"}


async def test_what_cannot_be_looked_at_is_said_to_be_not_judged(world: World) -> None:
    operator = await world.start_operator(CLUSTER_NAME=CLUSTER)
    world.secret()
    world.method_secret()
    await world.until(ready())
    await asyncio.to_thread(operator.stop)
    world.delete("acme")
    run, here = world.plane.run_kubectl, f"--namespace={world.namespace}"
    run("create", "serviceaccount", "auditor", here)
    run("create", "role", "auditor", "--verb=get,list", "--resource=methodsecrets.methodfi.com", here)
    run(
        "create",
        "rolebinding",
        "auditor",
        "--role=auditor",
        f"--serviceaccount={world.namespace}:auditor",
        here,
    )
    name = f"auditor-{world.namespace}"
    key = "--resource-name=methodsecret-operator-digest-key"
    run("create", "role", name, "--verb=get", "--resource=secrets", key, f"--namespace={SYSTEM}")
    run(
        "create", "rolebinding", name, f"--role={name}", f"--serviceaccount={world.namespace}:auditor",
        f"--namespace={SYSTEM}",
    )  # fmt: skip
    auditor = world.plane.service_account_kubeconfig(namespace=world.namespace, name="auditor")

    both = f"{world.namespace},default"
    found = await _orphans(world, *NOW, kubeconfig=auditor, NAMESPACES=both, code=1)
    assert len(found["orphans"]) == 1
    assert [(one["what"], one["failed"]) for one in found["notJudged"]] == [
        ("namespace default", True),
        ("whether a ConfigMap without its object still shows an id", False),
        ("whether a ConfigMap without its object still shows an id", False),
    ]
    # Method is listed first: what an object takes over meanwhile is in use, though its owner is gone.
    held = await world.control.add_fault("list", "hold", when="after")
    looking = asyncio.create_task(_orphans(world, *NOW))
    await world.control.wait_held(held)
    world.method_secret("late")
    world.edit_status("late", id=found["orphans"][0]["id"])
    await world.control.release(held)
    assert (await looking)["orphans"] == []

    await world.control.add_fault("list", "status", status=403, count=None)
    refused = await _orphans(world, *NOW, code=1)
    assert refused["orphans"] == []
    assert refused["notJudged"] == [
        {"what": "the operator's own API key", "why": "it may not list secrets (403)", "failed": True}
    ]
    keyless = await world.command(
        "orphans", *NOW, CLUSTER_NAME=CLUSTER, DIGEST_KEY_SECRET="methodsecret-none"
    )
    assert (keyless.returncode, "with the digest key" in keyless.stderr) == (2, True), keyless.stderr
