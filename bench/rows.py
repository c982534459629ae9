"""Each row of the table, measured: what is run, and which figures come of it.

A row can be run alone (`--rows`). `quick` makes every row small: request counts stay exact, times say little.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from bench import scale
from bench.burst import Burst, Work, burst, limited, middle, ratio, writes
from bench.figures import Figure
from bench.latency import latencies, percentile
from bench.place import Place

RESYNC_SECONDS: Final = 600
"""The operator's default RESYNC_SECONDS, over which the cost of a resync is spread."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of everything."""

    sizes: tuple[int, ...]
    rounds: int
    limited: int
    single: int
    held: tuple[int, ...]
    others: int
    rest: int
    broken: int
    probes: int
    starts: int
    quick: bool = False


FULL: Final = Extent(
    sizes=(1000, 10_000), rounds=3, limited=3600, single=200, held=(0, 1000, 10_000), others=10_000,
    rest=10_000, broken=10_000, probes=100, starts=7,
)  # fmt: skip
QUICK: Final = Extent(
    sizes=(200,), rounds=1, limited=60, single=15, held=(0, 200), others=200,
    rest=200, broken=200, probes=10, starts=3, quick=True,
)  # fmt: skip

Result = tuple[list[Figure], dict[str, Any]]


async def bursts(place: Place, extent: Extent) -> Result:
    """Bursts of the floor, the operator, the floor with a watch beside it, and the baseline in turns."""
    runs: list[Burst] = []
    for _ in range(extent.rounds):
        for size in extent.sizes:
            programs: list[Work] = ["floor", "operator", "watched floor"]
            if size == extent.sizes[0]:
                programs.append("tutorial")
            runs += [await burst(place, program, size) for program in programs]
    figures: list[Figure] = []
    for size in extent.sizes:
        floor, ours = middle(runs, "floor", size), middle(runs, "operator", size)
        watched = middle(runs, "watched floor", size)
        beside = ratio(runs, size, "watched floor", "floor", "rate")
        figures += [
            Figure(
                f"burst of {size:,}: objects/s of operator ÷ floor",
                ratio(runs, size, "operator", "floor", "rate"), "at least", 0.85,
                note=f"{ours.rate:.0f} and {floor.rate:.0f} objects/s; the floor beside kopf's watch:"
                f" {beside:.2f}; CPU ms each: {_each(ours)}; floor: {_each(floor)};"
                f" watched floor: {_each(watched)}",
            ),
            Figure(
                f"burst of {size:,}: CPU per object of operator ÷ floor",
                ratio(runs, size, "operator", "floor", "cpu_each"), "at most", 1.5,
                note=f"{1000 * ours.cpu_each:.2f} and {1000 * floor.cpu_each:.2f} ms;"
                f" kopf alone, shown each status: {1000 * watched.cpu['kopf'] / size:.2f} ms",
            ),
        ]  # fmt: skip
    first = extent.sizes[0]
    base = middle(runs, "tutorial", first)
    figures += [
        Figure(
            f"burst of {first:,}: objects/s of operator ÷ kopf tutorial style",
            ratio(runs, first, "operator", "tutorial", "rate"), "at least", 4,
            note=f"tutorial style: {base.rate:.0f} objects/s",
        ),
        Figure(
            f"burst of {first:,}: CPU per object of operator ÷ kopf tutorial style",
            ratio(runs, first, "operator", "tutorial", "cpu_each"), "at most", 0.2,
            note=f"{1000 * base.cpu_each:.2f} ms, {sum(writes(base).values()) / first:g} writes each",
        ),
    ]  # fmt: skip
    if len(extent.sizes) > 1:
        last = extent.sizes[-1]
        large, small = middle(runs, "operator", last), middle(runs, "operator", first)
        figures.append(
            Figure(
                f"CPU per object at {last:,} ÷ at {first:,}", large.cpu_each / small.cpu_each, "at most", 1.1
            )
        )
    figures += _counts(runs)
    return figures, {"bursts": [run.shown() for run in runs]}


def _counts(runs: list[Burst]) -> list[Figure]:
    """Return what a created object costs in requests: the same in every burst of the operator."""
    ours = [run for run in runs if run.program == "operator"]
    size = ours[0].objects
    worst = max(ours, key=lambda run: run.kube.get("PATCH methodsecrets/status", 0) / run.objects)
    others = max(sum(n for call, n in writes(run).items() if call not in _EXPECTED) for run in ours)
    events = ", ".join(f"{run.kube.get('POST events', 0):,} of {run.objects:,}" for run in ours[:2])
    return [
        Figure(
            "status PATCHes per created object (Retain)",
            worst.kube.get("PATCH methodsecrets/status", 0) / worst.objects, "exactly", 1, counted=True,
        ),
        Figure(
            "other writes but Events, per burst", others, "exactly", 0, counted=True, note=f"Events: {events}"
        ),
        Figure(
            "POSTs to Method per created object",
            max(_sum(run.method, "create ") / run.objects for run in ours),
            "exactly", 1, counted=True,
        ),
        Figure(
            f"GETs of Secrets, {size:,} objects",
            ours[0].kube["GET secrets"], "exactly", size + 1, counted=True,
            note="one of them the digest key's",
        ),
    ]  # fmt: skip


def _sum(calls: dict[str, int], prefix: str) -> int:
    return sum(n for call, n in calls.items() if call.startswith(prefix))


_EXPECTED: Final = ("PATCH methodsecrets/status", "POST events")


def _each(run: Burst) -> str:
    return ", ".join(f"{name} {1000 * used / run.objects:.1f}" for name, used in sorted(run.cpu.items()))


async def delete_policy(place: Place, extent: Extent) -> Result:
    """Count the writes of objects with deletionPolicy Delete."""
    found = await scale.with_delete(place, extent.sizes[0] // 5)
    return [
        Figure(
            "writes per created object (Delete)",
            found["writes"] / found["objects"], "exactly", 2, counted=True, note="finalizer and status",
        )
    ], {"delete": found}  # fmt: skip


async def real_limits(place: Place, extent: Extent) -> Result:
    """Run a burst at Method's real limits."""
    found = await limited(place, extent.limited)
    name = f"burst of {extent.limited:,} at 1,800 writes/min, killed once"
    return [
        Figure(
            f"{name}: time ÷ (N / 30 s)", found["seconds"] / (extent.limited / 30), "at most", 1.12,
            note=f"{found['seconds']:.0f} s",
        ),
        Figure(f"{name}: 429s", found["refused"], "exactly", 0, counted=True),
        Figure(f"{name}: secrets stored", found["stored"], "exactly", extent.limited, counted=True),
    ], {"limited": found}  # fmt: skip


async def single(place: Place, extent: Extent) -> Result:
    """Time single objects with an idle operator."""
    found = await latencies(place, extent.single)
    api = percentile(found["api"], 0.5)
    kube = percentile(found["kube"], 0.5)
    note = f"the API alone: {api:.1f} ms; GET and PATCH alone: {kube:.1f} ms; n = {len(found['created'])}"
    return [
        Figure(
            f"{what}, above the API's own time: p{share:.0%}".rstrip("%"),
            percentile(found[key], share) - api, "at most", bound, "ms", note=note,
        )
        for what, key, share, bound in (
            ("apply → status.id", "created", 0.5, 10),
            ("apply → status.id", "created", 0.99, 40),
            ("source changed → new status.id", "changed", 0.5, 15),
        )
    ], {"single": found}  # fmt: skip


async def memory(place: Place, extent: Extent) -> Result:
    """Measure resident memory, and restarts over synced objects."""
    found = await scale.memory(place, extent.held, extent.others)
    limits = {0: 80, 1000: 90, 10_000: 130}
    figures = [
        Figure(
            f"RSS at rest, {state['objects']:,} objects, {extent.others:,} other Secrets of 8 KB",
            max(state["created"], state["restarted"]), "at most", limits.get(state["objects"], 90), "MB",
            note=f"after creating {state['created']:.0f}, after a restart {state['restarted']:.0f}",
        )
        for state in found
    ]  # fmt: skip
    last = found[-1]
    name = f"restart over {last['objects']:,} synced objects"
    figures += [
        Figure(f"{name}: writes to the kube-apiserver", last["writes"], "exactly", 0, counted=True),
        Figure(f"{name}: POSTs to Method", last["posts"], "exactly", 0, counted=True),
        Figure(
            f"{name}: GETs of Secrets", last["secret_gets"], "exactly", 1, counted=True,
            note="the digest key's own",
        ),
        Figure(
            f"{name}: idle again", last["idle_seconds"], "at most", 15, "s",
            note=f"{last['cpu_seconds']:.1f} CPU s",
        ),
    ]  # fmt: skip
    return figures, {"memory": found}


async def at_rest(place: Place, extent: Extent) -> Result:
    """Count what a resync costs."""
    quick = extent.quick
    found = await scale.rest(place, extent.rest, resyncs=2 if quick else 3, seconds=2 if quick else 20)
    lists = sum(n for call, n in found["method"].items()) / found["resyncs"]
    name = f"at rest, {extent.rest:,} objects, per resync"
    return [
        Figure(f"{name}: calls to Method", lists, "exactly", max(1, -(-extent.rest // 100)), counted=True),
        Figure(f"{name}: writes", found["writes"], "exactly", 0, counted=True),
        Figure(f"{name}: GETs of Secrets", found["secret_gets"], "exactly", 0, counted=True),
        Figure(
            f"{name}: CPU, of one core at RESYNC_SECONDS={RESYNC_SECONDS}",
            100 * found["cpu_per_resync"] / RESYNC_SECONDS, "at most", 1, "%",
            note=f"{found['cpu_per_resync']:.2f} CPU s",
        ),
    ], {"rest": found}  # fmt: skip


async def broken(place: Place, extent: Extent) -> Result:
    """Break many, time a few, repair all."""
    found = await scale.broken(place, extent.broken, probes=extent.probes)
    healthy = await burst(place, "operator", extent.broken)
    return [
        Figure(
            f"{extent.broken:,} broken objects: a new one Ready, p99",
            percentile(found["fresh"], 0.99), "at most", 100, "ms",
            note=f"p50 {percentile(found['fresh'], 0.5):.0f}, n = {extent.probes};"
            f" {found['edits']} edits of their Secret meanwhile, {found['reads']:,} reads of Secrets",
        ),
        Figure(
            f"{extent.broken:,} broken objects repaired at once: time ÷ that of a burst",
            found["repaired_seconds"] / healthy.seconds, "at most", 1.1,
            note=f"{found['repaired_seconds']:.1f} and {healthy.seconds:.1f} s",
        ),
    ], {"broken": found}  # fmt: skip


async def start(place: Place, extent: Extent) -> Result:
    """Time starts."""
    found = await scale.starts(place, extent.starts)
    return [
        Figure(
            "start to ready, empty cluster", percentile(found["seconds"], 0.5), "at most", 1.5, "s",
            note=f"{percentile(found['cpu'], 0.5):.2f} CPU s; median of {extent.starts}",
        )
    ], {"start": found}  # fmt: skip


Row = Callable[[Place, Extent], Awaitable[Result]]

ROWS: Final[dict[str, Row]] = {
    "start": start,
    "burst": bursts,
    "delete": delete_policy,
    "latency": single,
    "rest": at_rest,
    "broken": broken,
    "memory": memory,
    "limits": real_limits,
}
