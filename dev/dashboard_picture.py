"""Makes docs/dashboard.svg, a picture of the dashboard: `python -m dev.dashboard_picture`, by `make picture`.

A real operator works for two minutes on what a bad hour is made of: objects come, some lack their Secret,
Method is away, values change. Its /metrics are read each second, every expression of the dashboard is
evaluated over them by Prometheus' own libraries (dev/tools/promql), and the answers are drawn where the
dashboard has its panels. Grafana itself has no part in it. The figures differ from run to run, and no test
compares them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from dev import dashboard, tools
from dev.demo.stage import Stage
from dev.interrupts import Interrupts
from method_emulator.control_client import EmulatorControl

ROOT: Final = Path(__file__).resolve().parents[1]
FILE: Final = ROOT / "docs" / "dashboard.svg"

_VARIABLES: Final = {"$__rate_interval": "10s", "$namespace": ".*"}
_NAMESPACES: Final = ("billing", "ledger", "payments")
_PULSE: Final = 5.0
_BATCH: Final = 15
_PULSES: Final = 25
_OUTAGE: Final = range(9, 14)
"""In which of the pulses Method answers 503 to whatever would be stored."""

_BACKGROUND: Final = "#181b1f"
_INK: Final = "#ccccdc"


class Sampler(threading.Thread):
    """Reads an address each second until it is told to stop; `samples` is what promql takes."""

    def __init__(self, url: str, labels: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.samples: list[dict[str, Any]] = []
        self._url, self._labels = url, labels
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until stop()."""
        while not self._over.wait(1.0):
            with urllib.request.urlopen(self._url, timeout=5.0) as answer:  # noqa: S310 - our own operator
                text = answer.read().decode()
            self.samples.append({"time": time.time(), "text": text, "labels": self._labels})

    def stop(self) -> None:
        """End with the sample that is being taken."""
        self._over.set()
        self.join()


def manifests(numbers: Iterable[int], *, value: str, sources: bool = True) -> str:
    """Return objects of these numbers, spread over the namespaces; where `sources`, with their Secrets."""
    documents: list[dict[str, Any]] = []
    for number in numbers:
        place = {"name": f"key-{number}", "namespace": _NAMESPACES[number % len(_NAMESPACES)]}
        if sources:
            data = {"key": f"example-{number}-{value}"}
            documents.append({"apiVersion": "v1", "kind": "Secret", "metadata": place, "stringData": data})
        source = {"secretKeyRef": {"name": place["name"], "key": "key"}}
        documents.append(
            {
                "apiVersion": "methodfi.com/v1",
                "kind": "MethodSecret",
                "metadata": place,
                "spec": {"valueFrom": source},
            }
        )
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def play(stage: Stage) -> list[dict[str, Any]]:
    """Let the operator have its two minutes; return the samples of its metrics."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stage.start_control_plane(controller_manager=False)
    stage.start_emulator()
    for command in (
        "apply -f crds/methodsecrets.methodfi.com.yaml",
        "wait --for=condition=Established crd/methodsecrets.methodfi.com",
        "apply -f deploy/kustomize/base/namespace.yaml -f deploy/kustomize/base/rbac.yaml",
        *(f"create namespace {name}" for name in _NAMESPACES),
    ):
        stage.kubectl(f"kubectl {command}")
    stage.start_operator(
        METHODSECRET_HEALTH_PORT=str(port),
        METHODSECRET_HEALTH_HOST="127.0.0.1",
        METHODSECRET_RESYNC_SECONDS="15",
    )
    pod = {"pod": "methodsecret-operator-0", "instance": f"127.0.0.1:{port}"}
    sampler = Sampler(f"http://127.0.0.1:{port}/metrics", pod)
    sampler.start()
    file = stage.directory / "objects.json"

    def apply(text: str) -> None:
        file.write_text(text)
        stage.kubectl(f"kubectl apply -f {file}")

    for pulse in range(_PULSES):
        due = time.monotonic() + _PULSE
        here = range(pulse * _BATCH, (pulse + 1) * _BATCH)
        if pulse == _OUTAGE.start:
            asyncio.run(_away(stage.emulator.url, away=True))
        if pulse == _OUTAGE.stop:
            asyncio.run(_away(stage.emulator.url, away=False))
        if pulse < _OUTAGE.stop:
            apply(manifests(here, value="1", sources=pulse % 3 != 1))
        elif pulse < _OUTAGE.stop + 5:  # the Secrets that were missing come
            late = range((pulse - _OUTAGE.stop) * 3 + 1, _OUTAGE.stop, 15)
            apply(manifests((n for p in late for n in range(p * _BATCH, (p + 1) * _BATCH)), value="1"))
        else:  # and values change
            apply(manifests(range(pulse * 3, pulse * 3 + 6), value=str(pulse)))
        time.sleep(max(due - time.monotonic(), 0.0))
    sampler.stop()
    return sampler.samples


async def _away(url: str, *, away: bool) -> None:
    async with EmulatorControl(url) as control:
        if away:
            await control.add_fault("create", "status", count=None, status=503)
        else:
            await control.clear_faults()


def evaluate(samples: list[dict[str, Any]], queries: list[str]) -> list[list[dict[str, Any]]]:
    """Return what Prometheus answers to each query over the samples: its series with their points."""
    tools.ensure(["promql"])
    for name, text in _VARIABLES.items():
        queries = [query.replace(name, text) for query in queries]
    asked = json.dumps({"samples": samples, "queries": queries, "step": 1.0})
    ran = subprocess.run(
        [tools.path("promql")], input=asked.encode(), stdout=subprocess.PIPE, check=True, timeout=120
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def draw(model: dict[str, Any], samples: list[dict[str, Any]], path: Path) -> None:
    """Draw the panels of a dashboard's model where it has them."""
    panels = [panel for panel in model["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    answers = iter(evaluate(samples, queries))
    mpl.rcParams.update(dict.fromkeys(("text.color", "axes.edgecolor", "xtick.color", "ytick.color"), _INK))
    mpl.rcParams.update({"svg.hashsalt": "dashboard", "svg.fonttype": "none", "font.size": 8})
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(14, rows * 0.32), facecolor=_BACKGROUND)
    start = samples[0]["time"]
    for panel in model["panels"]:
        place = panel["gridPos"]
        if panel["type"] == "row":
            figure.text(0.01, 1 - (place["y"] + 0.8) / rows, panel["title"], weight="bold", size=10)
            continue
        lines = [
            (_legend(target["legendFormat"], series["labels"]), series["points"])
            for target in panel["targets"]
            for series in next(answers)
        ]
        lines = [(legend, points) for legend, points in lines if points]
        left, width = place["x"] / 24 + 0.035, place["w"] / 24 - 0.05
        bottom = 1 - (place["y"] + place["h"] - 1.5) / rows
        if panel["type"] == "stat":
            figure.text(left, bottom + 1.6 / rows, panel["title"], size=8)
            figure.text(left, bottom, _stat(panel, lines), size=20)
            continue
        axis = figure.add_axes((left, bottom, width, (place["h"] - 3.0) / rows), facecolor=_BACKGROUND)
        _series(axis, panel, [(name, [(at - start, y) for at, y in points]) for name, points in lines])
    figure.savefig(path, metadata={"Date": None}, facecolor=_BACKGROUND)
    plt.close(figure)


def _legend(pattern: str, labels: dict[str, str]) -> str:
    if pattern == "__auto":
        return ", ".join(labels.values()) or "value"
    for name, text in labels.items():
        pattern = pattern.replace(f"{{{{{name}}}}}", text)
    return pattern


def _stat(panel: dict[str, Any], lines: list[tuple[str, list[list[float]]]]) -> str:
    if panel["options"].get("textMode") == "name":
        return ", ".join(name for name, _ in lines)
    return ", ".join(_text(points[-1][1], panel["fieldConfig"]["defaults"]["unit"]) for _, points in lines)


def _series(axis: Any, panel: dict[str, Any], lines: list[tuple[str, list[tuple[float, float]]]]) -> None:  # noqa: ANN401 - matplotlib is not typed where it is not installed
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    if stacked:
        times = sorted({round(at) for _, points in lines for at, _ in points})
        whole = [{round(at): y for at, y in points} for _, points in lines]
        heights = [[known.get(at, 0.0) for at in times] for known in whole]
        axis.stackplot(times, heights, labels=[name for name, _ in lines], alpha=0.6)
    else:
        for name, points in lines:
            axis.plot([at for at, _ in points], [y for _, y in points], label=name, linewidth=1)
    axis.set_title(panel["title"], loc="left", size=8)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _text(y, unit)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f} s"))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(visible=True, alpha=0.15)
    if lines:
        axis.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, fontsize=6)


def _text(number: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * number:.0f} %"
    if unit == "bytes":
        return f"{number / 1_000_000:.0f} MB"
    if unit == "s":
        return f"{1000 * number:.3g} ms" if 0 < number < 1 else f"{number:.3g} s"
    return f"{number:,.4g}{'/s' if unit in ('ops', 'reqps') else ''}"


def main() -> int:
    """Make the picture and return the exit code."""
    os.chdir(ROOT)
    tools.ensure(["promql"])
    interrupts = Interrupts([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    interrupts.listen()
    print(f"The operator works for {_PULSES * _PULSE:.0f} s; its metrics are drawn then.", flush=True)
    try:
        with Stage(interrupts) as stage:
            samples = play(stage)
    except KeyboardInterrupt:
        print("Interrupted; everything is taken away.", file=sys.stderr)
        return 130
    draw(dashboard.dashboard(), samples, FILE)
    print(f"{FILE.relative_to(ROOT)}: {len(samples)} samples drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
