"""The files in deploy/samples: each is taken by the server as it stands, and together they show all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from methodsecret_operator.core.resource import Spec
from tests.crd.objects import walk
from tests.fixtures_crd import read_schema

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

_FOLDER: Final = Path(__file__).parent.parent.parent / "deploy" / "samples"
_FILES: Final = sorted(_FOLDER.glob("*.yaml"))


def _documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def _specs() -> list[dict[str, Any]]:
    return [
        document["spec"]
        for file in _FILES
        for document in _documents(file)
        if document["kind"] == "MethodSecret"
    ]


def test_there_are_samples() -> None:
    assert {"ready.yaml", "ready-new-value.yaml", "full.yaml", "bad-value.yaml"} <= {f.name for f in _FILES}


@pytest.mark.usefixtures("crd")
@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_is_accepted_and_without_drift(control_plane: ControlPlane, namespace: str, file: Path) -> None:
    apply = ("apply", "-n", namespace, "--validate=strict", "-f", str(file))
    first = control_plane.run_kubectl(*apply).splitlines()
    assert len(first) == len(_documents(file))
    again = control_plane.run_kubectl(*apply).splitlines()
    kinds = [line for line in again if line.startswith("methodsecret")]
    assert all(line.endswith(" unchanged") for line in kinds), again
    assert control_plane.run_kubectl("diff", "-n", namespace, "-f", str(file)) == ""


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_opens_with_what_it_is_for(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("# ")


def test_values_are_obviously_made_up() -> None:
    values = [
        value
        for file in _FILES
        for document in _documents(file)
        if document["kind"] == "Secret"
        for value in document["stringData"].values()
    ]
    assert values
    assert all(value == "" or value.startswith("example-not-a-real-") for value in values)


def test_together_they_show_every_field() -> None:
    def shown(tree: dict[str, Any], path: str) -> bool:
        name, _, rest = path.partition(".")
        return name in tree and (not rest or shown(tree[name], rest))

    fields = [
        path
        for path, _ in walk(read_schema()["properties"]["spec"])
        if not path.endswith("{}") and not path.startswith("metadata.")
    ]
    assert [path for path in fields if not any(shown(spec, path) for spec in _specs())] == []


def test_models_read_them() -> None:
    for spec in _specs():
        Spec.model_validate(spec)
