"""Label selectors, matched as Kubernetes matches them (equality- and set-based requirements).

Source: Kubernetes' documentation of labels and selectors. Only matching is done here; the metadata watch
does not select by label, so that a Secret whose labels change is seen to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

Labels = Mapping[str, str]
_KEY: Final = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_VALUE: Final = r"[-A-Za-z0-9_.]*"
_EQUALITY: Final = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET: Final = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS: Final = re.compile(rf"(!?)\s*({_KEY})")
_COMMA: Final = re.compile(r",(?![^()]*\))")  # a comma outside parentheses


class Selector:
    """A parsed selector; an empty text matches everything. Raises ValueError for what is no selector."""

    def __init__(self, text: str) -> None:
        self._requirements = (
            [_requirement(part.strip()) for part in _COMMA.split(text)] if text.strip() else []
        )

    def matches(self, labels: Labels) -> bool:
        """Whether these labels meet every requirement."""
        return all(requirement(labels) for requirement in self._requirements)


def _requirement(text: str) -> Callable[[Labels], bool]:
    if found := _EQUALITY.fullmatch(text):
        key, operator, value = found.groups()
        return (lambda at: at.get(key) != value) if operator == "!=" else (lambda at: at.get(key) == value)
    if found := _SET.fullmatch(text):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        # As in Kubernetes, notin also holds where there is no such label.
        return (
            (lambda at: at.get(key) in values) if operator == "in" else (lambda at: at.get(key) not in values)
        )
    if found := _EXISTS.fullmatch(text):
        absent, key = found.groups()
        return (lambda at: key not in at) if absent else (lambda at: key in at)
    raise ValueError(f"no label selector: {text!r}")
