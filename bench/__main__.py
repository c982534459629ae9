"""Command line of the bench: `python -m bench [--quick] [--rows burst,rest] [--rounds N] [--out DIR]`.

Prints the table; writes results.json (every run, every process), table.md and plot.svg. Exit code 1 where a
request count is not exactly what it must be; a time that is not reached is told and is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from bench import plot
from bench.figures import Figure, table
from bench.place import Place
from bench.rows import FULL, QUICK, ROWS, Extent
from dev.venv import cache_dir


def main() -> int:
    """Measure, tell and write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small numbers: counts are exact, times say little"
    )
    parser.add_argument("--rows", default="", help=f"only these, comma-separated: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, help="how often bursts are repeated in turns")
    parser.add_argument("--out", type=Path, help="where results go (default: in the cache)")
    options = parser.parse_args()
    # A burst at the real limits takes minutes: in the short mode only where it is asked for.
    usual = [name for name in ROWS if not (options.quick and name == "limits")]
    rows = [name for name in options.rows.split(",") if name] or usual
    if unknown := [name for name in rows if name not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    extent = QUICK if options.quick else FULL
    extent = dataclasses.replace(extent, rounds=options.rounds or extent.rounds)
    out = options.out or cache_dir() / "bench"
    out.mkdir(parents=True, exist_ok=True)
    figures, results = asyncio.run(_measure(rows, extent))
    results |= {"machine": _machine(), "figures": [figure.shown() for figure in figures]}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "table.md").write_text(table(figures) + "\n")
    plot.draw(results, out / "plot.svg")
    print(f"\n{table(figures)}\n\n{_told(results['machine'])}\nresults.json, table.md, plot.svg: {out}")
    wrong = [figure for figure in figures if figure.counted and not figure.reached]
    for figure in wrong:
        print(f"wrong count: {figure.what}: {figure.measured:g}, not {figure.target:g}", file=sys.stderr)
    return 1 if wrong else 0


async def _measure(rows: list[str], extent: Extent) -> tuple[list[Figure], dict[str, Any]]:
    figures: list[Figure] = []
    results: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(Place()) if extent.quick else None
        for name in rows:
            began = time.monotonic()
            # Large rows have servers of their own each: none inherits another's garbage.
            async with contextlib.nullcontext(shared) if shared is not None else Place() as place:
                found, details = await ROWS[name](place, extent)
            figures += found
            results |= details
            _say(f"{name}: {time.monotonic() - began:.0f} s")
            for figure in found:
                _say(f"  {figure.what}: {figure.measured:.3g} {figure.unit}")
    return figures, results


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _machine() -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load": os.getloadavg()[2],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _told(machine: dict[str, Any]) -> str:
    return (
        f"{machine['at']}; {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']},"
        f" Python {machine['python']}; load of the last 15 minutes {machine['load']:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
