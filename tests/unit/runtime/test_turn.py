"""An object's place in line for a slot: kept, given back, and never taken twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from methodsecret_operator.method.budget import Budget
from methodsecret_operator.runtime.turn import Turn


class Place:
    """A budget of one, and two objects that want it."""

    def __init__(self) -> None:
        self.budget = Budget(limit=1, clock=asyncio.get_running_loop())
        self.come: list[str] = []
        self.one, self.other = Turn(), Turn()

    def want(self, turn: Turn, name: str = "one") -> bool:
        """Whether there is a slot for it by now."""
        return turn.take(self.budget, come=lambda: self.come.append(name)) is not None

    async def let_the_other_wait(self) -> None:
        """Let one have the slot, and the other end a look with waiting for it."""
        assert self.want(self.one)
        assert not self.want(self.other, "other")
        self.other.end_look()
        await settle()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    place.one.close()
    place.other.close()
    place.budget.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_look_that_does_not_spend_its_slot_gives_it_back(place: Place) -> None:
    assert place.want(place.one)
    assert place.want(place.one), "the same look has it already"
    place.one.end_look()
    assert place.want(place.other, "other")


async def test_who_has_to_wait_is_called_and_finds_the_slot_kept(place: Place) -> None:
    await place.let_the_other_wait()
    assert place.budget.waiting == 1, "its place outlives the look"
    place.one.end_look()
    await settle()
    assert place.come == ["other"]
    assert not place.want(place.one), "it is kept for who was called"
    assert place.want(place.other, "other")


async def test_who_needs_it_no_more_leaves_the_line(place: Place) -> None:
    await place.let_the_other_wait()
    place.other.end_look()  # the next look has not asked for it
    await settle()
    assert place.budget.waiting == 0


async def test_a_slot_that_has_come_and_is_not_wanted_is_given_back(place: Place) -> None:
    await place.let_the_other_wait()
    place.one.end_look()
    await settle()
    assert place.budget.available == 0
    place.other.end_look()
    assert place.budget.available == 1


async def test_what_is_spent_is_not_given_back(place: Place) -> None:
    slot = place.one.take(place.budget, come=lambda: None)
    assert slot is not None
    place.one.spend()
    place.one.end_look()
    assert place.budget.available == 0
    slot.release()
    assert place.budget.available == 1


async def test_a_slot_of_another_account_is_given_back(place: Place) -> None:
    """The object has changed its account while it waited."""
    await place.let_the_other_wait()
    place.one.end_look()
    await settle()
    elsewhere = Budget(limit=1, clock=asyncio.get_running_loop())
    slot = place.other.take(elsewhere, come=lambda: None)
    assert slot is not None
    assert slot.of(elsewhere)
    assert place.budget.available == 1
    place.other.end_look()
    elsewhere.close()
