"""The bare floor: the least any Python program could do to get N objects stored. No watch, no queue, no care.

Twenty at a time: GET the Secret, POST its value, PATCH the status. What it leaves out is what an operator is
for: it notices nothing, repeats nothing, and run again it would store everything again.

Started by bench.programs, which gives it its settings as JSON on standard input.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import uuid
from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

AT_ONCE = 20
MERGE = "application/merge-patch+json"


class Floor:
    """What one object needs, over connections that all of them share."""

    def __init__(
        self, *, kube: aiohttp.ClientSession, method: httpx.AsyncClient, settings: Mapping[str, Any]
    ) -> None:
        self._kube = kube
        self._method = method
        self._secrets = f"{settings['server']}/api/v1/namespaces/{settings['namespace']}/secrets"
        self._objects = (
            f"{settings['server']}/apis/methodfi.com/v1/namespaces/{settings['namespace']}/methodsecrets"
        )
        self._create = f"{settings['method_url']}/secrets"

    async def run(self, names: list[str]) -> None:
        """Store all of these, so many at a time."""
        waiting = iter(names)

        async def worker() -> None:
            for name in waiting:
                await self.one(name)

        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_ONCE):
                workers.create_task(worker())

    async def one(self, name: str) -> None:
        """Store one; whatever goes wrong ends the program."""
        async with self._kube.get(f"{self._secrets}/{name}") as response:
            response.raise_for_status()
            secret = await response.json()
        value = base64.b64decode(secret["data"]["value"]).decode()
        answer = await self._method.post(
            self._create,
            json={"value": value, "metadata": {"team": "payments", "name": name}},
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        answer.raise_for_status()
        stored = answer.json()["data"]
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Synced",
            "message": f"{stored['id']} holds the value of Secret {name}.",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = {
            "id": stored["id"],
            "status": stored["status"],
            "createdAt": stored["created_at"],
            "updatedAt": stored["updated_at"],
            "observedGeneration": 1,
            "conditions": [condition],
        }
        body = json.dumps({"status": status})
        async with self._kube.patch(
            f"{self._objects}/{name}/status", data=body, headers={"Content-Type": MERGE}
        ) as response:
            response.raise_for_status()
            await response.read()


async def main() -> None:
    """Say when it begins and when it is done, then wait to be ended, so that its CPU time can be read."""
    settings = json.loads(sys.stdin.readline())
    tls = ssl.create_default_context(cafile=settings["ca_file"])
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            headers={"Authorization": f"Bearer {settings['token']}"},
        ) as kube,
        httpx.AsyncClient(
            transport=AiohttpTransport(),
            headers={"Authorization": f"Bearer {settings['api_key']}", "Method-Version": "2026-03-30"},
        ) as method,
    ):
        floor = Floor(kube=kube, method=method, settings=settings)
        print(json.dumps({"event": "begin"}), flush=True)
        await floor.run(settings["names"])
        print(json.dumps({"event": "done"}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
