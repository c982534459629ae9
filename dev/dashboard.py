"""Makes deploy/chart/files/dashboard.json, the Grafana dashboard; run by `make docs`.

From code, because a dashboard's JSON is ten lines of which one matters. Panels are in rows, top to bottom in
the order in which somebody who was woken at night asks. tests/deploy/test_dashboard.py holds every expression
to the metrics that the operator describes, and the file to this code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).resolve().parents[1] / "deploy" / "chart" / "files" / "dashboard.json"

_WIDTH: Final = 24
_RATE: Final = "$__rate_interval"
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

_BY_REASON: Final = "max by (namespace, reason) (methodsecret_objects{%s})"  # every replica tells them alike
_OURS: Final = "methodsecret_leader"  # of the same process: that makes it one of ours
_OBJECTS: Final = _BY_REASON % 'namespace=~"$namespace"'
_OBJECTS_READY: Final = _BY_REASON % 'namespace=~"$namespace", reason=~"Synced|Adopted"'
_OBJECTS_NOT_READY: Final = _BY_REASON % 'namespace=~"$namespace", reason!~"Synced|Adopted"'


class Panel(NamedTuple):
    """A panel: its title, what it says, and its expressions with their legends."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    stacked: bool = False


def _quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple(
        (f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket[{_RATE}])))", f"p{q[2:]}{legend}")
        for q in ("0.50", "0.99")
    )


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Is all well?",
        (
            Panel(
                "Objects",
                "MethodSecrets in all namespaces.",
                ((f"sum({_OBJECTS})", ""),),
                kind="stat",
            ),
            Panel(
                "Ready",
                "The share of MethodSecrets whose id holds the present value, or was taken over.",
                ((f"sum({_OBJECTS_READY}) / sum({_OBJECTS})", ""),),
                unit="percentunit",
                kind="stat",
            ),
            Panel(
                "Leaders", "Replicas that work: 1 is right.", (("sum(methodsecret_leader)", ""),), kind="stat"
            ),
            Panel(
                "Oldest due object",
                "How long the object that waits longest for a worker has been due.",
                (("max(methodsecret_queue_oldest_wait_seconds and methodsecret_leader == 1)", ""),),
                unit="s",
                kind="stat",
            ),
            Panel(
                "Last resync",
                "How long ago all objects were last listed.",
                (("time() - max(methodsecret_last_resync_timestamp_seconds)", ""),),
                unit="s",
                kind="stat",
            ),
            Panel(
                "Version",
                "What runs.",
                (("count by (version) (methodsecret_build_info)", "{{version}}"),),
                kind="stat",
            ),
        ),
    ),
    (
        "Objects",
        (
            Panel(
                "By reason",
                "MethodSecrets by the reason of their condition Ready.",
                ((f"sum by (reason) ({_OBJECTS})", "{{reason}}"),),
                stacked=True,
            ),
            Panel(
                "Not Ready, by namespace",
                "Where somebody waits.",
                ((f"sum by (namespace) ({_OBJECTS_NOT_READY})", "{{namespace}}"),),
                stacked=True,
            ),
            Panel(
                "Findings",
                "What looks at objects came to.",
                ((f"sum by (reason) (rate(methodsecret_findings_total[{_RATE}]))", "{{reason}}"),),
                unit="ops",
            ),
        ),
    ),
    (
        "Work",
        (
            Panel(
                "Looks at objects",
                "By how they ended; a defect is a mistake in the operator.",
                ((f"sum by (result) (rate(methodsecret_reconciles_total[{_RATE}]))", "{{result}}"),),
                unit="ops",
            ),
            Panel(
                "How long a look takes",
                "From taking an object up to giving it back.",
                _quantiles("methodsecret_reconcile_duration_seconds"),
                unit="s",
            ),
            Panel(
                "Queue",
                "Objects that are due, in hand, and waiting for their time; retries.",
                (
                    ("sum(methodsecret_queue_depth and methodsecret_leader == 1)", "due"),
                    ("sum(methodsecret_queue_in_flight)", "in hand"),
                    ("sum(methodsecret_queue_delayed)", "later"),
                    (f"sum(rate(methodsecret_queue_retries_total[{_RATE}]))", "retries per second"),
                ),
            ),
            Panel(
                "Wait for a worker",
                "How long objects were due before they were taken up.",
                _quantiles("methodsecret_queue_wait_seconds"),
                unit="s",
            ),
        ),
    ),
    (
        "Method",
        (
            Panel(
                "Requests",
                "By operation and what came back.",
                (
                    (
                        f"sum by (operation, status) (rate(methodsecret_method_requests_total[{_RATE}]))",
                        "{{operation}} {{status}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "How long a request takes",
                "Without the wait for the budget.",
                _quantiles("methodsecret_method_request_duration_seconds", "operation"),
                unit="s",
            ),
            Panel(
                "Budget left",
                "Requests that can be sent right now with the API key that has the fewest left; its limit.",
                (
                    ("min by (tier) (methodsecret_method_budget_available_requests)", "{{tier}} left"),
                    ("max by (tier) (methodsecret_method_budget_limit_requests)", "{{tier}} limit"),
                ),
            ),
            Panel(
                "Wait for the budget",
                "Requests that wait, and how long they did.",
                (
                    ("sum by (tier) (methodsecret_method_budget_waiting_requests)", "{{tier}} waiting"),
                    *_quantiles("methodsecret_method_budget_wait_seconds", "tier"),
                ),
            ),
            Panel(
                "Secrets at Method",
                "By whose they are, as of the last resync. With Retain a deleted object leaves an orphan.",
                (("max by (owner) (methodsecret_inventory_secrets)", "{{owner}}"),),
                stacked=True,
            ),
            Panel(
                "Accounts",
                "API keys in use, those that may not list, those whose account seems to be another.",
                (
                    ("max(methodsecret_method_accounts)", "in use"),
                    ("max(methodsecret_method_accounts_list_refused)", "listing refused"),
                    ("max(methodsecret_method_accounts_changed)", "another account"),
                    (
                        "(time() - min(methodsecret_inventory_last_scan_timestamp_seconds)) / 3600",
                        "hours since the oldest list",
                    ),
                    ("sum(increase(methodsecret_abandoned_secrets_total[1h]))", "abandoned in an hour"),
                ),
            ),
        ),
    ),
    (
        "Process",
        (
            Panel(
                "Silence of the watches",
                "Seconds since the kube-apiserver was heard of; about a minute is usual.",
                (("max by (resource) (methodsecret_watch_age_seconds)", "{{resource}}"),),
                unit="s",
            ),
            Panel(
                "Memory",
                "Resident.",
                ((f"process_resident_memory_bytes and on (pod, instance) {_OURS}", "{{pod}}"),),
                unit="bytes",
            ),
            Panel(
                "CPU",
                "Cores in use.",
                (
                    (
                        f"rate(process_cpu_seconds_total[{_RATE}]) and on (pod, instance) {_OURS}",
                        "{{pod}}",
                    ),
                ),
            ),
            Panel(
                "Replicas",
                "Ready, and working.",
                (("sum(methodsecret_ready)", "ready"), ("sum(methodsecret_leader)", "working")),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana takes it (its JSON model, schema version 39)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": _WIDTH, "x": 0, "y": y},
            }
        )
        y += 1
        height = 4 if row[0].kind == "stat" else 8
        per_line = len(row) if row[0].kind == "stat" else 3 if len(row) in (3, 6) else 2
        width = _WIDTH // per_line
        for number, panel in enumerate(row):
            place = {
                "h": height,
                "w": width,
                "x": number % per_line * width,
                "y": y + number // per_line * height,
            }
            panels.append(_panel(panel, number=len(panels) + 1, place=place))
        y += -(-len(row) // per_line) * height
    return {
        "uid": "methodsecret-operator",
        "title": "MethodSecret operator",
        "description": "Values of Kubernetes Secrets kept stored at Method.",
        "tags": ["kubernetes", "methodsecret"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": panels,
    }


def _panel(panel: Panel, *, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none"}
    if panel.kind == "timeseries":
        custom = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
        custom["stacking"] = {"mode": "normal" if panel.stacked else "none"}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    elif panel.title == "Version":
        options["textMode"] = "name"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
            }
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }


def _namespace() -> dict[str, Any]:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(methodsecret_objects, namespace)", "refId": "namespace"},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
