"""Fixtures of the deployment's tests: the chart as helm renders it, and the server's own schemas."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.fixtures_crd import crd

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

__all__ = ["crd"]

CHART: Final = Path(__file__).parents[2] / "deploy" / "chart"
RELEASE: Final = "methodsecret-operator"
HOME: Final = "methodsecret-system"
Objects = list[dict[str, Any]]
Render = Callable[..., Objects]


class RefusedError(Exception):
    """Helm has refused the values; the text is what it said."""


@pytest.fixture(scope="session")
def render(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Return a function that renders the chart with values and returns the objects.

    It takes values as a mapping, and `namespace`, `release` and `args` for helm. Raises RefusedError.
    """
    home = tmp_path_factory.mktemp("helm")

    def rendered(
        values: dict[str, Any] | None = None,
        /,
        *args: str,
        namespace: str = HOME,
        release: str = RELEASE,
    ) -> Objects:
        done = subprocess.run(  # noqa: S603 - the pinned helm
            [helm, "template", release, CHART, f"--namespace={namespace}", "--values=-", *args],
            input=json.dumps(values or {}),
            env={"HOME": str(home), "PATH": os.defpath, "KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RefusedError(done.stderr)
        return [found for found in yaml.safe_load_all(done.stdout) if found]

    return rendered


def only(objects: Objects, kind: str, name: str | None = None) -> dict[str, Any]:
    """Return the one object of that kind (and name)."""
    (found,) = (obj for obj in objects if obj["kind"] == kind and name in (None, obj["metadata"]["name"]))
    return found


def key(obj: dict[str, Any]) -> str:
    """Return what an object is told from others by."""
    metadata = obj["metadata"]
    return f"{obj['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def without_hooks(objects: Objects) -> Objects:
    """Leave out what helm makes only for `helm test`."""
    return [obj for obj in objects if "helm.sh/hook" not in obj["metadata"].get("annotations", {})]


def rights(objects: Objects) -> Objects:
    """Return what says who the operator is and what it may do: ServiceAccounts, roles and bindings."""
    return [obj for obj in objects if obj["kind"] == "ServiceAccount" or "Role" in obj["kind"]]


def settings_given(objects: Objects) -> dict[str, Any]:
    """Return the settings that the Deployment gives in so many words, for a process beside others."""
    container = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {
        entry["name"].removeprefix("METHODSECRET_"): entry["value"]
        for entry in container["env"]
        if "value" in entry and entry["name"] != "METHODSECRET_HEALTH_PORT"
    }


def applied(plane: ControlPlane, objects: Objects, *args: str) -> str:
    """Apply objects as the administrator, strictly: an unknown field is an error."""
    return plane.run_kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "--filename=-",
        *args,
        input=yaml.safe_dump_all(objects),
    )


@pytest.fixture(scope="session")
def schemas(
    control_plane: ControlPlane, crd: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Write the schemas that kubeconform reads, from the OpenAPI that the running server publishes."""
    del crd
    definitions = control_plane.http.get("/openapi/v2").json()["definitions"]
    directory = tmp_path_factory.mktemp("schemas")
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            parts = (kind["kind"].lower(), kind["group"].split(".")[0], kind["version"])
            target = directory / f"{'-'.join(filter(None, parts))}.json"
            target.write_text(json.dumps(_closed(definitions, definition, (name,))))
    return directory


_LOOSE: Final = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def _closed(definitions: dict[str, Any], schema: Any, inside: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    """Put definitions in the place of references, and let no object have a field that it does not name."""
    if isinstance(schema, list):
        return [_closed(definitions, part, inside) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.rpartition("/")[2]
        if name in _LOOSE:
            return _LOOSE[name]
        # A type within itself (of a CRD's schema, say) is left open there.
        return {} if name in inside else _closed(definitions, definitions[name], (*inside, name))
    made = {name: _closed(definitions, part, inside) for name, part in schema.items()}
    if isinstance(made.get("properties"), dict) and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made
