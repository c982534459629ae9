"""What /healthz and /readyz say when something is broken for real, and when only somebody else is."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dev.controlplane import ControlPlane
from tests.faults.matrix import Places
from tests.faults.place import Place
from tests.faults.proxy import Hold, Point
from tests.integration.conftest import SYSTEM
from tests.integration.scrape import Endpoint
from tests.integration.world import not_ready, ready

STUCK = 2
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"


async def _start(place: Place) -> Endpoint:
    """Start an operator of one worker that is soon taken for stuck."""
    endpoint = Endpoint(place)
    # With poll there is no other watch that would be quiet.
    await place.start_operator(
        WORKERS="1", STUCK_SECONDS=str(STUCK), SOURCE_WATCH="poll", **endpoint.settings
    )
    await place.until_watching()
    return endpoint


@contextlib.asynccontextmanager
async def _busy(place: Place) -> AsyncIterator[None]:
    """Keep the watch on MethodSecrets from being quiet: change something that is of no interest."""
    place.method_secret("busy", source="nowhere")
    url = place.path("methodsecrets", "busy")
    type_ = {"Content-Type": "application/merge-patch+json"}

    async def change() -> None:
        for number in itertools.count():
            body = {"metadata": {"labels": {"n": str(number)}}}
            await asyncio.to_thread(place.plane.http.patch, url, headers=type_, json=body)
            await asyncio.sleep(0.1)

    changing = asyncio.create_task(change())
    try:
        yield
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)


async def test_healthz_fails_for_a_dead_watch_and_for_dead_workers_and_mends(places: Places) -> None:
    async with places() as place:
        endpoint = await _start(place)
        async with _busy(place):
            hold = place.proxy.hold = Hold(Point("kube", "GET secrets/source", 1), "before")
            place.write_value()
            place.method_secret()
            await hold.reached.wait()
            assert (await endpoint.get("/healthz"))[0] == 200, "one look may take a while"
            place.method_secret("next", source="nowhere")
            await endpoint.until("/healthz", 503, "no object was taken up or finished for 2 s")
            hold.drop()
            await endpoint.until("/healthz", 200, "ok")
            await place.until(not_ready("SourceNotFound"), "next")

            assert place.proxy.silence("WATCH methodsecrets") == 1
            await endpoint.until("/healthz", 503, "the watch on methodsecrets has neither heard nor asked")
            assert place.proxy.expire("WATCH methodsecrets") == 1
            await endpoint.until("/healthz", 200, "ok")


async def test_an_absent_method_is_no_reason_to_restart(places: Places) -> None:
    async with places() as place:
        endpoint = await _start(place)
        place.proxy.refuse(lambda sent: sent.end == "method", status=503, reason="Down", count=10**6)
        place.write_value()
        async with _busy(place):
            for number in range(3):
                place.method_secret(f"acme-{number}")
                await place.until(not_ready("MethodUnavailable"), f"acme-{number}")

            await place.proxy.until(lambda log: sum(sent.end == "method" for sent in log) > 6)
            assert await endpoint.get("/healthz") == (200, "ok")
            assert await endpoint.get("/readyz") == (200, "ok")
        found = await endpoint.scrape()
        assert found.value("methodsecret_objects", namespace=place.namespace, reason="MethodUnavailable") == 3
        assert found.value("methodsecret_method_requests_total", operation="list", status="503") > 0
        assert found.value("methodsecret_queue_retries_total") > 0


async def test_a_large_accounts_long_scan_is_no_reason_to_restart(places: Places) -> None:
    """Whoever wants to create waits for it, and what is due waits for them; a restart would begin it anew."""
    async with places() as place:
        endpoint = await _start(place)
        async with _busy(place):
            await place.until(not_ready("SourceNotFound"), "busy")
            hold = place.proxy.hold = Hold(Point("method", "GET /secrets", 1), "before")
            place.write_value()
            place.method_secret()
            await hold.reached.wait()
            place.method_secret("next", source="nowhere")
            waited = "methodsecret_queue_oldest_wait_seconds"
            await endpoint.until_scraped(lambda scrape: scrape.value(waited) > STUCK + 1)
            assert await endpoint.get("/healthz") == (200, "ok")
            hold.drop()
            await place.until(not_ready("SourceNotFound"), "next")


@pytest.mark.parametrize("standby", [False, True], ids=["works", "stands by"])
async def test_readyz_waits_until_all_objects_are_known(
    control_plane: ControlPlane,
    places: Places,
    standby: bool,  # noqa: FBT001 - a parameter
) -> None:
    async with places() as place:
        endpoint = Endpoint(place)
        election: dict[str, Any] = {}
        if standby:
            lease = {
                "metadata": {"name": "methodsecret-operator"},
                "spec": {"holderIdentity": "another", "leaseDurationSeconds": 300},
            }
            control_plane.http.delete(f"{LEASES}/methodsecret-operator")
            control_plane.http.post(LEASES, json=lease).raise_for_status()
            election = {"LEADER_ELECTION": "true"}
        place.write_value()
        place.method_secret()
        hold = place.proxy.hold = Hold(Point("kube", "LIST methodsecrets", 1), "before")
        # A standby's only list is kopf's; who works makes one of its own as well.
        place.proxy.refuse(
            lambda sent: sent.label == "LIST methodsecrets" and not standby,
            status=503,
            reason="Later",
            count=2,
        )
        await place.start_operator(wait=False, **election, **endpoint.settings)
        await hold.reached.wait()
        await endpoint.until("/readyz", 503, "not synced yet")
        assert (await endpoint.get("/healthz"))[0] == 200
        hold.drop()
        await endpoint.until("/readyz", 200, "ok")
        found = await endpoint.until_scraped(lambda scrape: "methodsecret_objects{" in scrape.text)
        assert found.value("methodsecret_leader") == (0 if standby else 1)
        if standby:
            assert await place.control.count("create") == 0
            control_plane.http.delete(f"{LEASES}/methodsecret-operator")
        else:
            await place.until(ready())


async def test_a_watch_that_dies_ends_the_process_as_a_failure(places: Places) -> None:
    async with places() as place:
        operator = await place.start_operator(SOURCE_WATCH="poll")
        await place.until_watching()
        assert place.proxy.fail("WATCH methodsecrets") == 1
        assert await asyncio.to_thread(operator.wait) == 1
        assert "stopping: something essential is dead" in operator.log_text()
