"""The real /metrics of an operator's process: every metric that is described, and what it says."""

from __future__ import annotations

import time

from methodsecret_operator.core.identity import MARKER_KEYS
from methodsecret_operator.runtime.metrics import CATALOGUE
from tests.integration.scrape import Endpoint
from tests.integration.world import World, not_ready, ready

OWNER, UID, REVISION = MARKER_KEYS


async def test_all_that_is_described_is_told_and_true(world: World) -> None:
    began = time.time()
    endpoint = Endpoint(world)
    await world.start_operator(RESYNC_SECONDS="1", **endpoint.settings)
    world.secret()
    world.method_secret()
    world.method_secret("waits", source="nowhere")
    world.method_secret("publishes", publish={"configMap": {"name": "published", "key": "id"}})
    stored = await world.until(ready())
    await world.until(not_ready("SourceNotFound"), "waits")
    await world.until(ready(), "publishes")
    (mark,) = [
        one["metadata"] for one in await world.control.secrets() if one["id"] == stored["status"]["id"]
    ]
    cluster = mark[OWNER].partition("/")[0]
    key = "sk_test_default"
    gone = {**mark, OWNER: f"{cluster}/{world.namespace}/gone", UID: "gone"}
    unknown_key = {**mark, OWNER: f"{cluster}/{world.namespace}/gone", REVISION: "1:00000000:00"}
    await world.control.seed(metadata=gone, api_key=key)
    await world.control.seed(2, metadata={**mark, OWNER: "elsewhere/a/b"}, api_key=key)
    await world.control.seed(metadata=unknown_key, api_key=key)
    await world.control.seed(4, metadata={"made": "by hand"}, api_key=key)

    owned = "methodsecret_inventory_secrets"
    found = await endpoint.until_scraped(lambda scrape: scrape.value(owned, owner="unmarked") == 4)

    ours = {name: kind for name, kind in found.families.items() if name.startswith("methodsecret_")}
    assert ours == {one.name: one.kind for one in CATALOGUE.values()}, "no more and no less than described"
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "python_info"} <= set(
        found.families
    )
    said = {owner: found.value(owned, owner=owner) for owner in ("own", "orphan", "foreign", "unmarked")}
    assert said == {"own": 2, "orphan": 1, "foreign": 3, "unmarked": 4}
    objects = {
        reason: found.value("methodsecret_objects", namespace=world.namespace, reason=reason)
        for reason in ("Synced", "SourceNotFound", "Unseen")
    }
    assert objects == {"Synced": 2, "SourceNotFound": 1, "Unseen": 0}
    assert found.value("methodsecret_method_requests_total", operation="create", status="200") == 2
    assert found.value("methodsecret_method_request_duration_seconds_count", operation="create") == 2
    assert found.value("methodsecret_findings_total", reason="SourceNotFound") >= 1
    assert found.value("methodsecret_reconciles_total", result="defect") == 0
    looks = found.value("methodsecret_reconciles_total", result="done")
    assert looks == found.value("methodsecret_reconcile_duration_seconds_count") >= 3
    assert found.value("methodsecret_queue_wait_seconds_count") >= looks
    assert found.value("methodsecret_method_budget_limit_requests", tier="writes") == 1800
    assert 0 < found.value("methodsecret_method_budget_available_requests", tier="reads") <= 0.95 * 6000
    assert found.value("methodsecret_method_budget_wait_seconds_count", tier="writes") == 2
    assert found.value("methodsecret_method_accounts") == 1
    assert found.value("methodsecret_leader") == found.value("methodsecret_ready") == 1
    for name in ("last_resync", "inventory_last_scan"):
        assert began <= found.value(f"methodsecret_{name}_timestamp_seconds") <= time.time()
    for resource in ("methodsecrets", "secrets", "configmaps"):
        assert 0 <= found.value("methodsecret_watch_age_seconds", resource=resource) < 120

    for name in ("acme", "waits", "publishes"):
        world.delete(name)
        await world.until_gone(name)
    found = await endpoint.until_scraped(lambda scrape: "methodsecret_objects{" not in scrape.text)
    names = {"acme", "waits", "publishes", "published", "source", stored["status"]["id"]}
    labels = {text for _, labels in found.samples for _, text in labels}
    assert labels.isdisjoint(names), "no names of objects, no ids"
