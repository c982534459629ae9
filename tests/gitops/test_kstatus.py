"""What waits by kstatus (Flux, kpt, `kubectl apply --prune` and its like) waits for the right things.

The verdicts are those of the library itself, sigs.k8s.io/cli-utils.
"""

from __future__ import annotations

from pathlib import Path

from methodsecret_operator.core.conditions import ROTATION_PENDING, Reason
from tests.gitops.states import STATES
from tests.gitops.tool import ask


def test_every_state_has_the_verdict_it_should(gitops: Path) -> None:
    answers = ask(gitops, "kstatus", [state.object for state in STATES])
    found = {state.name: answer.get("status", answer) for state, answer in zip(STATES, answers, strict=True)}
    assert found == {state.name: state.kstatus for state in STATES}


def test_where_it_fails_it_says_what_to_do(gitops: Path) -> None:
    failed = [state for state in STATES if state.kstatus == "Failed"]
    answers = ask(gitops, "kstatus", [state.object for state in failed])
    told = [next(c for c in state.object["status"]["conditions"] if c["type"] == "Ready") for state in failed]
    assert [answer["message"] for answer in answers] == [condition["message"] for condition in told]


def test_every_reason_and_condition_of_the_operator_is_among_the_states() -> None:
    conditions = [c for state in STATES for c in state.object["status"].get("conditions", ())]
    assert {c["reason"] for c in conditions if c["type"] == "Ready"} == set(Reason)
    assert {c["type"] for c in conditions} == {"Ready", "Reconciling", "Stalled", ROTATION_PENDING}
