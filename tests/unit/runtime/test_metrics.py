"""What every metric must be by Prometheus' conventions, and what those that tell how things stand say.

The rules are those of `promtool check metrics` and of Prometheus' pages on naming and on writing exporters.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry
from pydantic import SecretStr

from methodsecret_operator import __version__
from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.method.accounts import Accounts
from methodsecret_operator.runtime import metrics
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.metrics import CATALOGUE, Described
from methodsecret_operator.runtime.state_metrics import StateMetrics
from methodsecret_operator.runtime.workqueue import LoopTimer, WorkQueue
from tests.unit import gen

UNITS: Final = ("_seconds", "_requests", "_info", "_total", "_depth", "_delayed", "_in_flight")
WITHOUT_UNIT: Final = {
    "methodsecret_objects",
    "methodsecret_leader",
    "methodsecret_ready",
    "methodsecret_inventory_secrets",
    "methodsecret_method_accounts",
    "methodsecret_method_accounts_list_refused",
    "methodsecret_method_accounts_changed",
}
"""Counts of things, and what is 0 or 1: their name is their unit."""

DERIVED: Final = ("_count", "_sum", "_bucket", "_created")
FORBIDDEN_LABELS: Final = {"le", "quantile", "name", "id", "uid", "secret", "key", "job", "instance", "pod"}


@pytest.mark.parametrize("one", CATALOGUE.values(), ids=lambda one: one.name)
def test_every_metric_keeps_the_conventions(one: Described) -> None:
    assert re.fullmatch(r"methodsecret_[a-z]+(_[a-z]+)*", one.name)
    assert (one.kind == "counter") is one.name.endswith("_total"), "counters, and only they, end in _total"
    assert one.name in WITHOUT_UNIT or one.name.endswith(UNITS), "base units: seconds, not milliseconds"
    assert not one.name.endswith(DERIVED), "these are made by histograms"
    assert not re.search(r"_(gauge|counter|histogram|metric)", one.name), "no type in a name"
    assert one.kind != "histogram" or one.name.endswith("_seconds")
    assert "timestamp" not in one.name or one.name.endswith("_timestamp_seconds")
    assert one.help.endswith(".")
    assert set(one.labels).isdisjoint(FORBIDDEN_LABELS), "no objects' names; no label that Prometheus sets"
    assert all(re.fullmatch(r"[a-z]+", label) and label not in one.name.split("_") for label in one.labels)


def test_what_is_counted_is_registered_as_described() -> None:
    ours = {one.name: one for one in REGISTRY.collect() if one.name.startswith("methodsecret_")}
    for one in CATALOGUE.values():
        if one.kind != "gauge":
            family = ours[one.name.removesuffix("_total")]
            assert (family.type, family.documentation) == (one.kind, one.help)


# --- objects by reason ------------------------------------------------------------------------------


def status(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Stalled", "reason": "X"}, {"type": "Ready", "reason": reason}]}


def raw(version: int, **what: Any) -> dict[str, Any]:  # noqa: ANN401 - what a factory takes
    return gen.raw_object(version=version, **what)


class Change(NamedTuple):
    """What happens to the cache, and how many objects there are then by reason."""

    reason: str
    what: list[tuple[str, dict[str, Any]]]
    counts: dict[str, int]


SEEN: Final = ("observe", raw(100, status=status("Synced")))
CHANGES = [
    Change("none at first", [], {}),
    Change("one without a condition", [("observe", raw(100))], {"Unseen": 1}),
    Change("one with a condition", [SEEN], {"Synced": 1}),
    Change("seen twice", [SEEN, SEEN], {"Synced": 1}),
    Change("by our own write", [SEEN, ("take", raw(101, status=status("Pending")))], {"Pending": 1}),
    Change("by somebody else's", [SEEN, ("observe", raw(101, status=status("Pending")))], {"Pending": 1}),
    Change("a reason that somebody has made up", [("observe", raw(1, status=status("x")))], {"Unknown": 1}),
    Change("two of them", [SEEN, ("observe", raw(5, name="b", status=status("Synced")))], {"Synced": 2}),
    Change("deleted", [SEEN, ("forget", raw(101, status=status("Synced")))], {}),
    Change("an event that is too old", [SEEN, ("observe", raw(99, status=status("Pending")))], {"Synced": 1}),
    Change(
        "created anew",
        [SEEN, ("observe", raw(102, uid="ffffffff-1111-4222-8333-944444444444"))],
        {"Unseen": 1},
    ),
]


@pytest.mark.parametrize("row", CHANGES, ids=lambda row: row.reason)
def test_objects_are_counted_as_they_change(row: Change) -> None:
    cache = ObjectCache(wake=lambda _: None)
    for method, raw in row.what:
        getattr(cache, method)(raw)
    assert dict(cache.counts()) == {(gen.NAMESPACE, reason): count for reason, count in row.counts.items()}


def test_every_reason_is_told_by_its_name() -> None:
    cache = ObjectCache(wake=lambda _: None)
    for number, reason in enumerate(Reason, start=1):
        cache.observe(gen.raw_object(name=f"o{number}", status=status(reason.value)))
    assert dict(cache.counts()) == {(gen.NAMESPACE, reason.value): 1 for reason in Reason}
    for number in range(1, len(Reason) + 1):
        cache.drop(f"{gen.NAMESPACE}/o{number}", uid=gen.UID)
    assert cache.counts() == {}, "what is over leaves no series behind"


# --- how things stand -------------------------------------------------------------------------------


@pytest.fixture
async def registry() -> AsyncIterator[CollectorRegistry]:
    cache = ObjectCache(wake=lambda _: None)
    cache.observe(gen.raw_object(status=status("Synced")))
    queue = WorkQueue(timer=LoopTimer(), rng=random.Random(1), base_seconds=1000, max_seconds=9000)  # noqa: S311 - jitter
    queue.add("a/b")
    queue.add("a/c")
    await queue.get()
    queue.add_after("a/d", 1000)
    accounts = Accounts(writes_per_minute=40, reads_per_minute=80)
    found = CollectorRegistry()
    found.register(
        StateMetrics(
            queue=queue,
            cache=cache,
            accounts=accounts,
            drift=cast("Any", SimpleNamespace(owned={"own": 3, "orphan": 1})),
            resync=cast("Any", SimpleNamespace(completed_at=gen.NOW)),
            watches={"secrets": lambda: 4.5, "configmaps": lambda: None},
            leading=lambda: True,
            ready=lambda: False,
        )
    )
    await accounts.account(base_url="https://dev.methodfi.com", api_key=SecretStr("sk_1"))
    yield found
    await accounts.aclose()
    queue.close()


class Value(NamedTuple):
    """A gauge with labels, and what it says of the parts above."""

    described: Described
    labels: dict[str, str]
    value: float | None


VALUES = [
    Value(metrics.OBJECTS, {"namespace": gen.NAMESPACE, "reason": "Synced"}, 1),
    Value(metrics.QUEUE_DEPTH, {}, 1),
    Value(metrics.QUEUE_DELAYED, {}, 1),
    Value(metrics.QUEUE_IN_FLIGHT, {}, 1),
    Value(metrics.BUDGET_LIMIT, {"tier": "writes"}, 40),
    Value(metrics.BUDGET_LIMIT, {"tier": "reads"}, 80),
    Value(metrics.BUDGET_AVAILABLE, {"tier": "writes"}, 1),  # 2.5 % at once, in the first minute
    Value(metrics.BUDGET_AVAILABLE, {"tier": "reads"}, 2),
    Value(metrics.BUDGET_WAITING, {"tier": "writes"}, 0),
    Value(metrics.ACCOUNTS, {}, 1),
    Value(metrics.ACCOUNTS_REFUSED, {}, 0),
    Value(metrics.ACCOUNTS_CHANGED, {}, 0),
    Value(metrics.INVENTORY, {"owner": "own"}, 3),
    Value(metrics.INVENTORY, {"owner": "orphan"}, 1),
    Value(metrics.INVENTORY_SCANNED, {}, 0),
    Value(metrics.LEADER, {}, 1),
    Value(metrics.READY, {}, 0),
    Value(metrics.RESYNCED, {}, gen.NOW.timestamp()),
    Value(metrics.WATCH_AGE, {"resource": "secrets"}, 4.5),
    Value(metrics.WATCH_AGE, {"resource": "configmaps"}, None),  # it is not followed
    Value(metrics.BUILD, {"version": __version__}, 1),
]


@pytest.mark.parametrize("row", VALUES, ids=lambda row: f"{row.described.name} {row.labels}")
async def test_what_stands_is_told(registry: CollectorRegistry, row: Value) -> None:
    assert registry.get_sample_value(row.described.name, row.labels) == row.value


async def test_every_gauge_is_yielded_as_described(registry: CollectorRegistry) -> None:
    gauges = {one.name: one.help for one in CATALOGUE.values() if one.kind == "gauge"}
    assert {family.name: family.documentation for family in registry.collect()} == gauges


def test_the_text_is_what_prometheus_parses() -> None:
    metrics.method_request("create", "200", 0.2)
    families = {one.name for one in text_string_to_metric_families(generate_latest().decode())}
    assert "methodsecret_method_requests" in families
