"""What follows from an answer beyond the look that got it; test_answer_matrix.py has them one by one."""

from __future__ import annotations

import asyncio

from dev.controlplane.metrics import requests
from tests.integration.world import World, condition, message, not_ready, ready


def _status_writes(world: World) -> int:
    return requests(world.plane.http.get("/metrics").text)["PATCH", "methodsecrets/status"]


async def test_a_rate_limit_is_said_and_waited_for(world: World) -> None:
    await world.control.add_fault("create", "status", status=429, count=1)
    await world.start_operator()
    world.secret()
    world.method_secret()
    obj = await world.until(not_ready("RateLimited"))
    assert "no more requests" in message(obj)
    assert condition("Reconciling", "True", "RateLimited")(obj)
    # The key is blocked for a minute; that it is used again then is the budget's own test, with a clock.
    assert await world.control.count("create") == 1


async def test_a_retry_that_fails_the_same_way_writes_nothing(world: World) -> None:
    await world.control.add_fault("create", "status", status=500, count=3)
    await world.start_operator()
    before = _status_writes(world)
    world.secret()
    world.method_secret()
    await world.until(ready(), seconds=30)
    await world.until_event("Synced")
    await asyncio.to_thread(world.operators[0].stop)
    assert _status_writes(world) - before == 2, (
        "the failure and the success; a PATCH without effect counts too"
    )
    reasons = sorted(event["reason"] for event in world.list("events"))
    assert reasons == ["MethodUnavailable", "Synced"]
    assert await world.control.count("create") == 4


async def test_a_secret_that_is_not_active_yet_is_waited_for(world: World) -> None:
    fault = await world.control.add_fault("create", "hold", when="after")
    operator = await world.start_operator()
    world.secret()
    world.method_secret()
    await world.control.wait_held(fault)
    operator.kill()
    await world.control.release(fault)
    (stored,) = await world.control.secrets()
    await world.control.change_secret(stored["id"], status="processing")

    await world.start_operator()
    obj = await world.until(not_ready("Pending"))
    assert obj["status"]["id"] == stored["id"]
    assert obj["status"]["status"] == "processing"
    await world.control.change_secret(stored["id"], status="active")
    await world.until(ready())
    assert len(await world.control.secrets()) == 1


async def test_an_account_that_is_blocked_holds_up_nobody_else(world: World) -> None:
    await world.start_operator(WORKERS="2")
    world.secret()
    world.secret("method", key="sk_test_own")
    account = {"environment": "dev", "apiKeySecretRef": {"name": "method", "key": "key"}}
    await world.control.add_fault("create", "status", status=429)
    world.method_secret("blocked-0")
    await world.until(not_ready("RateLimited"), "blocked-0")
    for number in range(1, 6):
        world.method_secret(f"blocked-{number}")
    world.method_secret("free", account=account)
    await world.until(ready(), "free", seconds=5)
    assert await world.control.count("create") == 2
    assert world.get("blocked-5")["status"] == {"observedGeneration": -1}, "waiting for a turn is no state"
