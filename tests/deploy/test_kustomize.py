"""deploy/kustomize renders what the chart renders; MethodSecrets follow generated names of Secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.deploy.conftest import Objects, Render, applied, key, only, without_hooks
from tests.fixtures_crd import read_schema

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

KUSTOMIZE: Final = Path(__file__).parents[2] / "deploy" / "kustomize"
OF_HELM: Final = ("helm.sh/", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")


def built(plane: ControlPlane, directory: Path) -> Objects:
    """Return what `kubectl kustomize` makes of a folder."""
    return [found for found in yaml.safe_load_all(plane.run_kubectl("kustomize", str(directory))) if found]


def comparable(objects: Objects) -> dict[str, Any]:
    """Return objects by name, without what only Helm writes, and with lists that have keys in their order."""
    found = {}
    for obj in without_hooks(objects):
        metadata = obj["metadata"]
        for part in ("labels", "annotations"):
            kept = {
                name: text for name, text in metadata.get(part, {}).items() if not name.startswith(OF_HELM)
            }
            metadata[part] = kept
        for container in obj.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            container.get("env", []).sort(key=lambda entry: entry["name"])
        found[key(obj)] = obj
    return found


@pytest.mark.parametrize(
    ("directory", "values"),
    [
        ("overlays/default", {}),
        ("overlays/namespaced", {"namespaces": ["payments"]}),
        ("overlays/with-emulator", {"emulator": {"enabled": True}, "environment": "sandbox"}),
    ],
)
def test_an_overlay_is_the_chart(
    control_plane: ControlPlane, render: Render, directory: str, values: dict[str, Any]
) -> None:
    made = comparable(built(control_plane, KUSTOMIZE / directory))
    assert made.pop("Namespace /methodsecret-system")  # Helm's --create-namespace
    assert made == comparable(render(values))


def test_the_api_key_is_the_charts_existing_secret(
    control_plane: ControlPlane, render: Render, tmp_path: Path
) -> None:
    _kustomization(tmp_path, resources=["overlays/default"], components=["components/api-key"])
    made = comparable(built(control_plane, tmp_path))
    expected = comparable(render({"apiKey": {"existingSecret": "method"}}))
    deployment = "Deployment methodsecret-system/methodsecret-operator"
    assert made[deployment] == expected[deployment]


@pytest.mark.parametrize("name", ["default", "namespaced", "with-emulator"])
def test_the_server_takes_it_strictly(control_plane: ControlPlane, crd: dict[str, Any], name: str) -> None:
    del crd
    for namespace in ("methodsecret-system", "payments"):
        control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    objects = built(control_plane, KUSTOMIZE / "overlays" / name)
    assert applied(control_plane, objects, "--dry-run=server").count("serverside-applied") == len(objects)


def test_names_of_secrets_follow_their_hashes(control_plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "methodfi.com/v1",
                "kind": "MethodSecret",
                "metadata": {"name": "acme"},
                "spec": {
                    "valueFrom": {"secretKeyRef": {"name": "acme", "key": "api-key"}},
                    "account": {
                        "environment": "sandbox",
                        "apiKeySecretRef": {"name": "method", "key": "api-key"},
                    },
                },
            }
        )
    )
    _kustomization(
        tmp_path,
        components=["components/name-references"],
        resources=["acme.yaml"],
        namePrefix="team-",
        secretGenerator=[
            {"name": "acme", "literals": ["api-key=made-up"]},
            {"name": "method", "literals": ["api-key=sk_made_up"]},
        ],
    )
    made = built(control_plane, tmp_path)
    names = {obj["metadata"]["name"] for obj in made if obj["kind"] == "Secret"}
    spec = only(made, "MethodSecret")["spec"]
    value, account = spec["valueFrom"]["secretKeyRef"]["name"], spec["account"]["apiKeySecretRef"]["name"]
    assert re.fullmatch(r"team-acme-[a-z0-9]{10}", value)
    assert re.fullmatch(r"team-method-[a-z0-9]{10}", account)
    assert {value, account} == names


def test_every_field_that_names_a_secret_is_among_the_references() -> None:
    text = (KUSTOMIZE / "components" / "name-references" / "name-references.yaml").read_text()
    (reference,) = yaml.safe_load(text)["nameReference"]
    named = {spec["path"] for spec in reference["fieldSpecs"]}
    assert named == {path for path in _paths(read_schema()["properties"]["spec"], "spec") if "ecret" in path}


def _paths(schema: dict[str, Any], path: str) -> set[str]:
    """Return the paths of the fields `name` below a schema."""
    found: set[str] = set()
    for field, part in schema.get("properties", {}).items():
        here = f"{path}/{field}"
        found |= {here} if field == "name" else _paths(part, here)
    return found


def _kustomization(directory: Path, **fields: Any) -> None:  # noqa: ANN401 - YAML
    """Write one that refers to ours, by paths from where it is: kustomize takes no absolute ones."""
    for field in ("resources", "components"):
        fields[field] = [
            name if name.endswith(".yaml") else str(_relative(KUSTOMIZE / name, directory))
            for name in fields.get(field, [])
        ]
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(fields))


def _relative(target: Path, start: Path) -> Path:
    return Path(*[".."] * (len(start.resolve().parts) - 1), *target.resolve().parts[1:])
