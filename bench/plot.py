"""The results as one SVG: throughput and CPU of three programs, memory by objects, latencies."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = {"floor": "#8a8f98", "operator": "#2f6fde", "tutorial": "#d9822b"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw what is there of the results; nothing where there is nothing to draw."""
    panels = [(draw_panel, results[key]) for key, draw_panel in _PANELS if key in results]
    if not panels:
        return
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9})
    figure, axes = plt.subplots(1, len(panels), figsize=(3.8 * len(panels), 3.2), squeeze=False)
    for axis, (draw_panel, data) in zip(axes[0], panels, strict=True):
        draw_panel(axis, data)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _bars(axis: Axes, bursts: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> None:
    sizes = sorted({run["objects"] for run in bursts})
    for number, (program, colour) in enumerate(_COLOURS.items()):
        heights = []
        for size in sizes:
            runs = [value(r) for r in bursts if (r["program"], r["objects"]) == (program, size)]
            heights.append(statistics.median(runs) if runs else 0.0)
        places = [place + (number - 1) * 0.27 for place in range(len(sizes))]
        axis.bar(places, heights, width=0.25, color=colour, label=program)
    axis.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axis.set_xlabel("objects in the burst")
    axis.legend(frameon=False)


def _rate(axis: Axes, bursts: list[dict[str, Any]]) -> None:
    _bars(axis, bursts, lambda run: run["objects"] / run["seconds"])
    axis.set_title("objects per second")


def _cpu(axis: Axes, bursts: list[dict[str, Any]]) -> None:
    _bars(axis, bursts, lambda run: 1000 * run["cpu"]["program"] / run["objects"])
    axis.set_title("CPU of the program, ms per object")


def _memory(axis: Axes, states: list[dict[str, Any]]) -> None:
    objects = [state["objects"] for state in states]
    for key, label in (("created", "after creating them"), ("restarted", "after a restart")):
        axis.plot(objects, [state[key] for state in states], marker="o", label=label)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("objects")
    axis.set_title("resident memory at rest, MB")
    axis.legend(frameon=False)


def _latency(axis: Axes, single: dict[str, list[float]]) -> None:
    for key, label in (("api", "the API alone"), ("created", "apply → id"), ("changed", "new value → id")):
        values = sorted(single[key])
        axis.plot(values, [100 * (n + 1) / len(values) for n in range(len(values))], label=label)
    axis.set_xlim(left=0)
    axis.set_xlabel("ms")
    axis.set_title("latency, % done within")
    axis.legend(frameon=False)


_PANELS: Final = (("bursts", _rate), ("bursts", _cpu), ("memory", _memory), ("single", _latency))
