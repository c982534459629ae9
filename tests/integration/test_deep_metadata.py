"""One user's metadata, nested as deep as the kube-apiserver takes it, costs nobody else anything."""

from __future__ import annotations

import asyncio

from dev.controlplane import ControlPlane
from tests.integration.world import World, ready

DEEP = 9_990
"""Levels: ten times what Python's JSON parser takes."""


SHALLOWER = 300
"""Levels: too many for the operator's model, few enough for the JSON parser that waits in a test."""


def _nested(levels: int) -> str:
    # As text: what builds it here would not come so deep either.
    return '{"a":' * levels + "1" + "}" * levels


def _apply_deep(world: World, name: str) -> None:
    body = (
        '{"apiVersion":"methodfi.com/v1","kind":"MethodSecret","metadata":{"name":"%s"},'
        '"spec":{"valueFrom":{"secretKeyRef":{"name":"source","key":"value"}},"metadata":%s}}'
    )
    answer = world.plane.http.post(
        world.path("methodsecrets"),
        headers={"Content-Type": "application/json"},
        content=body % (name, _nested(DEEP)),
    )
    assert answer.status_code == 201, answer.text[:200]


def _deepen(world: World, levels: int) -> None:
    answer = world.plane.http.patch(
        world.path("methodsecrets", "acme"),
        headers={"Content-Type": "application/merge-patch+json"},
        content='{"spec":{"metadata":' + _nested(levels) + "}}",
    )
    assert answer.status_code == 200, answer.text[:200]


async def test_others_are_served_when_it_is_there_and_when_it_comes(world: World) -> None:
    # What waits for an object's state reads them all, and would fail here: the API's side tells enough.
    world.secret()
    _apply_deep(world, "listed")
    world.method_secret("before")
    operator = await world.start_operator()
    await world.control.wait_for_requests(1, operation="create")
    _apply_deep(world, "watched")
    world.method_secret("after")
    await world.control.wait_for_requests(2, operation="create")
    # A restart finds both in its lists.
    await asyncio.to_thread(operator.stop)
    await world.start_operator()
    world.method_secret("last")
    await world.control.wait_for_requests(3, operation="create")
    for name in ("listed", "watched"):
        world.delete(name)
    for name in ("before", "after", "last"):
        await world.until(ready(), name)
    assert len(await world.control.secrets()) == 3


async def test_one_with_our_finalizer_goes_with_its_secret(world: World) -> None:
    await world.start_operator()
    world.secret()
    world.method_secret(deletionPolicy="Delete")
    await world.until(ready())
    _deepen(world, SHALLOWER)
    world.delete("acme")
    await world.until_gone("acme")
    assert [secret["status"] for secret in await world.control.secrets()] == ["deleted"]


async def test_a_namespace_is_not_held_by_one(world: World, controller_manager: ControlPlane) -> None:
    operator = await world.start_operator()
    world.secret()
    world.method_secret(deletionPolicy="Delete")
    await world.until(ready())
    await asyncio.to_thread(operator.stop)
    _deepen(world, DEEP)
    await world.start_operator()
    await asyncio.to_thread(
        controller_manager.run_kubectl, "delete", "namespace", world.namespace, "--timeout=60s"
    )
    assert [secret["status"] for secret in await world.control.secrets()] == ["deleted"]
