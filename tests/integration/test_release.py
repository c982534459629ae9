"""`release` before an uninstall: nothing is held any more, and a working operator is noticed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.integration.test_leadership import LEASE
from tests.integration.world import World, ready

FINALIZER = "methodfi.com/method-secret"
FOREIGN = "example.com/theirs"
DELETE: dict[str, Any] = {"deletionPolicy": "Delete"}


def _patch(world: World, name: str, **metadata: Any) -> None:  # noqa: ANN401 - JSON
    answer = world.plane.http.patch(
        world.path("methodsecrets", name),
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps({"metadata": metadata}),
    )
    answer.raise_for_status()


async def test_an_uninstall_with_objects_held_ends_and_loses_nothing(world: World) -> None:
    world.plane.http.delete(LEASE)
    operator = await world.start_operator(LEADER_ELECTION="true", LEASE_SECONDS="3")
    world.secret()
    names = ("acme", "shared", "going", "kept")
    for name in names[:3]:
        world.method_secret(name, **DELETE)
    world.method_secret("kept")
    ids = {name: (await world.until(ready(), name))["status"]["id"] for name in names}
    _patch(world, "shared", finalizers=[FOREIGN, FINALIZER])

    refused = await world.command("release", "--yes")
    assert (refused.returncode, "is at work" in refused.stderr) == (1, True), refused.stderr
    assert world.get()["metadata"]["finalizers"] == [FINALIZER]
    assert await asyncio.to_thread(operator.stop) == 0

    world.delete("going")
    asked, dry = await asyncio.gather(world.command("release"), world.command("release", "--dry-run"))
    assert (asked.returncode, "give --yes" in asked.stderr) == (2, True), asked.stderr
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.splitlines() == [
        f"{world.namespace}/acme: is held; stays at Method: {ids['acme']}",
        f"{world.namespace}/going: is being deleted, and goes when released; stays at Method: {ids['going']}",
        f"{world.namespace}/shared: is held; stays at Method: {ids['shared']}",
        "3 to release; this was a dry run, nothing was changed.",
    ]
    assert [item["metadata"].get("finalizers") for item in world.list()] == [
        [FINALIZER],
        [FINALIZER],
        None,
        [FOREIGN, FINALIZER],
    ]

    done = await world.command("release", "--yes")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert done.stdout.splitlines()[-1] == "3 of 3 released; ids that stay at Method, see above: 3"
    await world.until_gone("going")
    world.delete("acme")
    assert [item["metadata"]["name"] for item in world.list()] == ["kept", "shared"], "nobody holds acme"
    assert world.get("shared")["metadata"]["finalizers"] == [FOREIGN]
    assert await world.control.count("delete") == 0
    _patch(world, "shared", finalizers=None)

    again = await world.command("release", "--yes")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"No MethodSecret in {world.namespace} has the finalizer {FINALIZER}.\n"


async def test_without_a_lease_it_is_said_that_an_operator_cannot_be_noticed(world: World) -> None:
    world.plane.http.delete(LEASE)
    await world.start_operator(RESYNC_SECONDS="2")
    world.secret()
    world.method_secret(**DELETE)
    await world.until(ready())
    done = await world.command("release", "--yes")
    assert "There is no Lease methodsecret-system/methodsecret-operator." in done.stderr
    await world.until(lambda obj: obj["metadata"].get("finalizers") == [FINALIZER])  # it puts them back


async def test_who_may_not_release_is_told_what_is_missing(world: World) -> None:
    world.secret()
    world.method_secret(**DELETE)
    _patch(world, "acme", finalizers=[FINALIZER])
    world.plane.run_kubectl("create", "serviceaccount", "reader", f"--namespace={world.namespace}")
    world.plane.run_kubectl(
        "create", "role", "reader", "--verb=list", "--resource=methodsecrets.methodfi.com",
        f"--namespace={world.namespace}",
    )  # fmt: skip
    world.plane.run_kubectl(
        "create", "rolebinding", "reader", "--role=reader",
        f"--serviceaccount={world.namespace}:reader", f"--namespace={world.namespace}",
    )  # fmt: skip
    reader = world.plane.service_account_kubeconfig(namespace=world.namespace, name="reader")
    blind, forced, everywhere = await asyncio.gather(
        world.command("release", "--yes", kubeconfig=reader),
        world.command("release", "--yes", "--force", kubeconfig=reader),
        world.command("release", "--yes", kubeconfig=reader, NAMESPACES=""),
    )
    assert blind.returncode == 1
    assert "whether an operator is at work cannot be seen (get leases" in blind.stderr
    assert forced.returncode == 1
    assert f"{world.namespace}/acme: not released: patch methodsecrets" in forced.stderr
    assert everywhere.returncode == 1
    assert everywhere.stderr.startswith(
        "methodsecret-operator: list methodsecrets in all namespaces: HTTP 403"
    )
    assert world.get()["metadata"]["finalizers"] == [FINALIZER]
