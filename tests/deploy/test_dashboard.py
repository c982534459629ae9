"""The dashboard shows metrics that exist, by labels that they have, and is the file that its code makes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from dev import dashboard
from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.runtime.metrics import CATALOGUE
from tests.deploy.promql import problems

PANELS: Final[list[dict[str, Any]]] = dashboard.dashboard()["panels"]
EXPRESSIONS: Final = [
    (panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", ())
]


class Row(NamedTuple):
    """An expression, and what is wrong with it."""

    reason: str
    expr: str
    wrong: list[str]


TABLE = [
    Row("nothing", "sum by (reason) (methodsecret_findings_total)", []),
    Row("a metric that was renamed", "methodsecret_object", ["no metric methodsecret_object"]),
    Row("a counter without _total", "rate(methodsecret_findings[1m])", ["no metric methodsecret_findings"]),
    Row(
        "a label that it has not",
        'methodsecret_leader{reason="x"}',
        ["methodsecret_leader has no label reason"],
    ),
    Row("a group by no label of it", "sum by (tier) (methodsecret_leader)", ["no label tier to group by"]),
    Row(
        "a histogram as if it were a gauge",
        "methodsecret_queue_wait_seconds",
        ["no metric methodsecret_queue_wait_seconds"],
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_what_is_wrong_is_found(row: Row) -> None:
    assert problems(row.expr) == row.wrong


@pytest.mark.parametrize(("title", "expr"), EXPRESSIONS)
def test_every_expression_is_of_metrics_that_exist(title: str, expr: str) -> None:
    assert problems(expr) == [], title


def test_every_metric_is_shown_somewhere() -> None:
    shown = " ".join(expr for _, expr in EXPRESSIONS)
    assert [name for name in CATALOGUE if name not in shown] == []


def test_every_legend_is_a_label_of_its_expression() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"\b{label}\b", target["expr"]), (panel["title"], label)


def test_ready_means_what_it_means_in_the_code() -> None:
    ready = {reason.value for reason in Reason if reason.ready}
    named = [
        set(found.split("|"))
        for found in re.findall(r'reason[=!]~"([^"]+)"', dashboard.text().replace("\\", ""))
    ]
    assert named
    assert all(found == ready for found in named)


def test_the_file_is_what_the_code_makes() -> None:
    assert dashboard.FILE.read_text(encoding="utf-8") == dashboard.text(), "make docs"


def test_panels_neither_overlap_nor_leave_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in json.loads(dashboard.text())["panels"]}) == len(PANELS)


def test_prometheus_understands_every_expression(promtool: Path, tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expr.replace("$__rate_interval", "5m").replace("$namespace", ".*"),
        }
        for number, (_, expr) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)  # noqa: S603 - our own tool
    assert checked.returncode == 0, checked.stdout + checked.stderr
