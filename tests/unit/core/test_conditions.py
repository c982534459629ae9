"""Conditions by kstatus' rules, and every sentence complete."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methodsecret_operator.core.conditions import FORMER_STAYS, Reason, Sentence, conditions
from methodsecret_operator.core.resource import Condition
from tests.unit import gen

WAITING = {
    "Pending",
    "SourceNotFound",
    "SourceKeyNotFound",
    "CredentialsNotFound",
    "RateLimited",
    "MethodUnavailable",
}
READY = {"Synced", "Adopted"}


def make(
    reason: Reason, *, message: str = "m", pending: str | None = None, **changed: object
) -> dict[str, Condition]:
    whole = {"generation": 3, "former": (), "now": gen.NOW, **changed}
    made = conditions(reason=reason, message=message, rotation_pending=pending, **whole)  # type: ignore[arg-type]  # a table's keywords
    assert len({condition.type for condition in made}) == len(made)
    return {condition.type: condition for condition in made}


@pytest.mark.parametrize("reason", Reason)
def test_what_a_reason_says(reason: Reason) -> None:
    made = make(reason)
    assert made["Ready"].status == ("True" if reason in READY else "False")
    others = made.keys() - {"Ready"}
    if reason in READY:
        assert others == set()
    else:
        assert others == {"Reconciling" if reason in WAITING else "Stalled"}
        (other,) = (made[kind] for kind in others)
        assert (other.status, other.reason, other.message) == ("True", reason.value, "m")
    assert {condition.observed_generation for condition in made.values()} == {3}


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_ready_or_waiting_or_stalled(reason: Reason) -> None:
    assert (reason.ready, reason.stalled) == (reason in READY, reason not in READY | WAITING)


def test_a_waiting_rotation_is_said_beside_ready() -> None:
    made = make(Reason.SYNCED, pending="A change waits.")
    assert list(made) == ["Ready", "RotationPending"]
    assert made["Ready"].status == "True"
    assert (made["RotationPending"].reason, made["RotationPending"].message) == (
        "OnRequest",
        "A change waits.",
    )


@gen.EXAMPLES
@given(
    before=st.sampled_from(Reason), after=st.sampled_from(Reason), waited=st.booleans(), waits=st.booleans()
)
def test_a_condition_keeps_its_time_while_its_status_stays(
    before: Reason, after: Reason, *, waited: bool, waits: bool
) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    former = make(before, now=then, pending="m" if waited else None)
    made = make(after, former=tuple(former.values()), pending="m" if waits else None)
    for kind, condition in made.items():
        kept = kind in former and former[kind].status == condition.status
        assert condition.last_transition_time == (then if kept else gen.NOW.replace(microsecond=0))


def test_the_operator_takes_away_conditions_that_are_not_its_own_any_more() -> None:
    former = tuple(make(Reason.PENDING).values())
    assert list(make(Reason.SYNCED, former=former)) == ["Ready"]


FIELDS = {
    "id", "secret", "key", "account_secret", "account_key", "field", "user", "marker", "limit", "status",
    "environment", "former", "adopt", "claimed_by", "config_map",
}  # fmt: skip


@pytest.mark.parametrize("sentence", [*Sentence, FORMER_STAYS])
def test_a_sentence_has_known_fields_and_is_one(sentence: str) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}
    assert fields <= FIELDS
    filled = sentence.format(**dict.fromkeys(fields, "x"))
    assert not set("{}") & set(filled)
    assert filled.endswith(".")
