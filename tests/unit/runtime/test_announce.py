"""Events: one for each transition, none for the rest, and never in the way of the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.core.snapshot import Finding
from methodsecret_operator.core.status import summarize
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime import announce
from methodsecret_operator.runtime.announce import Announcer
from tests.unit import gen
from tests.unit.runtime.kube_server import KubeServer

EVENTS = f"POST /api/v1/namespaces/{gen.NAMESPACE}/events"


@pytest.fixture
async def announcer(kube: KubeClient) -> AsyncIterator[Announcer]:
    made = Announcer(kube=kube, instance="pod-1", clock=lambda: gen.NOW)
    running = asyncio.create_task(made.run())
    yield made
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def tell(announcer: Announcer, obj: MethodSecret, finding: Finding) -> None:
    announcer.announce(obj, summarize(obj, finding, now=gen.NOW), finding)


def told(server: KubeServer) -> list[tuple[Any, ...]]:
    return [(event["type"], event["reason"], event["message"]) for event in server.posted]


async def test_a_first_secret_is_told_once(announcer: Announcer, server: KubeServer) -> None:
    obj = gen.method_secret()
    tell(announcer, obj, gen.finding())
    written = obj.model_copy(update={"status": summarize(obj, gen.finding(), now=gen.NOW)})
    tell(announcer, written, gen.finding(base_id="sec_new1", generation=2))
    await announcer.flush(seconds=10)
    assert told(server) == [("Normal", "Synced", "sec_new1 at Method holds the value.")]
    assert server.posted[0]["involvedObject"]["uid"] == gen.UID


async def test_trouble_is_a_warning(announcer: Announcer, server: KubeServer) -> None:
    tell(announcer, gen.method_secret(), gen.finding(reason=Reason.REJECTED, message="No.", secret=None))
    await announcer.flush(seconds=10)
    assert told(server) == [("Warning", "Rejected", "No.")]


async def test_a_last_newline_is_told_beside_it(announcer: Announcer, server: KubeServer) -> None:
    tell(announcer, gen.method_secret(), gen.finding(trailing_newline=True))
    await announcer.flush(seconds=10)
    assert sorted(reason for _, reason, _ in told(server)) == ["Synced", "TrailingNewline"]


@pytest.mark.parametrize("status", [403, 409, 500])
async def test_a_refused_event_is_dropped_and_the_next_is_posted(
    announcer: Announcer, server: KubeServer, status: int
) -> None:
    server.faults[EVENTS] = [status]
    tell(announcer, gen.method_secret(), gen.finding())
    await announcer.flush(seconds=10)
    assert server.posted == []
    tell(announcer, gen.method_secret(), gen.finding())
    await announcer.flush(seconds=10)
    assert len(server.posted) == 1


async def test_more_than_can_wait_is_dropped_good_news_first(
    kube: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "_BACKLOG", 4)
    monkeypatch.setattr(announce, "_BACKLOG_OF_GOOD_NEWS", 2)
    idle = Announcer(kube=kube, instance="pod-1", clock=lambda: gen.NOW)
    for _ in range(5):
        tell(idle, gen.method_secret(), gen.finding())
    assert idle._backlog.qsize() == 2
    for _ in range(5):
        tell(idle, gen.method_secret(), gen.finding(reason=Reason.REJECTED, message="No.", secret=None))
    assert idle._backlog.qsize() == 4
    await idle.flush(seconds=0)  # nobody posts: it does not wait longer than asked


async def test_a_burst_is_posted_in_its_time_and_the_end_does_not_wait_for_that(
    announcer: Announcer, server: KubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "_PAUSE_SECONDS", 3600)
    for number in range(announce._POSTERS + 3):
        tell(announcer, gen.method_secret(name=f"acme-{number}"), gen.finding())
    resting = announcer._ending._waiters  # nobody else knows who rests
    while len(resting) < announce._POSTERS:  # noqa: ASYNC110 - and nothing tells of it
        await asyncio.sleep(0)
    assert len(server.posted) == announce._POSTERS
    await announcer.flush(seconds=10)
    assert len(server.posted) == announce._POSTERS + 3
