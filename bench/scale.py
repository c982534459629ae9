"""What many objects cost at rest: memory, a restart, resyncs; and what many broken ones cost others."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final

from bench.burst import all_stored
from bench.latency import Observer, new_object
from bench.place import Place, cpu, each, quiet
from bench.programs import Operator
from dev.controlplane.metrics import WRITES

OTHERS_BYTES: Final = 8192
_MEGABYTE: Final = 1_000_000
_PROBES_AN_EDIT: Final = 10
"""How many new objects are timed after each edit of the Secret that all broken ones refer to: some 3 s."""


async def memory(place: Place, counts: tuple[int, ...], others: int) -> list[dict[str, Any]]:
    """Return megabytes held at rest, after all objects were created and after a restart over them.

    The operator works in all namespaces, among other Secrets of 8 KB that no object refers to.
    """
    foreign, namespace = await place.namespace(), await place.namespace()
    data = "x" * OTHERS_BYTES
    await each((f"other-{n}" for n in range(others)), lambda name: place.secret(foreign, name, data=data))
    found: list[dict[str, Any]] = []
    there = 0
    for count in counts:
        operator = Operator(place, namespace=None)
        try:
            await operator.ready()
            await place.fill(namespace, [f"held-{number}" for number in range(there, count)])
            await all_stored(place, namespace, count)
            await place.events_posted()
            await quiet(operator.process, seconds=2)
            after_creating = operator.process.memory_info().rss / _MEGABYTE
        finally:
            operator.stop()
        there = count
        found.append({"objects": count, "created": after_creating, **await _restarted(place, count)})
    await place.clear(foreign)
    await place.clear(namespace)
    return found


async def _restarted(place: Place, count: int) -> dict[str, Any]:
    """Start over synced objects: seconds until idle, requests, megabytes."""
    kube, method = await place.calls(), await place.operations()
    operator = Operator(place, namespace=None)
    try:
        await operator.ready()
        ready = time.monotonic() - operator.started_at
        await quiet(operator.process, seconds=2)
        idle = time.monotonic() - operator.started_at - 2
        used = cpu(operator.process)
        resident = operator.process.memory_info().rss / _MEGABYTE
    finally:
        operator.stop()
    called = await place.calls() - kube
    asked = await place.operations() - method
    return {
        "restarted": resident,
        "objects": count,
        "ready_seconds": ready,
        "idle_seconds": idle,
        "cpu_seconds": used,
        "writes": sum(n for (verb, _), n in called.items() if verb in WRITES),
        "secret_gets": called["GET", "secrets"],
        "posts": sum(n for (name, _), n in asked.items() if name == "create"),
        "lists": sum(n for (name, _), n in asked.items() if name == "list"),
        "kube": {f"{verb} {what}": n for (verb, what), n in called.items() if n and what},
    }


async def rest(place: Place, count: int, *, resyncs: int, seconds: int) -> dict[str, Any]:
    """Let the operator rest over synced objects for some resyncs, `seconds` apart, and count what it does."""
    namespace = await place.namespace()
    await place.fill(namespace, [f"rest-{number}" for number in range(count)])
    await place.control.reset()
    operator = Operator(place, namespace=namespace, RESYNC_SECONDS=str(seconds), LOG_LEVEL="DEBUG")
    try:
        await all_stored(place, namespace, count)
        await _resyncs(place, 1)
        await place.events_posted()
        kube, method = await place.calls(), await place.operations()
        used, began = cpu(operator.process), time.monotonic()
        await _resyncs(place, resyncs)
        await quiet(operator.process, seconds=1)
        passed = time.monotonic() - began
        used = cpu(operator.process) - used
        called = await place.calls() - kube
        asked = await place.operations() - method
    finally:
        operator.stop()
    await place.clear(namespace)
    return {
        "objects": count,
        "resyncs": resyncs,
        "cpu_per_resync": used / resyncs,
        "seconds": passed,
        "writes": sum(n for (verb, _), n in called.items() if verb in WRITES),
        "secret_gets": called["GET", "secrets"],
        "method": {f"{name} {status}": n for (name, status), n in asked.items() if n},
    }


async def with_delete(place: Place, count: int) -> dict[str, Any]:
    """Create objects with deletionPolicy Delete and count the writes, Events aside."""
    namespace = await place.namespace()
    names = [f"delete-{number}" for number in range(count)]

    async def make(name: str) -> None:
        await place.secret(namespace, name)
        await place.method_secret(namespace, name, source=name, deletionPolicy="Delete")

    await each(names, make)
    await place.control.reset()
    kube = await place.calls()
    operator = Operator(place, namespace=namespace)
    try:
        await all_stored(place, namespace, count)
        await place.events_posted()
        called = await place.calls() - kube
        path = f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets"
        await place.send("DELETE", path)
        while (await place.send("GET", f"{path}?limit=1"))["items"]:
            await asyncio.sleep(0.1)
    finally:
        operator.stop()
    left = [secret for secret in await place.control.secrets() if secret["status"] == "active"]
    await place.clear(namespace)
    written = {f"{verb} {what}": n for (verb, what), n in called.items() if verb in WRITES and n}
    return {
        "objects": count,
        "writes": sum(n for call, n in written.items() if call != "POST events"),
        "left": len(left),
        "kube": written,
    }


async def _resyncs(place: Place, count: int) -> None:
    """Wait for so many more resyncs to end, by the operator's own log."""
    log = place.directory / "operator.log"
    wanted = log.read_text().count('"event": "resynced"') + count
    while log.read_text().count('"event": "resynced"') < wanted:
        await asyncio.sleep(0.1)


async def broken(place: Place, count: int, *, probes: int) -> dict[str, Any]:
    """Let all objects refer to one Secret without the key, then repair it.

    Before that it is edited again and again, so that all of them are looked at all the time, and meanwhile
    new objects with Secrets of their own are timed.
    """
    namespace, observer = await place.namespace(), Observer()
    await place.secret(namespace, "shared", other="x")
    names = [f"broken-{number}" for number in range(count)]
    await each(names, lambda name: place.method_secret(namespace, name, source="shared"))
    await place.control.reset()
    before = await place.calls()
    patches = ("PATCH", "methodsecrets/status")
    operator = Operator(place, namespace=namespace)
    latencies: list[float] = []
    path = f"/api/v1/namespaces/{namespace}/secrets/shared"

    async def edit(**data: str) -> None:
        await place.send("PATCH", path, {"stringData": data}, kind="application/merge-patch+json")

    try:
        while (await place.calls())[patches] - before[patches] < count:
            await asyncio.sleep(0.5)
        await quiet(operator.process)
        gets = (await place.calls())["GET", "secrets"]
        async with observer.watching(place, namespace):
            for number in range(probes):
                if number % _PROBES_AN_EDIT == 0:
                    await edit(other=str(number))
                latencies.append(await new_object(place, namespace, f"fresh-{number}", observer))
                await asyncio.sleep(0.2)
        reads = (await place.calls())["GET", "secrets"] - gets
        await quiet(operator.process)
        used = cpu(operator.process)
        await edit(value="key_live_repaired")
        began = time.monotonic()
        await all_stored(place, namespace, count + probes)
        repaired = time.monotonic() - began
        await quiet(operator.process)
        used = cpu(operator.process) - used
    finally:
        operator.stop()
    counted: Counter[str] = Counter()
    for (name, status), n in (await place.operations()).items():
        counted[f"{name} {status}"] += n
    await place.clear(namespace)
    return {
        "objects": count,
        "fresh": latencies,
        "edits": -(-probes // _PROBES_AN_EDIT),
        "reads": reads,
        "repaired_seconds": repaired,
        "repaired_rate": count / repaired,
        "cpu_each": used / count,
        "method": dict(counted),
    }


async def starts(place: Place, times: int) -> dict[str, Any]:
    """Return seconds and CPU seconds from a start to ready, in a cluster without objects."""
    namespace = await place.namespace()
    seconds: list[float] = []
    used: list[float] = []
    for _ in range(times):
        operator = Operator(place, namespace=namespace)
        try:
            seconds.append(await operator.ready())
            used.append(cpu(operator.process))
        finally:
            operator.stop()
    return {"seconds": seconds, "cpu": used}
