"""An emulator served in this process, and plain clients of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest_asyncio

from method_emulator.testing import RunningEmulator, running_emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

API_KEY = "sk_test"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    """Serve an emulator with default settings and one account."""
    async with running_emulator(api_keys={API_KEY: "team"}) as running:
        yield running


@pytest_asyncio.fixture
async def client(emulator: RunningEmulator) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with the API key and the version."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Method-Version": "2026-03-30"}
    async with httpx.AsyncClient(base_url=emulator.url, headers=headers, timeout=20) as opened:
        yield opened
