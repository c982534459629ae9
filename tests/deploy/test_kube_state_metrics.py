"""kube-state-metrics' file names fields that the CRD has, and makes series of them that Prometheus takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CONFIG: Final = yaml.safe_load((ROOT / "deploy/kube-state-metrics/methodsecret.yaml").read_text("utf-8"))
CRD: Final = yaml.safe_load((ROOT / "crds/methodsecrets.methodfi.com.yaml").read_text("utf-8"))
(RESOURCE,) = CONFIG["spec"]["resources"]
SCHEMA: Final = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
METADATA: Final = {"namespace", "name", "generation", "deletionTimestamp"}


def found(path: list[str], schema: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema at a path, of the items where there is a list; None where there is no such field."""
    if path and path[0] == "metadata" and schema is SCHEMA:
        return {"type": "string"} if len(path) == 2 and path[1] in METADATA else None
    for name in path:
        if name not in schema.get("properties", {}):
            return None
        schema = schema["properties"][name]
    items: dict[str, Any] = schema.get("items", schema)
    return items


def paths(metric: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield every path of a metric with what is there."""
    kind = metric["each"]["type"]
    each = metric["each"][kind[0].lower() + kind[1:]]
    base = found(each.get("path", []), SCHEMA)
    yield f"{metric['name']}: {each.get('path')}", base
    for path in [*each.get("labelsFromPath", {}).values(), each.get("valueFrom", [])]:
        yield f"{metric['name']}: {path}", found(path, base or {})


def test_it_is_our_kind() -> None:
    kind = CRD["spec"]["names"]["kind"]
    assert RESOURCE["groupVersionKind"] == {"group": CRD["spec"]["group"], "version": "v1", "kind": kind}
    assert CONFIG["kind"] == "CustomResourceStateMetrics"


@pytest.mark.parametrize("metric", RESOURCE["metrics"], ids=lambda metric: metric["name"])
def test_every_path_is_a_field(metric: dict[str, Any]) -> None:
    assert [where for where, there in paths(metric) if there is None] == []
    assert metric["each"]["type"] in {"Gauge", "Info"}
    assert metric["help"].endswith(".")


def test_names_are_prometheus_names_and_labels_do_not_clash() -> None:
    common = set(RESOURCE["labelsFromPath"])
    for metric in RESOURCE["metrics"]:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric["name"])
        each = metric["each"].get("info") or metric["each"]["gauge"]
        assert not set(each.get("labelsFromPath", {})) & common
    assert len({metric["name"] for metric in RESOURCE["metrics"]}) == len(RESOURCE["metrics"])


def test_a_path_that_is_none_is_noticed() -> None:
    metric = {"name": "x", "each": {"type": "Gauge", "gauge": {"path": ["status", "nothing"]}}}
    assert next(there for _, there in paths(metric)) is None
