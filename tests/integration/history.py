"""Every state that the objects of a namespace go through, by one watch: none is missed, however short."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator

import aiohttp
import yaml

from tests.integration.world import Object, Predicate, World


class History:
    """`until` returns the first state of an object, from the beginning, that is as wanted."""

    def __init__(self) -> None:
        self._states: dict[str, list[Object]] = defaultdict(list)
        self._gone: set[str] = set()
        self._changed = asyncio.Event()

    async def until(self, name: str, wanted: Predicate, *, seconds: float = 60.0) -> Object:
        """Wait for a state; AssertionError with the last one where it does not come."""
        seen = 0
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for state in self._states[name][seen:]:
                        seen += 1
                        if wanted(state):
                            return state
                    await self._changed.wait()
        except TimeoutError:
            last = self._states[name][-1:] or [{}]
            raise AssertionError(f"{name} did not get there: {json.dumps(last[0].get('status'))}") from None

    async def until_gone(self, name: str, *, seconds: float = 60.0) -> None:
        """Wait until an object is no more."""
        async with asyncio.timeout(seconds):
            while name not in self._gone:
                await self._changed.wait()

    def take(self, event: Object) -> None:
        """Take in an event of the watch."""
        name = event["object"]["metadata"]["name"]
        self._states[name].append(event["object"])
        if event["type"] == "DELETED":
            self._gone.add(name)
        self._changed.set()
        self._changed = asyncio.Event()


@contextlib.asynccontextmanager
async def history(world: World) -> AsyncIterator[History]:
    """Watch the world's MethodSecrets until the block ends."""
    made = History()
    token = yaml.safe_load(world.kubeconfig.read_text())["users"][0]["user"]["token"]
    async with (
        aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(total=None)
        ) as session,
        session.get(
            world.plane.url + world.path("methodsecrets"),
            params={"watch": "1"},
            ssl=ssl.create_default_context(cafile=world.plane.ca_file),
            raise_for_status=True,
        ) as stream,
    ):

        async def read() -> None:
            async for line in stream.content:
                world.seen.append(line.decode())
                made.take(json.loads(line))

        reading = asyncio.create_task(read())
        try:
            yield made
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
