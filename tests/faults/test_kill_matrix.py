"""SIGKILL before and after every request of every scenario: nothing made twice, nothing left, nothing lost.

The points come from what the operator really sends, so that a new request joins by itself; and what it
sends is held against golden/*.txt, so that one more request shows up in a diff. `UPDATE_GOLDEN=1` writes
those files anew, to be reviewed as any other change.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable

import pytest

from tests.faults.golden import written_down
from tests.faults.matrix import Places, kill_everywhere, points, record
from tests.faults.proxy import Recorded
from tests.faults.scenarios import SCENARIOS, Scenario

GOLDEN = pathlib.Path(__file__).parent / "golden"
DOC = pathlib.Path(__file__).parents[2] / "docs" / "how-it-works.md"
Recordings = dict[str, list[Recorded]]


async def _recorded(scenario: Scenario, places: Places, recordings: Recordings) -> list[Recorded]:
    if scenario.name not in recordings:
        recordings[scenario.name] = await record(scenario, places)
    return recordings[scenario.name]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_the_requests_are_those_that_were_reviewed(
    scenario: Scenario, places: Places, recordings: Recordings
) -> None:
    said = written_down(await _recorded(scenario, places, recordings))
    file = GOLDEN / f"{scenario.name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(said, encoding="utf-8")
    assert said == file.read_text(encoding="utf-8"), (
        f"{scenario.reason}: run with UPDATE_GOLDEN=1, and review"
    )


def test_every_golden_file_is_of_a_scenario() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {scenario.name for scenario in SCENARIOS}


def test_the_document_has_every_scenario_with_its_kills() -> None:
    text = DOC.read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w-]+)` \| .+ \| (\d+) \| `make (test|soak)` \|$", text, flags=re.MULTILINE)
    assert sorted(told) == sorted(
        (one.name, str(2 * one.points), "test" if one.always else "soak") for one in SCENARIOS
    )
    assert f"That is {2 * sum(one.points for one in SCENARIOS)} kills with the keys kept" in text


@pytest.mark.parametrize(
    ("scenario", "forget"),
    [
        pytest.param(
            scenario,
            forget,
            marks=pytest.mark.soak if forget and not scenario.always else (),
            id=f"{scenario}-keys-forgotten" if forget else scenario.name,
        )
        for scenario in SCENARIOS
        for forget in (False, True)
    ],
)
@pytest.mark.timeout(900)
async def test_killed_at_every_request(
    scenario: Scenario,
    forget: bool,  # noqa: FBT001 - a parameter of the table
    places: Places,
    recordings: Recordings,
    record_property: Callable[[str, object], None],
) -> None:
    kills = points(await _recorded(scenario, places, recordings))
    keys = "forgotten" if forget else "kept"
    record_property("figure", f"kill matrix: {scenario}, keys {keys}: {2 * len(kills)} kills")
    assert len(kills) == scenario.points, "other requests than before: if that is meant, write it down"
    assert await kill_everywhere(scenario, kills, places, forget=forget) == []
