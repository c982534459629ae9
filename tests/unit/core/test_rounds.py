"""What counts as out of use, round by round."""

from __future__ import annotations

from methodsecret_operator.core.rounds import Rounds


def test_what_nobody_uses_for_two_rounds_is_out_of_use() -> None:
    rounds: Rounds[str] = Rounds()
    rounds.use("once")
    rounds.use("always")
    assert rounds.end({"once", "always"}) == []
    rounds.use("always")
    assert rounds.end({"once", "always"}) == [], "it may have been used right before the round's end"
    rounds.use("always")
    assert rounds.end({"once", "always"}) == ["once"]


def test_a_use_brings_it_back() -> None:
    rounds: Rounds[str] = Rounds()
    rounds.end({"seldom"})
    rounds.use("seldom")
    assert rounds.end({"seldom"}) == []
