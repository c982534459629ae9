"""Writes requests down so that people can review them, and two runs give the same text.

Kept are the requests to Method and the writes to the kube-apiserver, in their order; Events, which are posted
in their own time, stand at the end. Whatever differs from run to run gets a name by the order in which it
first appears: `<id 1>`, `<uid 2>`. Secret values and API keys are named, never written.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from tests.faults.proxy import Recorded
from tests.integration.canary import CANARY

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KINDS: Final = {
    "revision": re.compile(r"\b1:[0-9a-f]{8}:[0-9a-f]{32}\b"),
    "id": re.compile(r"\bsec_[A-Za-z0-9]+\b"),
    "uid": re.compile(rf"\b{_UUID}\b"),
    "time": re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"),
    "namespace": re.compile(r"\bfaults-[0-9a-f]{8}\b"),
}
_NOT_NUMBERED: Final = frozenset({"time", "namespace"})
_PLAIN_NAMES: Final = {
    "resourceVersion": "<version>",
    "reportingInstance": "<instance>",
    "holderIdentity": "<instance>",
}


class _Names:
    """Gives what varies its name."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}

    def plain(self, text: str) -> str:
        for number in ("-2", ""):
            text = text.replace(f"{CANARY}{number}", f"<value{number}>")
        for kind, pattern in _KINDS.items():
            text = pattern.sub(lambda found, kind=kind: self._name(kind, found[0]), text)  # type: ignore[misc]  # the default binds the loop's variable
        return text

    def _name(self, kind: str, text: str) -> str:
        if kind in _NOT_NUMBERED:
            return f"<{kind}>"
        names = self._seen.setdefault(kind, {})
        return names.setdefault(text, f"<{kind} {len(names) + 1}>")

    def body(self, value: Any, name: str = "") -> Any:  # noqa: ANN401 - any JSON
        if name in _PLAIN_NAMES:
            return _PLAIN_NAMES[name]
        if isinstance(value, dict):
            return {key: self.body(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.body(item) for item in value]
        return self.plain(value) if isinstance(value, str) else value


def written_down(records: Iterable[Recorded]) -> str:
    """Return the requests as text."""
    names = _Names()
    requests: list[Recorded] = []
    events: list[Recorded] = []
    for record in records:
        if record.end == "kube" and record.method == "GET":
            continue
        (events if record.label == "POST events" else requests).append(record)
    return "\n".join(_one(record, names) for record in [*requests, *events])


def _one(record: Recorded, names: _Names) -> str:
    asked = f"{record.path}?{record.query}" if record.query else record.path
    lines = [f"{record.end}: {record.method} {names.plain(asked)} -> {record.status}"]
    if record.end == "method":
        lines.append(f"API key: <{record.api_key}>")
    if record.content_type is not None:
        lines.append(f"Content-Type: {record.content_type}")
    if record.idempotency_key is not None:
        lines.append(f"Idempotency-Key: {names.plain(record.idempotency_key)}")
    if record.body:
        document = json.loads(record.body)
        if record.label == "POST events":
            document["metadata"]["name"] = "<name>"
        elif record.label == "POST secrets":
            document["data"] = {
                key: f"<{len(base64.b64decode(text))} bytes>" for key, text in document["data"].items()
            }
        lines.append(json.dumps(names.body(document), indent=2, sort_keys=True))
    return "\n".join(lines) + "\n"
