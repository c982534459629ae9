"""Events about a MethodSecret."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from methodsecret_operator.kube.events import MAX_MESSAGE, build_event

ARGUMENTS: dict[str, Any] = {
    "namespace": "payments",
    "name": "acme",
    "uid": "1",
    "resource_version": "7",
    "type": "Normal",
    "reason": "Synced",
    "message": "Stored at Method as sec_1",
    "now": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    "instance": "pod-1",
}


def test_an_event() -> None:
    event = build_event(**ARGUMENTS)
    assert re.fullmatch(r"acme\.[0-9a-f]{16}", event["metadata"].pop("name"))
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "payments"},
        "involvedObject": {
            "apiVersion": "methodfi.com/v1",
            "kind": "MethodSecret",
            "namespace": "payments",
            "name": "acme",
            "uid": "1",
            "resourceVersion": "7",
        },
        "type": "Normal",
        "reason": "Synced",
        "message": "Stored at Method as sec_1",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
        "source": {"component": "methodsecret-operator"},
        "reportingComponent": "methodsecret-operator",
        "reportingInstance": "pod-1",
    }


def test_the_same_event_has_the_same_name_and_another_has_another() -> None:
    first = build_event(**ARGUMENTS)
    assert build_event(**ARGUMENTS) == first
    for change in (
        {"uid": "2"},
        {"reason": "Adopted"},
        {"message": "m"},
        {"now": datetime(2027, 1, 1, tzinfo=UTC)},
    ):
        assert build_event(**ARGUMENTS | change)["metadata"]["name"] != first["metadata"]["name"], change


@pytest.mark.parametrize("name", ["a" * 253, "a" * 235 + "." + "b" * 17, "a" * 234 + "-." + "b" * 17])
def test_a_long_name_is_cut_to_a_valid_one(name: str) -> None:
    cut = build_event(**ARGUMENTS | {"name": name})["metadata"]["name"]
    assert len(cut) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", cut)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("x" * MAX_MESSAGE, "x" * MAX_MESSAGE),
        ("x" * (MAX_MESSAGE + 1), "x" * (MAX_MESSAGE - 3) + "…"),
        ("é" * 600, "é" * 510 + "…"),
    ],
)
def test_a_long_message_is_cut_between_characters(message: str, expected: str) -> None:
    cut = build_event(**ARGUMENTS | {"message": message})["message"]
    assert cut == expected
    assert len(cut.encode()) <= MAX_MESSAGE
