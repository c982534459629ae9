"""One user's metadata, nested as deep as the kube-apiserver takes it, costs nobody else anything."""

from __future__ import annotations

import asyncio

from tests.integration.world import World, ready

DEEP = 9_990
"""Levels: ten times what Python's JSON parser takes."""


def _apply_deep(world: World, name: str) -> None:
    # As text: what builds it here would not come so deep either.
    metadata = '{"a":' * DEEP + "1" + "}" * DEEP
    body = (
        '{"apiVersion":"methodfi.com/v1","kind":"MethodSecret","metadata":{"name":"%s"},'
        '"spec":{"valueFrom":{"secretKeyRef":{"name":"source","key":"value"}},"metadata":%s}}'
    )
    answer = world.plane.http.post(
        world.path("methodsecrets"),
        headers={"Content-Type": "application/json"},
        content=body % (name, metadata),
    )
    assert answer.status_code == 201, answer.text[:200]


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
