"""A burst of 1,000 objects: exactly 1,000 secrets, one status write each; killed in the middle, the same.

And at a limit: what was sent before a kill is not sent once more of it after.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.canary import CANARY
from tests.integration.scrape import Endpoint
from tests.integration.world import World, ready

COUNT = 1000
LIMITS_OFF: dict[str, Any] = {"WRITES_PER_MINUTE": "1000000", "READS_PER_MINUTE": "1000000"}


def _names() -> list[str]:
    return [f"burst-{number}" for number in range(COUNT)]


async def _apply_all(world: World) -> None:
    def apply() -> None:
        for number, name in enumerate(_names()):
            world.secret(name, value=f"{CANARY}-{number}")
            world.method_secret(name, source=name)

    await asyncio.to_thread(apply)


async def _until_all_ready(world: World) -> None:
    """Wait for the last id at the API, then for each object's own status."""
    pending = set(_names())

    def done(obj: dict[str, object]) -> bool:
        metadata, status = obj["metadata"], obj.get("status")
        assert isinstance(metadata, dict)
        assert isinstance(status, dict)
        if any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())):
            pending.discard(metadata["name"])
        return not pending

    await asyncio.to_thread(world._watch, "methodsecrets", None, done, 100)


async def _check(world: World) -> None:
    objects = world.list()
    stored = {secret["id"]: secret for secret in await world.control.secrets()}
    assert len(stored) == COUNT, "one secret at the API for each object, no more and no fewer"
    for obj in objects:
        marker = stored[obj["status"]["id"]]["metadata"]
        assert marker["k8s_uid"] == obj["metadata"]["uid"]
        assert marker["k8s_revision"] == obj["status"]["source"]["revision"]


async def test_a_burst_is_one_secret_and_one_status_write_each(world: World) -> None:
    await world.start_operator(**LIMITS_OFF)
    await world.control.change_settings(writes_per_minute=0, reads_per_minute=0)
    versions = await asyncio.to_thread(_watch_versions, world)
    await _until_all_ready(world)
    await _check(world)
    assert await world.control.count("create") == COUNT
    assert await world.control.count("retrieve") == 0
    for obj in world.list():
        assert versions[obj["metadata"]["name"]] != obj["metadata"]["resourceVersion"]
        writers = [m for m in obj["metadata"]["managedFields"] if m.get("subresource") == "status"]
        assert len(writers) == 1
    log = world.operators[0].log_text()
    assert log.count('"reconcile failed') == 0


def _watch_versions(world: World) -> dict[str, str]:
    versions = {}
    for number, name in enumerate(_names()):
        world.secret(name, value=f"{CANARY}-{number}")
        versions[name] = world.method_secret(name, source=name)["metadata"]["resourceVersion"]
    return versions


async def test_a_burst_with_the_operator_killed_in_the_middle_ends_the_same(world: World) -> None:
    await world.control.change_settings(writes_per_minute=0, reads_per_minute=0)
    operator = await world.start_operator(wait=True, **LIMITS_OFF)
    applying = asyncio.create_task(_apply_all(world))
    await world.control.wait_for_requests(COUNT // 2, operation="create", timeout=60)
    operator.kill()
    await applying
    await world.start_operator(**LIMITS_OFF)
    await _until_all_ready(world)
    await _check(world)


async def test_what_a_killed_operator_has_just_sent_counts_for_the_next_one(world: World) -> None:
    """The API counts by key, not by process: another 20 within the minute would shut the key out."""
    operator = await world.start_operator(**LIMITS_OFF)
    for number in range(20):
        world.secret(f"source-{number}", value=f"{CANARY}-{number}")
        world.method_secret(f"acme-{number}", source=f"source-{number}")
    for number in range(20):
        await world.until(ready(), f"acme-{number}")
    operator.kill()
    endpoint = Endpoint(world)
    await world.start_operator(**LIMITS_OFF | endpoint.settings | {"WRITES_PER_MINUTE": "20"})
    scanned = "methodsecret_inventory_last_scan_timestamp_seconds"
    found = await endpoint.until_scraped(lambda scrape: scrape.value(scanned) > 0)
    budget = {
        what: found.value(f"methodsecret_method_budget_{what}_requests", tier="writes")
        for what in ("limit", "available")
    }
    assert budget == {"limit": 20, "available": 0}
    assert await world.control.count("create") == 20
