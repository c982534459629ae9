"""From a change in the cluster to the id in the status, one object at a time, with an idle operator.

The API's own time is that of a bare POST to it from here, taken in turns with the objects; it is subtracted.
What the kube-apiserver takes is not: a bare GET of a Secret and PATCH of a status are told beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp

from bench.place import API_KEY, Object, Place
from bench.programs import Operator

_PAUSE = 0.03
"""Seconds between two objects, so that nothing of the one before is left."""


class Observer:
    """Watches the MethodSecrets of a namespace and notes when it saw what."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Callable[[Object], bool], asyncio.Future[float]]] = {}

    @contextlib.asynccontextmanager
    async def watching(self, place: Place, namespace: str) -> AsyncIterator[None]:
        """Watch meanwhile what comes from now on; what is there already is not sent, nor read, again."""
        objects = f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets"
        there = await place.send("GET", f"{objects}?limit=1")
        path = f"{objects}?watch=1&resourceVersion={there['metadata']['resourceVersion']}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with place.http.get(path, timeout=timeout, read_bufsize=1 << 20) as stream:
            task = asyncio.create_task(self._read(stream))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})

    def expect(self, name: str, holds: Callable[[Object], bool]) -> asyncio.Future[float]:
        """Return the time at which an object will be seen as wanted."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[name] = (holds, future)
        return future

    async def _read(self, stream: aiohttp.ClientResponse) -> None:
        async for line in stream.content:
            now = time.monotonic()
            obj = json.loads(line)["object"]
            name = obj["metadata"]["name"]
            if name in self._waiting and self._waiting[name][0](obj):
                self._waiting.pop(name)[1].set_result(now)


def ready(obj: Object) -> bool:
    """Whether an object is Ready."""
    conditions = obj.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def latencies(place: Place, count: int) -> dict[str, Any]:
    """Return milliseconds: of new objects and changed values, of the API and the kube-apiserver alone."""
    namespace, apart, observer = await place.namespace(), await place.namespace(), Observer()
    await place.fill(apart, ["bare"])
    await place.control.reset()
    operator = Operator(place, namespace=namespace)
    created: list[float] = []
    changed: list[float] = []
    alone: list[float] = []
    kube: list[float] = []
    try:
        await operator.ready()
        async with observer.watching(place, namespace), aiohttp.ClientSession() as api:
            for number in range(count + 5):  # the first ones open connections
                name = f"one-{number}"
                created.append(await new_object(place, namespace, name, observer))
                await asyncio.sleep(_PAUSE)
                alone.append(await _bare_post(api, place))
                await asyncio.sleep(_PAUSE)
                changed.append(await _new_value(place, namespace, name, observer))
                await asyncio.sleep(_PAUSE)
                kube.append(await _bare_get_and_patch(place, of=(namespace, name), onto=(apart, "bare")))
                await asyncio.sleep(_PAUSE)
    finally:
        operator.stop()
    await place.clear(namespace)
    await place.clear(apart)
    return {"created": created[5:], "changed": changed[5:], "api": alone[5:], "kube": kube[5:]}


async def new_object(place: Place, namespace: str, name: str, observer: Observer) -> float:
    """Make an object and its Secret; return the milliseconds from the server's answer to Ready as seen."""
    await place.secret(namespace, name)
    seen = observer.expect(name, ready)
    await place.method_secret(namespace, name, source=name)
    began = time.monotonic()
    return 1000 * (await asyncio.wait_for(seen, 60) - began)


async def _new_value(place: Place, namespace: str, name: str, observer: Observer) -> float:
    path = f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets/{name}"
    former = (await place.send("GET", path))["status"]["id"]
    seen = observer.expect(name, lambda obj: obj["status"].get("id") != former and ready(obj))
    body = {"stringData": {"value": uuid.uuid4().hex}}
    secret = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    await place.send("PATCH", secret, body, kind="application/merge-patch+json")
    began = time.monotonic()
    return 1000 * (await asyncio.wait_for(seen, 60) - began)


async def _bare_post(api: aiohttp.ClientSession, place: Place) -> float:
    headers = {
        "Authorization": f"Bearer {API_KEY}",
        "Method-Version": "2026-03-30",
        "Idempotency-Key": str(uuid.uuid4()),
    }
    body = {"value": f"key_live_{uuid.uuid4().hex}", "metadata": {"team": "bench"}}
    began = time.monotonic()
    async with api.post(f"{place.emulator.url}/secrets", json=body, headers=headers) as response:
        await response.read()
    return 1000 * (time.monotonic() - began)


async def _bare_get_and_patch(place: Place, *, of: tuple[str, str], onto: tuple[str, str]) -> float:
    """Read a Secret and give an object the status of another, as the operator does for a new one."""
    objects = "/apis/methodfi.com/v1/namespaces/{}/methodsecrets/{}"
    status = (await place.send("GET", objects.format(*of)))["status"]
    began = time.monotonic()
    await place.send("GET", "/api/v1/namespaces/{}/secrets/{}".format(*onto))
    body = {"status": status}
    await place.send("PATCH", f"{objects.format(*onto)}/status", body, kind="application/merge-patch+json")
    return 1000 * (time.monotonic() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share (0 to 1) of all stay below; of 200, the 101st at 0.5."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
