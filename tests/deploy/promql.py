"""Holds PromQL expressions to the metrics that the operator describes: names and labels, not values."""

from __future__ import annotations

import re
from typing import Final

from methodsecret_operator.runtime.metrics import CATALOGUE

_OF_THE_CLIENT: Final = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
_OF_THE_SCRAPE: Final = {"pod", "instance", "job"}
_NAME: Final = re.compile(r"\b(?:methodsecret|process)_[a-z_]+")
_SELECTED: Final = re.compile(r"\b((?:methodsecret|process)_[a-z_]+)\{([^}]*)\}")
_GROUPED: Final = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")


def series() -> dict[str, set[str]]:
    """Return every series' name with its labels."""
    found: dict[str, set[str]] = {name: set() for name in _OF_THE_CLIENT}
    for one in CATALOGUE.values():
        if one.kind == "histogram":
            found[f"{one.name}_bucket"] = {*one.labels, "le"}
            found[f"{one.name}_sum"] = found[f"{one.name}_count"] = set(one.labels)
        else:
            found[one.name] = set(one.labels)
    return found


def problems(expr: str) -> list[str]:
    """Return what an expression names that is not there."""
    known = series()
    names = set(_NAME.findall(expr))
    wrong = [f"no metric {name}" for name in sorted(names - set(known))]
    if not names:
        wrong.append("it names no metric")
    for name, matchers in _SELECTED.findall(expr):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        wrong += [f"{name} has no label {label}" for label in sorted(labels - known.get(name, set()))]
    there = set().union(*(known.get(name, set()) for name in names)) | _OF_THE_SCRAPE
    for group in _GROUPED.findall(expr):
        labels = {label.strip() for label in group.split(",")}
        wrong += [f"no label {label} to group by" for label in sorted(labels - there)]
    return wrong
