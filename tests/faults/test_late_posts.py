"""A POST that outlives its sender: it is done only after the operator was killed and started again.

Nobody can keep it from being done. While Method knows its key it makes nothing; else the second secret is
found by the next resync and deleted, since nobody can know its id.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest

from tests.faults.matrix import Places
from tests.faults.scenarios import SCENARIOS, Scenario, problems

Moment = Literal["before", "after"]


@pytest.mark.parametrize("forget", [False, True], ids=["", "keys-forgotten"])
@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("before", "between the list and the POST of the operator that was started again"),
        ("after", "when that operator has long written the status"),
    ],
)
@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.always], ids=str)
async def test_a_post_that_lands_late_leaves_no_second_secret(
    scenario: Scenario,
    moment: Moment,
    reason: str,
    forget: bool,  # noqa: FBT001 - a parameter of the table
    places: Places,
) -> None:
    assert scenario.change is not None
    async with places() as place:
        control = place.control
        operator = await place.start_operator()
        await place.until_watching()
        await scenario.given(place)
        late = await control.add_fault("create", "hold")
        await scenario.change(place)
        await control.wait_held(late)
        operator.kill()

        async def land() -> None:
            done = await control.count("create")
            await control.release(late)
            await control.wait_for_requests(done + 1, operation="create")
            if forget and moment == "before":
                await control.forget_idempotency()

        if moment == "before":
            own = await control.add_fault("create", "hold")
            await place.start_operator(wait=False, RESYNC_SECONDS="1")
            await control.wait_held(own)
            await land()
            await control.release(own)
            await scenario.settled(place)
        else:
            await place.start_operator(wait=False, RESYNC_SECONDS="1")
            await scenario.settled(place)
            if forget:
                await control.forget_idempotency()
            await land()
        if forget:
            await control.wait_for_requests(scenario.stored - scenario.active + 1, operation="delete")
        # Two more lists, since one may have begun before: nothing more comes of what they show.
        await control.wait_for_requests(await control.count("list") + 2, operation="list")
        expected = dataclasses.replace(scenario, stored=scenario.stored + forget)
        assert await problems(expected, place) == [], reason
