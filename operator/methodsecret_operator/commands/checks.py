"""What `doctor` makes of what it saw: a line each, with what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

from methodsecret_operator.commands.permissions import Need
from methodsecret_operator.core.resource import SELECTED, MethodSecret
from methodsecret_operator.kube.lease import Lease

SKEW_SECONDS: Final = 5.0
"""How far two clocks may be apart: DELETION_TIMEOUT_SECONDS and times in statuses are read by both."""


_SHOWN: Final = 5


class Level(StrEnum):
    """How a check came out. ADVICE leaves the exit code as it is."""

    OK = "ok"
    ADVICE = "advice"
    TODO = "todo"


@dataclass(frozen=True, slots=True)
class Line:
    """One check: what was looked at, how it came out, what was found, and what to do about it."""

    check: str
    level: Level
    found: str
    todo: str = ""


def schema(served: Mapping[str, Any]) -> Line:
    """Judge the served CRD by the fields that this operator reads, writes and selects objects by."""
    wanted = MethodSecret.model_json_schema(by_alias=True)
    missing = [
        path
        for part in ("spec", "status")
        for path in _missing(_property(served, part) or {}, wanted["properties"][part], wanted, part)
    ]
    if not missing:
        return _selectable(served)
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    shown = ", ".join(missing[:_SHOWN]) + more
    return Line(
        "CRD", Level.TODO, f"is older than the operator: without {shown}", "apply crds/ of this version"
    )


def _selectable(served: Mapping[str, Any]) -> Line:
    """Judge it by the fields that a list can be narrowed down to: without them such a list is a 400."""
    declared = served.get("x-kubernetes-selectable-fields") or ()
    known = {field.get("fieldPath") for field in declared if isinstance(field, dict)}
    missing = [path for path in SELECTED if path not in known]
    if not missing:
        return Line("CRD", Level.OK, "has every field that this version uses")
    found = f"does not let objects be selected by {', '.join(missing)}"
    todo = "apply crds/ of this version, on Kubernetes 1.31 or newer: adoption and orphans --delete need it"
    return Line("CRD", Level.TODO, found, todo)


def _missing(
    served: Mapping[str, Any], wanted: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[str]:
    """Yield the paths of fields that a served schema does not declare."""
    for part in (wanted, *wanted.get("anyOf", ()), *wanted.get("allOf", ())):
        if "$ref" in part:
            yield from _missing(served, root["$defs"][part["$ref"].rpartition("/")[2]], root, path)
        elif part is not wanted:
            yield from _missing(served, part, root, path)
    if "items" in wanted:
        yield from _missing(served.get("items", {}), wanted["items"], root, path)
    for name, field in wanted.get("properties", {}).items():
        declared = _property(served, name)
        if declared is None:
            yield f"{path}.{name}"
        else:
            yield from _missing(declared, field, root, f"{path}.{name}")


def _property(schema: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = (schema.get("properties") or {}).get(name)
    return found if isinstance(found, dict) else None


def rights(answers: Iterable[tuple[Need, bool]]) -> Iterator[Line]:
    """Judge what is allowed: a line for each thing that is not, or one for all."""
    refused: dict[tuple[str, str, str], list[Need]] = {}
    count = 0
    for need, allowed in answers:
        count += 1
        if not allowed:
            access = need.access
            kind = f"{access.resource}.{access.group}" if access.group else access.resource
            refused.setdefault((f"{kind} {access.name}".strip(), access.namespace, need.why), []).append(need)
    for (what, namespace, why), needs in refused.items():
        verbs = ", ".join(need.access.verb for need in needs)
        where = f"in namespace {namespace}" if namespace else "in all namespaces"
        level = Level.ADVICE if needs[0].optional else Level.TODO
        yield Line("rights", level, f"may not {verbs} {what} {where}", f"grant it: {why}")
    if not refused:
        yield Line("rights", Level.OK, f"all {count} that these settings need")


def clock(whose: str, date: str | None, *, sent: datetime, received: datetime) -> Line:
    """Judge the clock of a server by the Date of its answer, which has whole seconds."""
    check = f"clock of {whose}"
    try:
        told = parsedate_to_datetime(date or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return Line(check, Level.ADVICE, "not told: its answer has no Date")
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    ahead = (told - received).total_seconds()
    behind = (sent - told).total_seconds() - 1.0
    if ahead > SKEW_SECONDS or behind > SKEW_SECONDS:
        seconds, word = (ahead, "ahead of") if ahead > 0 else (behind, "behind")
        return Line(check, Level.TODO, f"{seconds:.0f} s {word} this machine's", "set both by NTP")
    return Line(check, Level.OK, f"within {SKEW_SECONDS:.0f} s of this machine's")


def leader(lease: Lease | None, *, now: datetime) -> Line:
    """Judge the Lease of the operators: by its times, which are another machine's, so it is advice only."""
    if lease is None or lease.holder is None:
        return Line("leader", Level.ADVICE, "nobody holds the Lease", "start the operator, if it is to run")
    held = f"{lease.holder} holds the Lease"
    try:
        age = (now - datetime.fromisoformat(str(lease.spec.get("renewTime")))).total_seconds()
    except (ValueError, TypeError):
        return Line("leader", Level.ADVICE, f"{held}; when it was renewed cannot be read")
    if age > (lease.seconds or 0.0) + SKEW_SECONDS:
        return Line(
            "leader", Level.ADVICE, f"{held}, but has not renewed it for {age:.0f} s", "look at its Pod"
        )
    return Line("leader", Level.OK, held)


def cluster_name(name: str | None) -> Line:
    """Judge whether the cluster has a name that outlives it."""
    if name is None:
        todo = (
            "set CLUSTER_NAME before the first object, or a rebuilt cluster does not know its secrets again"
        )
        return Line("cluster name", Level.ADVICE, "not set: the uid of kube-system is used", todo)
    return Line("cluster name", Level.OK, name)
