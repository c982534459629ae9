"""The rate limits: 1,800 writes and 6,000 reads in any 60 s per key, then 60 s of refusals."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from method_emulator.limits import RateLimits, Tier
from method_emulator.testing import running_emulator

HEADERS = {"Authorization": "Bearer sk_a", "Method-Version": "2026-03-30"}


def admit(
    limits: RateLimits, now: float, *, limit: int = 3, key: str = "a", tier: Tier = Tier.WRITE
) -> float:
    return limits.admit(key, tier, limit=limit, block_seconds=60, now=now)


@pytest.mark.parametrize(
    ("calls", "expected", "reason"),
    [
        ([0, 1, 2], [0, 0, 0], "the limit itself is allowed"),
        ([0, 1, 2, 3], [0, 0, 0, 60], "one more blocks"),
        ([0, 1, 2, 59.9], [0, 0, 0, 60], "the window is 60 s long"),
        ([0, 1, 2, 60], [0, 0, 0, 0], "the window rolls"),
        ([0, 1, 2, 3, 33, 62], [0, 0, 0, 60, 30, 1], "refused calls do not prolong the block"),
        ([0, 1, 2, 3, 63, 64, 65, 66], [0, 0, 0, 60, 0, 0, 0, 60], "after the block the whole limit is free"),
    ],
)
def test_the_window(calls: list[float], expected: list[float], reason: str) -> None:
    limits = RateLimits()
    assert [admit(limits, now) for now in calls] == expected, reason


def test_keys_and_tiers_are_counted_apart() -> None:
    limits = RateLimits()
    assert [admit(limits, 0, limit=1), admit(limits, 0, limit=1)] == [0, 60]
    assert admit(limits, 0, limit=1, key="b") == 0
    assert admit(limits, 0, limit=1, tier=Tier.READ) == 0


def test_zero_is_no_limit() -> None:
    limits = RateLimits()
    assert {admit(limits, 0, limit=0) for _ in range(10_000)} == {0.0}


@given(st.lists(st.floats(min_value=0, max_value=20), max_size=80), st.integers(min_value=1, max_value=5))
def test_never_more_than_the_limit_in_any_60_seconds(gaps: list[float], limit: int) -> None:
    limits, now, admitted = RateLimits(), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if not admit(limits, now, limit=limit):
            admitted.append(now)
    for start in admitted:
        assert sum(start <= call < start + 60 for call in admitted) <= limit


async def test_429_over_http_says_how_long() -> None:
    async with (
        running_emulator(writes_per_minute=2, reads_per_minute=3) as emulator,
        httpx.AsyncClient(base_url=emulator.url, headers=HEADERS) as client,
    ):
        writes = [await client.post("/secrets", json={"value": "v"}) for _ in range(3)]
        reads = [await client.get("/ping") for _ in range(4)]
        for answers in (writes, reads):
            assert [answer.status_code for answer in answers][-2:] == [200, 429]
            assert answers[-1].headers["Retry-After"] == "60"
            assert answers[-1].json()["data"]["error"]["sub_type"] == "TOO_MANY_REQUESTS"
        other = await client.get("/ping", headers={"Authorization": "Bearer sk_b"})
        assert other.status_code == 200
        assert (await emulator.control.counters())["operations"]["create"] == {"200": 2, "429": 1}


async def test_retry_after_can_be_left_out_and_limits_changed() -> None:
    async with (
        running_emulator(reads_per_minute=1, retry_after=False) as emulator,
        httpx.AsyncClient(base_url=emulator.url, headers=HEADERS) as client,
    ):
        assert [(await client.get("/ping")).status_code for _ in range(2)] == [200, 429]
        assert "Retry-After" not in (await client.get("/ping")).headers
        await emulator.control.change_settings(reads_per_minute=0)
        assert (await client.get("/ping")).status_code == 200
