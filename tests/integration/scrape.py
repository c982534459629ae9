"""Reads /healthz, /readyz and /metrics of an operator's process, as a kubelet and Prometheus do."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.world import World

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


class Scrape:
    """One scrape. `families` are the names as in the text, counters with their _total."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            self.families[name] = family.type
            for sample in family.samples:
                self.samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Return one series' value; 0 where there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)


class Endpoint:
    """The three paths of one operator; `settings` is what it must be started with."""

    def __init__(self, world: World) -> None:
        port = free_port()
        self._world = world
        self._url = f"http://{HOST}:{port}"
        self.settings: dict[str, Any] = {"HEALTH_PORT": str(port), "HEALTH_HOST": HOST}

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and text of /healthz or /readyz; 0 where nobody answers yet."""
        async with httpx.AsyncClient(trust_env=False) as http:
            try:
                answer = await http.get(self._url + path)
            except httpx.TransportError:
                return 0, ""
            return answer.status_code, answer.text.strip()

    async def scrape(self) -> Scrape:
        """Read /metrics, and leave the text to the leak check."""
        status, text = await self.get("/metrics")
        assert status == 200
        self._world.metrics.append(text)
        return Scrape(text + "\n")

    async def until(self, path: str, status: int, text: str, *, seconds: float = 20.0) -> None:
        """Ask until the answer is as wanted; there is nothing to wait on but the answer itself."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.get(path)
            if found[0] == status and text in found[1]:
                return
            assert time.monotonic() < deadline, f"{path} is not {status} {text!r} but {found}"
            await asyncio.sleep(0.05)

    async def until_scraped(self, wanted: Callable[[Scrape], bool], *, seconds: float = 20.0) -> Scrape:
        """Scrape until it is as wanted."""
        deadline = time.monotonic() + seconds
        while not wanted(found := await self.scrape()):
            assert time.monotonic() < deadline, f"not scraped in {seconds:g} s:\n{found.text}"
            await asyncio.sleep(0.05)
        return found
