"""Bursts: N objects are there, a program begins, all have their ids.

Time and CPU are counted from a program's `begin` (its imports done, nothing looked at), so that lists and
watches are in. The end is when no object is without an id; CPU is read when the program is idle after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from bench.place import Place, cpu, quiet
from bench.programs import Name, Operator, running
from dev.controlplane.metrics import WRITES

_POLL: Final = 0.02

Work = Literal["floor", "watched floor", "operator", "tutorial"]
"""Who stores the objects. Beside the watched floor kopf is shown each status, and does nothing with it."""


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: seconds, CPU seconds by process, and what was asked of whom."""

    program: Work
    objects: int
    seconds: float
    cpu: dict[str, float]
    kube: dict[str, int]
    method: dict[str, int]

    @property
    def rate(self) -> float:
        """Objects per second."""
        return self.objects / self.seconds

    @property
    def cpu_each(self) -> float:
        """CPU seconds of the program per object."""
        return self.cpu["program"] / self.objects

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


async def burst(place: Place, program: Work, count: int) -> Burst:
    """Make objects, let a program store them, and take them away."""
    namespace = await place.namespace()
    names = [f"burst-{number}" for number in range(count)]
    await place.fill(namespace, names)
    await place.control.reset()
    await asyncio.sleep(1)  # the servers' own tidying up after so many writes
    kube, measured = await place.calls(), place.servers()
    async with contextlib.AsyncExitStack() as programs:
        name: Name = program if program != "watched floor" else "floor"
        if program == "watched floor":
            kopf = programs.enter_context(running(place, "informer", namespace=namespace, names=()))
            await kopf.begun()
            measured["kopf"] = kopf.process
        run = programs.enter_context(running(place, name, namespace=namespace, names=names))
        await run.begun()
        began = time.monotonic()
        measured["program"] = run.process
        before = {name: cpu(process) for name, process in measured.items()}
        await all_stored(place, namespace, count)
        seconds = time.monotonic() - began
        await place.events_posted()
        await quiet(measured.get("kopf", run.process))
        after = {name: cpu(process) for name, process in measured.items()}
    called = await place.calls()
    result = Burst(
        program=program,
        objects=count,
        seconds=seconds,
        cpu={name: after[name] - before[name] for name in after},
        kube={f"{verb} {what}": n for (verb, what), n in (called - kube).items()},
        method={f"{name} {status}": n for (name, status), n in (await place.operations()).items()},
    )
    await place.clear(namespace)
    return result


async def all_stored(place: Place, namespace: str, count: int) -> None:
    """Return when every object has an id."""
    while (await place.operations())["create", "200"] < count:
        await asyncio.sleep(_POLL)
    while await place.unstored(namespace):
        await asyncio.sleep(_POLL)


async def limited(place: Place, count: int) -> dict[str, Any]:
    """Run a burst at Method's real limits; the operator is killed at half and started again."""
    namespace = await place.namespace()
    await place.fill(namespace, [f"limited-{number}" for number in range(count)])
    await place.control.reset()
    await place.control.change_settings(writes_per_minute=1800, reads_per_minute=6000)
    operator = Operator(place, namespace=namespace, limits=True)
    try:
        await operator.begun()
        began = time.monotonic()
        while (await place.operations())["create", "200"] < count // 2:
            await asyncio.sleep(_POLL)
        operator.runner.kill()
        operator = Operator(place, namespace=namespace, limits=True)
        while await place.unstored(namespace):
            await asyncio.sleep(0.1)
        seconds = time.monotonic() - began
    finally:
        operator.stop()
    operations, stored = await place.operations(), len(await place.control.secrets())
    await place.control.change_settings(writes_per_minute=0, reads_per_minute=0)
    await place.clear(namespace)
    return {
        "objects": count,
        "seconds": seconds,
        "stored": stored,
        "refused": sum(n for (_, status), n in operations.items() if status == "429"),
        "method": {f"{name} {status}": n for (name, status), n in operations.items()},
    }


def middle(bursts: Sequence[Burst], program: Work, count: int) -> Burst:
    """Return the run with the median rate (of an even number, the slower one of the two)."""
    runs = sorted((b for b in bursts if (b.program, b.objects) == (program, count)), key=lambda b: b.seconds)
    return runs[len(runs) // 2]


def ratio(bursts: Sequence[Burst], count: int, above: Work, below: Work, what: str) -> float:
    """Return the median, over the rounds, of what one program has over another in the same round.

    A machine gets slower and faster; two runs next to each other are the most alike.
    """
    one = [getattr(b, what) for b in bursts if (b.program, b.objects) == (above, count)]
    other = [getattr(b, what) for b in bursts if (b.program, b.objects) == (below, count)]
    return float(statistics.median(a / b for a, b in zip(one, other, strict=True)))


def writes(run: Burst) -> Counter[str]:
    """Return what was written to the kube-apiserver during a run, by what."""
    return Counter({call: n for call, n in run.kube.items() if call.split()[0] in WRITES})
