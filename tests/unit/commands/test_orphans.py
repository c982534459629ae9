"""`orphans`: how a survey is told, and when something may be deleted. The rest is on real servers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import click
import pytest

from methodsecret_operator import __main__ as command_line
from methodsecret_operator.commands import orphans
from methodsecret_operator.commands.places import Unjudged
from methodsecret_operator.commands.survey import FRESH, Survey
from methodsecret_operator.core.orphans import Verdict
from tests.unit import gen
from tests.unit.commands.scene import Scene
from tests.unit.core.test_orphans import HERE, VIEW

CANARY = "CANARY-7f3a"


@pytest.mark.parametrize(
    ("text", "length", "reason"),
    [
        ("0s", timedelta(0), "everything"),
        ("1h30m", timedelta(minutes=90), "parts"),
        ("1", None, "no unit"),
        ("-1h", None, "no time to come"),
        ("", None, "nothing"),
    ],
)
def test_ages(text: str, length: timedelta | None, reason: str) -> None:
    assert orphans.parse_age(text) == length, reason


@pytest.mark.parametrize(
    ("arguments", "says", "reason"),
    [
        (["sec_a"], "--delete takes ids or --all", "ids alone delete nothing"),
        (["--all"], "--delete takes ids or --all", "nor does --all"),
        (["--delete"], "--delete takes ids or --all", "nothing to delete"),
        (["--delete", "--all", "sec_a"], "--delete takes ids or --all", "which of the two"),
        (["--delete", CANARY], "an id is sec_ and letters", "a value in the wrong place"),
        (["--delete", f"sec_{CANARY}"], "an id is sec_ and letters", "a hyphen is in no id"),
        (["--min-age", CANARY], "--min-age must be a duration", "no duration"),
        (["--output", CANARY], "--output must be table or json", "no output"),
    ],
)
def test_wrong_use_is_explained_without_repeating_values(
    arguments: list[str], says: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["orphans", *arguments]) == 2, reason
    told = capsys.readouterr()
    assert says in told.err, reason
    assert CANARY not in told.err + told.out, reason


def survey(**view: object) -> Survey:
    return Survey(cluster="prod-eu", view=replace(VIEW, **view))  # type: ignore[arg-type]  # View's fields


@pytest.mark.parametrize(
    ("one", "says", "reason"),
    [
        (survey(live=frozenset({HERE}), namespaces=frozenset({"payments"})), "all namespaces", "half a view"),
        (survey(), "no MethodSecret at all", "a cluster that is being rebuilt"),
    ],
)
async def test_all_is_refused_where_it_would_be_a_mistake(one: Survey, says: str, reason: str) -> None:
    with pytest.raises(click.UsageError, match=says):
        await orphans._delete(None, one, "all", yes=True)  # type: ignore[arg-type]  # refused before it is used
    assert reason


def test_a_survey_without_orphans_says_what_was_there_and_what_was_not_judged() -> None:
    one = survey()
    one.counts = {Verdict.IN_USE: 3, Verdict.UNMARKED: 1, Verdict.OTHER_KEY: 2}
    one.unjudged = [Unjudged(what="namespace a", why="list: HTTP 403")]
    assert orphans.as_table(one).splitlines() == [
        f"0 orphans of cluster prod-eu, digest key {VIEW.key_id}.",
        "Not orphans: 1 not the operator's",
        "Not orphans: 3 in use",
        "Not judged: namespace a: list: HTTP 403",
    ]


async def test_everything_is_asked_when_the_delete_has_its_turn(scene: Scene) -> None:
    secret_id = await scene.seed()
    surveyor = scene.surveyor(writes_per_minute="1")
    survey = await surveyor.survey()
    found = survey.orphans[secret_id]
    writes = found.place.account.client.writes
    with await writes.acquire():
        deleting = asyncio.create_task(orphans.delete(surveyor, survey, found))
        await asyncio.sleep(0)
        assert writes.waiting == 1
        scene.server.put_list(gen.raw_object(name="after", spec=gen.raw_spec(adopt={"id": secret_id})))
    assert await deleting == "a MethodSecret or a ConfigMap names it by now"
    assert await scene.emulator.control.count("delete") == 0
    scene.server.put_list()
    scene.now += FRESH
    assert await orphans.delete(surveyor, survey, found) is None, "the turn was given back, not lost"
    assert await scene.emulator.control.count("delete") == 1


async def test_a_429_is_sat_out(scene: Scene) -> None:
    """It was another one's: the rest of a long list shall not fail with that."""
    secret_id = await scene.seed()
    surveyor = scene.surveyor()
    survey = await surveyor.survey()
    found = survey.orphans[secret_id]
    reads = found.place.account.client.reads
    reads.block(3600)
    deleting = asyncio.create_task(orphans.delete(surveyor, survey, found))
    await asyncio.sleep(0)
    assert reads.waiting == 1
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
