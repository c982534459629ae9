"""Health and metrics over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from methodsecret_operator.runtime import health


@dataclass
class State:
    """What the checks answer."""

    sick: str | None = None
    unready: str | None = None


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def http(state: State) -> AsyncIterator[aiohttp.ClientSession]:
    serving = health.serve(host="127.0.0.1", port=0, healthy=lambda: state.sick, ready=lambda: state.unready)
    async with serving as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as answer:
        return answer.status, await answer.text()


async def test_all_is_well(http: aiohttp.ClientSession) -> None:
    assert await get(http, "/healthz") == (200, "ok\n")
    assert await get(http, "/readyz") == (200, "ok\n")


async def test_each_check_speaks_for_itself_and_at_the_moment(
    http: aiohttp.ClientSession, state: State
) -> None:
    state.unready = "not synced yet"
    assert await get(http, "/readyz") == (503, "not synced yet\n")
    assert await get(http, "/healthz") == (200, "ok\n")
    state.sick, state.unready = "informer has ended", None
    assert await get(http, "/healthz") == (503, "informer has ended\n")
    assert await get(http, "/readyz") == (200, "ok\n")


async def test_metrics_are_what_prometheus_reads(http: aiohttp.ClientSession) -> None:
    async with http.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert "# TYPE python_info gauge" in text
    assert text.endswith("\n")


async def test_nothing_else_is_served_and_nothing_can_be_changed(http: aiohttp.ClientSession) -> None:
    assert (await get(http, "/"))[0] == 404
    async with http.post("/healthz") as answer:
        assert answer.status == 405


async def test_the_port_is_free_again_afterwards() -> None:
    async with health.serve(host="127.0.0.1", port=0, healthy=lambda: None, ready=lambda: None) as port:
        pass
    async with health.serve(host="127.0.0.1", port=port, healthy=lambda: None, ready=lambda: None) as again:
        assert again == port
