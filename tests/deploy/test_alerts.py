"""Every alert fires on what it is for, and on nothing else; each has its section in the runbook.

promtool, Prometheus' own, plays the series to the rules. Series are per minute, in its notation: `0x30` is
a 0 and thirty more, `0+60x30` grows by 60 a minute.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from methodsecret_operator.core.conditions import Reason
from tests.deploy.promql import problems

ROOT: Final = Path(__file__).resolve().parents[2]
FILE: Final = ROOT / "deploy" / "chart" / "files" / "alerts.yaml"
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
NAMES: Final = [rule["alert"] for rule in RULES]

Series = dict[str, str]
HEALTHY: Final[Series] = {
    'methodsecret_build_info{pod="a", version="1"}': "1x150",
    'methodsecret_build_info{pod="b", version="1"}': "1x150",
    'methodsecret_leader{pod="a"}': "1x150",
    'methodsecret_leader{pod="b"}': "0x150",
    'methodsecret_watch_age_seconds{pod="a", resource="secrets"}': "30x150",
    'methodsecret_watch_age_seconds{pod="b", resource="methodsecrets"}': "59x150",
    'methodsecret_last_resync_timestamp_seconds{pod="a"}': "0+60x150",
    'methodsecret_last_resync_timestamp_seconds{pod="b"}': "0x150",  # a standby makes none
    'methodsecret_inventory_last_scan_timestamp_seconds{pod="a"}': "0+60x150",
    'methodsecret_queue_oldest_wait_seconds{pod="a"}': "1x150",
    'methodsecret_queue_oldest_wait_seconds{pod="b"}': "0+60x150",  # a standby takes nothing up
    'methodsecret_reconciles_total{pod="a", result="done"}': "0+60x150",
    'methodsecret_reconciles_total{pod="a", result="error"}': "0+1x150",
    'methodsecret_reconciles_total{pod="a", result="defect"}': "0x150",
    'methodsecret_objects{pod="a", namespace="payments", reason="Synced"}': "9x150",
    'methodsecret_objects{pod="b", namespace="payments", reason="Adopted"}': "1x150",
    'methodsecret_method_requests_total{pod="a", operation="create", status="200"}': "0+60x150",
    'methodsecret_method_requests_total{pod="a", operation="create", status="503"}': "0+1x150",
    'methodsecret_method_requests_total{pod="a", operation="create", status="429"}': "0x150",
    'methodsecret_method_requests_total{pod="a", operation="retrieve", status="404"}': "0+60x150",
    'methodsecret_method_budget_waiting_requests{pod="a", tier="writes"}': "9x10 0x140",
    'methodsecret_method_accounts_list_refused{pod="a"}': "0x150",
    'methodsecret_method_accounts_changed{pod="a"}': "0x150",
    'methodsecret_inventory_secrets{pod="a", owner="orphan"}': "5x150",  # Retain leaves them
    'methodsecret_abandoned_secrets_total{pod="a"}': "3x150",  # long ago
}
"""A leader, a standby, and the small troubles of a good day, for two hours and a half."""


class Row(NamedTuple):
    """What is otherwise than on a good day, and the alert that it raises at that minute, with its labels."""

    reason: str
    series: Series
    alert: str
    minute: int
    labels: tuple[dict[str, str], ...] = ({},)
    quiet_at: int = 0


def objects(reason: str, values: str) -> Series:
    labels = f'namespace="payments", reason="{reason}"'
    return {f'methodsecret_objects{{pod="{pod}", {labels}}}': values for pod in "ab"}


def of(reason: str) -> tuple[dict[str, str], ...]:
    return ({"namespace": "payments", "reason": reason},)


LEADER: Final = ({"pod": "a"},)
TABLE = [
    Row(
        "nobody is scraped",
        dict.fromkeys(HEALTHY, "1x5 stale"),
        "MethodSecretOperatorAbsent",
        30,
        quiet_at=10,
    ),
    Row(
        "both stand by", {'methodsecret_leader{pod="a"}': "1x5 0x50"}, "MethodSecretNoLeader", 15, quiet_at=9
    ),
    Row(
        "a watch falls silent",
        {'methodsecret_watch_age_seconds{pod="a", resource="secrets"}': "0+60x60"},
        "MethodSecretWatchSilent",
        20,
        ({"resource": "secrets"},),
        quiet_at=9,
    ),
    Row(
        "no list succeeds any more",
        {'methodsecret_last_resync_timestamp_seconds{pod="a"}': "0x150"},
        "MethodSecretResyncOverdue",
        80,
        LEADER,
        quiet_at=60,
    ),
    Row(
        "the leader takes nothing up",
        {'methodsecret_queue_oldest_wait_seconds{pod="a"}': "0+60x60"},
        "MethodSecretQueueStuck",
        30,
        LEADER,
        quiet_at=15,
    ),
    Row(
        "the kube-apiserver refuses",
        {'methodsecret_reconciles_total{pod="a", result="error"}': "0+90x60"},
        "MethodSecretReconcileErrors",
        30,
        quiet_at=10,
    ),
    Row(
        "the first defect ever",
        {'methodsecret_reconciles_total{pod="a", result="defect"}': "0x10 1x100"},
        "MethodSecretDefect",
        12,
        quiet_at=60,
    ),
    *(
        Row(
            f"{reason} is for a person",
            objects(reason, "1x60"),
            "MethodSecretStalled",
            30,
            of(reason),
            quiet_at=10,
        )
        for reason in ("Rejected", "RemoteDeleted")
    ),
    *(
        Row(
            f"{reason} concerns the account",
            objects(reason, "1x60"),
            "MethodSecretAccountUnusable",
            10,
            of(reason),
        )
        for reason in ("Unauthorized", "AccountChanged", "DigestKeyLost")
    ),
    *(
        Row(f"{reason} lasts", objects(reason, "1x90"), "MethodSecretWaiting", 70, of(reason), quiet_at=50)
        for reason in ("SourceNotFound", "Unseen")
    ),
    *(
        Row(
            f"Method answers {status}",
            {f'methodsecret_method_requests_total{{pod="a", status="{status}"}}': "0+60x60"},
            "MethodSecretMethodFailing",
            30,
            quiet_at=10,
        )
        for status in ("503", "timeout", "connection")
    ),
    Row(
        "the first 429 ever",
        {'methodsecret_method_requests_total{pod="a", operation="create", status="429"}': "0x10 1x100"},
        "MethodSecretRateLimited",
        12,
        quiet_at=60,
    ),
    Row(
        "the budget does not do",
        {'methodsecret_method_budget_waiting_requests{pod="a", tier="writes"}': "9x100"},
        "MethodSecretBudgetExhausted",
        40,
        ({"tier": "writes"},),
        quiet_at=20,
    ),
    Row(
        "a key may not list",
        {'methodsecret_method_accounts_list_refused{pod="a"}': "1x60"},
        "MethodSecretListRefused",
        40,
        quiet_at=20,
    ),
    Row(
        "another account",
        {'methodsecret_method_accounts_changed{pod="a"}': "1x60"},
        "MethodSecretAccountChanged",
        10,
        quiet_at=2,
    ),
    Row(
        "an account is not listed any more",
        {'methodsecret_inventory_last_scan_timestamp_seconds{pod="a"}': "0x150"},
        "MethodSecretInventoryOld",
        140,
        LEADER,
        quiet_at=120,
    ),
    Row(
        "a deletion was given up",
        {'methodsecret_abandoned_secrets_total{pod="a"}': "0x10 2x140"},
        "MethodSecretAbandoned",
        12,
        quiet_at=90,
    ),
]


def played(row: Row) -> dict[str, Any]:
    """Return the row as promtool takes it: this alert and no other fires, and not at the quiet minute."""
    rule = next(rule for rule in RULES if rule["alert"] == row.alert)

    def fires(labels: dict[str, str]) -> dict[str, Any]:
        said = {
            name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
            for name, text in rule["annotations"].items()
        }
        return {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": said}

    expected = [fires(labels) for labels in row.labels]
    return {
        "name": f"{row.alert}: {row.reason}",
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values} for name, values in (HEALTHY | row.series).items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{row.minute}m", "alertname": row.alert, "exp_alerts": expected},
            *(
                {"eval_time": f"{row.minute}m", "alertname": name, "exp_alerts": []}
                for name in NAMES
                if name != row.alert
            ),
            {"eval_time": f"{row.quiet_at}m", "alertname": row.alert, "exp_alerts": []},
        ],
    }


def good_day() -> dict[str, Any]:
    return {
        "name": "a good day",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in HEALTHY.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []}
            for name in NAMES
            for minute in (0, 30, 75, 145)
        ],
    }


def test_each_fires_on_what_it_is_for_and_none_on_a_good_day(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "tests.yaml"
    tests = [good_day(), *map(played, TABLE)]
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": tests}))
    run = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)  # noqa: S603 - our own tool
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_takes_the_file_as_it_is(promtool: Path) -> None:
    check = [str(promtool), "check", "rules", "--lint=all", "--lint-fatal", str(FILE)]
    run = subprocess.run(check, capture_output=True, text=True, check=False)  # noqa: S603 - our own tool
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_is_played() -> None:
    assert {row.alert for row in TABLE} == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_is_of_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert problems(rule["expr"]) == []
    assert rule["labels"]["severity"] in {"critical", "warning"}
    anchor = rule["alert"].lower()
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{anchor}"
    assert {"summary", "description"} < set(rule["annotations"])


def test_every_reason_has_its_alert_and_only_one() -> None:
    named: dict[str, list[str]] = {}
    for rule in RULES:
        for found in re.findall(r'reason=~"([^"]+)"', rule["expr"]):
            for reason in found.split("|"):
                named.setdefault(reason, []).append(rule["alert"])
    assert set(named) == {reason.value for reason in Reason if not reason.ready} | {"Unseen", "Unknown"}
    assert all(len(alerts) == 1 for alerts in named.values())
    for reason in Reason:
        if not reason.ready:
            waits = named[reason.value] == ["MethodSecretWaiting"]
            assert waits is not reason.stalled, reason


def test_every_alert_has_its_section_in_the_runbook() -> None:
    sections = re.split(r"^## (\w+)\n", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(found) == NAMES, "one section for each alert, in the order of the file"
    for name, text in found.items():
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in text, f"{name} lacks {part}"
