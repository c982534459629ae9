"""The rows of the table: what was measured, what is to be reached, and whether it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Sense = Literal["at least", "at most", "exactly"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `counted` figures are exact; the others are as noisy as the machine."""

    what: str
    measured: float
    sense: Sense
    target: float
    unit: str = ""
    counted: bool = False
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        if self.sense == "at least":
            return self.measured >= self.target
        if self.sense == "at most":
            return self.measured <= self.target
        return self.measured == self.target

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "what": self.what,
            "measured": self.measured,
            "sense": self.sense,
            "target": self.target,
            "unit": self.unit,
            "counted": self.counted,
            "reached": self.reached,
            "note": self.note,
        }


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| what | measured | to reach | |", "|---|---|---|---|"]
    for figure in figures:
        unit = f" {figure.unit}" if figure.unit else ""
        target = f"{_SIGNS[figure.sense]} {_number(figure.target)}{unit}"
        note = f" ({figure.note})" if figure.note else ""
        reached = "reached" if figure.reached else "**not reached**"
        lines.append(f"| {figure.what} | {_number(figure.measured)}{unit}{note} | {target} | {reached} |")
    return "\n".join(lines)


_THREE_DIGITS = 100.0
"""From here on a value says enough without decimals."""

_SIGNS = {"at least": "≥", "at most": "≤", "exactly": "="}


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.2f}" if abs(value) < _THREE_DIGITS else f"{value:,.0f}"
