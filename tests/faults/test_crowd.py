"""Many objects that refer to one Secret: what its change leaves to everybody else."""

from __future__ import annotations

from methodsecret_operator.runtime.workqueue import FEW
from tests.faults.matrix import Places
from tests.faults.proxy import Hold, Point
from tests.integration.scrape import Endpoint
from tests.integration.world import not_ready, ready

CROWD = FEW + 1


async def test_a_crowd_has_a_quarter_of_the_workers(places: Places) -> None:
    """However long each of its looks takes, a new object finds a worker that is free."""
    async with places() as place:
        endpoint = Endpoint(place)
        await place.start_operator(WORKERS="4", **endpoint.settings)
        place.secret("shared", other="x")
        for number in range(CROWD):
            place.method_secret(f"crowd-{number}", source="shared")
        for number in range(CROWD):
            await place.until(not_ready("SourceKeyNotFound"), f"crowd-{number}")
        hold = place.proxy.hold = Hold(Point("kube", "GET secrets/shared", 1), "before")
        place.secret("shared", other="y")
        await hold.reached.wait()
        found = await endpoint.until_scraped(
            lambda scrape: scrape.value("methodsecret_queue_depth") == CROWD - 1
        )
        assert found.value("methodsecret_queue_in_flight") == 1
        place.write_value()
        place.method_secret()
        await place.until(ready())
        hold.drop()
