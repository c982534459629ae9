"""deploy/argocd as it should be: test data from the operator's own states, and the snippet for argocd-cm.

Also what Argo CD does around a script (its util/lua/lua.go), so far as an action's outcome hangs on it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

import yaml

from methodsecret_operator.core.conditions import Reason
from methodsecret_operator.core.resource import PAUSED, RECONCILE_REQUESTED_AT, ROTATION_REQUESTED_AT
from tests.gitops.states import STATES, Object

ROOT: Final = Path(__file__).parents[2] / "deploy" / "argocd"
FOLDER: Final = ROOT / "resource_customizations" / "methodfi.com" / "MethodSecret"
CONFIG_MAP: Final = ROOT / "argocd-cm.yaml"

ACTIONS: Final = ("reconcile", "pause", "resume", "rotate")
TOKEN: Final = "Argo CD at resourceVersion 100"
"""What a request says: it has the version of the object that the action was used on."""

_BY_NAME: Final = {state.name: state.object for state in STATES}
_ONE_PER_REASON: Final = {
    state.object["status"]["conditions"][0]["reason"]: state
    for state in reversed(STATES)
    if state.object["status"].get("conditions")
}
SHOWN: Final = tuple(
    state
    for state in STATES
    if state in _ONE_PER_REASON.values()
    or not state.name.endswith("-had-id")
    or state.name == "pending-had-id"
)
"""The states that stand as test data: one for each reason, one with an id from before, the special ones."""


def _annotated(obj: Object, annotations: dict[str, str] | None) -> Object:
    metadata = {name: value for name, value in obj["metadata"].items() if name != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "metadata": metadata}


_TRACKED: Final = {"argocd.argoproj.io/tracking-id": "shop:methodfi.com/MethodSecret:payments/acme-api-key"}
INPUTS: Final[dict[str, Object]] = {
    "synced": _BY_NAME["synced"],
    "tracked": _annotated(_BY_NAME["synced"], _TRACKED),
    "paused": _BY_NAME["paused"],
    "paused-tracked": _annotated(_BY_NAME["synced"], {**_TRACKED, PAUSED: "true"}),
    "rotation-pending": _BY_NAME["rotation-pending"],
    "remote-deleted": _BY_NAME["remote-deleted-had-id"],
    "new": _BY_NAME["new"],
}

# action, object, the annotations that it then has
CASES: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("reconcile", "synced", {RECONCILE_REQUESTED_AT: TOKEN}),
    ("reconcile", "tracked", {**_TRACKED, RECONCILE_REQUESTED_AT: TOKEN}),
    ("pause", "synced", {PAUSED: "true"}),
    ("pause", "tracked", {**_TRACKED, PAUSED: "true"}),
    ("resume", "paused", {}),
    ("resume", "paused-tracked", _TRACKED),
    ("resume", "synced", {}),
    ("rotate", "rotation-pending", {ROTATION_REQUESTED_AT: TOKEN}),
    ("rotate", "remote-deleted", {ROTATION_REQUESTED_AT: TOKEN}),
)

# object -> the actions that are offered
OFFERED: Final[dict[str, set[str]]] = {
    "synced": {"reconcile", "pause"},
    "paused": {"resume"},
    "paused-tracked": {"resume"},
    "rotation-pending": {"reconcile", "pause", "rotate"},
    "remote-deleted": {"reconcile", "pause", "rotate"},
    "new": {"reconcile", "pause"},
}


def expected(action: str, name: str) -> Object:
    """Return the object that an action is to make of an input."""
    (annotations,) = (wanted for used, on, wanted in CASES if (used, on) == (action, name))
    return _annotated(INPUTS[name], annotations)


def generated() -> dict[str, str]:
    """Return the generated files under FOLDER, by their paths there."""
    files = {f"testdata/{state.name}.yaml": _dump(state.object) for state in SHOWN}
    tests = [
        {
            "healthStatus": {"status": state.argo, "message": state.said},
            "inputPath": f"testdata/{state.name}.yaml",
        }
        for state in SHOWN
    ]
    files["health_test.yaml"] = _dump({"tests": tests})
    files |= {f"actions/testdata/{name}.yaml": _dump(obj) for name, obj in INPUTS.items()}
    for action, name, _ in CASES:
        files[f"actions/testdata/{name}-{action}.yaml"] = _dump(expected(action, name))
    files["actions/action_test.yaml"] = _dump(
        {
            "discoveryTests": [
                {
                    "inputPath": f"testdata/{name}.yaml",
                    "result": [{"name": action, "disabled": action not in offered} for action in ACTIONS],
                }
                for name, offered in OFFERED.items()
            ],
            "actionTests": [
                {
                    "action": action,
                    "inputPath": f"testdata/{name}.yaml",
                    "expectedOutputPath": f"testdata/{name}-{action}.yaml",
                }
                for action, name, _ in CASES
            ],
        }
    )
    return files


def script(name: str) -> str:
    """Return a script by its path under FOLDER."""
    return (FOLDER / name).read_text(encoding="utf-8")


def config_map() -> str:
    """Return what is to be merged into argocd-cm, so that an Argo CD of today has the scripts."""
    actions = "discovery.lua: |\n" + _indented(script("actions/discovery.lua")) + "definitions:\n"
    for action in ACTIONS:
        actions += f"- name: {action}\n  action.lua: |\n" + _indented(
            script(f"actions/{action}/action.lua"), by=4
        )
    return (
        "# Made of the scripts in resource_customizations/, for an Argo CD that does not have them yet:\n"
        "#\n"
        "#   kubectl -n argocd patch configmap argocd-cm --patch-file argocd-cm.yaml\n"
        "data:\n"
        "  resource.customizations.health.methodfi.com_MethodSecret: |\n"
        + _indented(script("health.lua"), by=4)
        + "  resource.customizations.actions.methodfi.com_MethodSecret: |\n"
        + _indented(actions, by=4)
    )


def _indented(text: str, *, by: int = 2) -> str:
    return "".join(f"{' ' * by}{line}".rstrip(" ") for line in text.splitlines(keepends=True))


def _dump(document: Any) -> str:  # noqa: ANN401 - any YAML
    return yaml.safe_dump(copy.deepcopy(document), sort_keys=False, width=10_000)


def cleaned(new: Any, old: Any) -> Any:  # noqa: ANN401 - any JSON
    """Undo what an empty table costs, as Argo CD does: what was an object, and is an empty list now, stays.

    What an action has taken away stays away; so the last entry of an object cannot be taken out of it.
    """
    if isinstance(new, dict) and isinstance(old, dict):
        return {name: cleaned(value, old[name]) if name in old else value for name, value in new.items()}
    if isinstance(new, list) and isinstance(old, dict):
        return new or old
    if isinstance(new, list) and isinstance(old, list):
        return [*(cleaned(a, b) for a, b in zip(new, old, strict=False)), *new[len(old) :]]
    return new


def reasons_shown() -> set[str]:
    """Return the Ready reasons that the test data has."""
    found = {
        c["reason"] for s in SHOWN for c in s.object["status"].get("conditions", ()) if c["type"] == "Ready"
    }
    return found & set(Reason)
