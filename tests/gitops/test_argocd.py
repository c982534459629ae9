"""deploy/argocd: what the scripts say, run by the interpreter that Argo CD runs them with.

Test data and snippet are made from the code; `UPDATE_GOLDEN=1` writes them anew, to be reviewed. The tests
that Argo CD itself would run on the folder (its util/lua/*_test.go) are run here in the same way.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from methodsecret_operator.core.conditions import Reason
from tests.gitops import argo
from tests.gitops.states import STATES, Object
from tests.gitops.tool import ask


def load(name: str) -> Any:  # noqa: ANN401 - any YAML
    return yaml.safe_load((argo.FOLDER / name).read_text(encoding="utf-8"))


def run(program: Path, tasks: list[tuple[str, Object]]) -> list[Any]:
    """Return what scripts return for objects."""
    answers = ask(program, "lua", [{"script": script, "object": obj} for script, obj in tasks])
    assert [answer for answer in answers if isinstance(answer, dict) and "error" in answer] == []
    return answers


def test_the_test_data_is_what_the_operator_writes() -> None:
    wanted = {argo.FOLDER / name: text for name, text in argo.generated().items()}
    if os.environ.get("UPDATE_GOLDEN") == "1":
        for path in argo.FOLDER.rglob("testdata/*"):
            path.unlink()
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
    there = [path for path in argo.FOLDER.rglob("*.yaml") if path.is_file()]
    again = "run with UPDATE_GOLDEN=1, and review"
    assert {path: path.read_text(encoding="utf-8") for path in there} == wanted, again
    assert argo.reasons_shown() == set(Reason)


def test_the_folder_has_the_layout_of_argo_cd() -> None:
    scripts = {str(path.relative_to(argo.FOLDER)) for path in argo.FOLDER.rglob("*.lua")}
    assert scripts == {
        "health.lua",
        "actions/discovery.lua",
        *(f"actions/{action}/action.lua" for action in argo.ACTIONS),
    }


def test_the_tests_in_argo_cds_form_pass(gitops: Path) -> None:
    tests = load("health_test.yaml")["tests"]
    health = argo.script("health.lua")
    answers = run(gitops, [(health, load(test["inputPath"])) for test in tests])
    assert answers == [test["healthStatus"] for test in tests]


def test_every_state_has_the_health_it_should(gitops: Path) -> None:
    answers = run(gitops, [(argo.script("health.lua"), state.object) for state in STATES])
    found = {state.name: answer for state, answer in zip(STATES, answers, strict=True)}
    assert found == {state.name: {"status": state.argo, "message": state.said} for state in STATES}


@pytest.mark.parametrize(
    ("obj", "health", "reason"),
    [
        ({}, "Progressing", "as Argo CD's own test of deletion has it: next to nothing is there"),
        ({"metadata": {"name": "a"}}, "Progressing", "no status subresource was written yet"),
        (
            {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": []}},
            "Progressing",
            "somebody has emptied the conditions",
        ),
        (
            {
                "metadata": {"generation": 1},
                "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "Unknown"}]},
            },
            "Progressing",
            "a newer operator may write what this script does not know",
        ),
    ],
)
def test_what_is_not_whole_is_progressing(gitops: Path, obj: Object, health: str, reason: str) -> None:
    (answer,) = run(gitops, [(argo.script("health.lua"), obj)])
    assert answer["status"] == health, reason


def test_actions_are_offered_where_they_do_something(gitops: Path) -> None:
    discovery = argo.script("actions/discovery.lua")
    answers = run(gitops, [(discovery, argo.INPUTS[name]) for name in argo.OFFERED])
    found = {
        name: {action for action, how in answer.items() if not how["disabled"]}
        for name, answer in zip(argo.OFFERED, answers, strict=True)
    }
    assert found == argo.OFFERED
    assert all(set(answer) == set(argo.ACTIONS) for answer in answers)


def test_rotation_is_offered_wherever_a_message_asks_for_it(gitops: Path) -> None:
    """What the sentences say and what the buttons do must not part."""
    asking = [state for state in STATES if "rotation" in state.said and state.argo != "Suspended"]
    assert {state.argo for state in asking} == {"Healthy", "Degraded"}
    answers = run(gitops, [(argo.script("actions/discovery.lua"), state.object) for state in asking])
    assert [state.name for state, a in zip(asking, answers, strict=True) if a["rotate"]["disabled"]] == []


@pytest.mark.parametrize(("action", "name"), [(action, name) for action, name, _ in argo.CASES])
def test_an_action_changes_its_annotation_and_nothing_else(gitops: Path, action: str, name: str) -> None:
    script, before = argo.script(f"actions/{action}/action.lua"), argo.INPUTS[name]
    # What a round trip through Lua could spoil: empty objects and lists, numbers, false.
    awkward = {"empty": {}, "none": [], "nested": [{"deep": {}, "list": []}], "half": 0.5, "no": False}
    hard = {**before, "spec": {**before["spec"], "metadata": awkward}}
    plain, cleaned = (
        argo.cleaned(after, obj)
        for after, obj in zip(run(gitops, [(script, before), (script, hard)]), (before, hard), strict=True)
    )
    wanted = argo.expected(action, name)
    assert plain == wanted
    assert cleaned == {**wanted, "spec": hard["spec"]}


def test_the_snippet_for_argocd_cm_holds_the_same_scripts() -> None:
    if os.environ.get("UPDATE_GOLDEN") == "1":
        argo.CONFIG_MAP.write_text(argo.config_map(), encoding="utf-8")
    text = argo.CONFIG_MAP.read_text(encoding="utf-8")
    assert text == argo.config_map(), "run with UPDATE_GOLDEN=1, and review"
    data = yaml.safe_load(text)["data"]
    key = "resource.customizations.{}.methodfi.com_MethodSecret"
    assert set(data) == {key.format("health"), key.format("actions")}
    assert data[key.format("health")] == argo.script("health.lua")
    actions = yaml.safe_load(data[key.format("actions")])
    assert actions["discovery.lua"] == argo.script("actions/discovery.lua")
    assert {one["name"]: one["action.lua"] for one in actions["definitions"]} == {
        action: argo.script(f"actions/{action}/action.lua") for action in argo.ACTIONS
    }
