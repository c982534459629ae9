"""Answers of the Method API that are no answers: nothing of them gets into a status, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.world import World, condition, message, not_ready, ready


@dataclass(frozen=True)
class Case:
    """A fault at the API, the state it puts an object in, and how many secrets there are in the end."""

    fault: dict[str, Any]
    state: str
    reason: str


CASES = {
    "HTML": Case({"kind": "html"}, "MethodUnavailable", "a gateway's page says nothing of what was done"),
    "empty": Case({"kind": "empty"}, "MethodUnavailable", "a 200 without a body may have been done"),
    "truncated": Case({"kind": "truncated"}, "MethodUnavailable", "the id was cut off"),
    "garbage": Case({"kind": "garbage"}, "MethodUnavailable", "no JSON"),
    "10 MB": Case({"kind": "huge"}, "MethodUnavailable", "read up to a bound, then dropped"),
    "no id": Case({"kind": "no_id"}, "MethodUnavailable", "a secret without an id is no secret"),
    "an id that is none": Case({"kind": "bad_id"}, "MethodUnavailable", "only sec_… is an id"),
    "reset before": Case({"kind": "reset_before"}, "MethodUnavailable", "nothing was done, but who knows"),
    "reset after": Case({"kind": "reset_after"}, "MethodUnavailable", "done, and nobody was told"),
    "500": Case({"kind": "status", "status": 500}, "MethodUnavailable", "may have been done"),
    "500, stored": Case(
        {"kind": "status", "status": 500, "store": True}, "MethodUnavailable", "final for this key"
    ),
    "503": Case(
        {"kind": "status", "status": 503, "error_sub_type": "IDEMPOTENCY_UNAVAILABLE"},
        "MethodUnavailable",
        "the store of keys is down: wait, never send without a key",
    ),
    "422": Case({"kind": "status", "status": 422}, "Rejected", "the API refuses this request"),
    "400": Case({"kind": "status", "status": 400}, "Rejected", "the API refuses this request"),
    "403": Case({"kind": "status", "status": 403}, "Unauthorized", "the key may not do this"),
    "redirect": Case({"kind": "status", "status": 307}, "MethodUnavailable", "never followed"),
}

FINAL = {"422", "400", "403", "500, stored"}
"""Failures that say that the key will never give anything else."""


async def test_an_answer_that_is_none_is_said_and_settled(world: World, subtests: pytest.Subtests) -> None:
    await world.start_operator(CLUSTER_NAME="test")
    for number, (name, case) in enumerate(CASES.items()):
        with subtests.test(name):
            await _check(world, case, name=f"case-{number:02}", final=name in FINAL)


async def _check(world: World, case: Case, *, name: str, final: bool) -> None:
    owner = f"test/{world.namespace}/{name}"
    await world.control.add_fault("create", match={"k8s_owner": owner}, **case.fault)
    world.secret(name)
    world.method_secret(name, source=name)
    bad = await world.until(not_ready(case.state), name)
    assert "id" not in bad["status"], case.reason
    stalled = case.state != "MethodUnavailable"
    assert condition("Stalled" if stalled else "Reconciling", "True", case.state)(bad), case.reason
    if stalled:
        # A person acts: here by asking again.
        annotations = {"methodfi.com/reconcile-requested-at": "again"}
        world.method_secret(name, source=name, annotations=annotations)
    good = await world.until(ready(), name)
    stored = [s["id"] for s in await world.control.secrets() if s["metadata"]["k8s_owner"] == owner]
    assert stored == [good["status"]["id"]], case.reason
    posts = [r["idempotency_key"] for r in await world.control.requests(operation="create", owner=owner)]
    assert len(posts) == 2
    assert len(set(posts)) == (2 if final else 1), "the same key again, unless the failure is final for it"


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
    world.secret()
    world.method_secret()
    await world.until(ready(), seconds=30)
    await world.until_event("Synced")
    world.operators[0].stop()
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


async def test_an_answer_that_echoes_the_value_is_not_repeated(world: World) -> None:
    await world.control.add_fault("create", "status", status=422, echo_value=True)
    await world.start_operator()
    world.secret()
    world.method_secret()
    obj = await world.until(not_ready("Rejected"))
    assert "HTTP 422" in message(obj)
    # The rest is the leak check's, which reads everything at the end of every test.


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
