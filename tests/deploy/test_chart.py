"""The chart renders what the server takes, refuses what makes no sense, and carries the CRD as it stands."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from dev import chart_docs
from methodsecret_operator import __version__
from methodsecret_operator.settings import Settings, load
from tests.deploy.conftest import (
    CHART,
    HOME,
    RELEASE,
    Objects,
    RefusedError,
    Render,
    applied,
    key,
    only,
    without_hooks,
)
from tests.fixtures_crd import CRD_FILE, read_crd

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

FULL: dict[str, Any] = {
    "imagePullSecrets": ["registry"],
    "image": {"digest": "sha256:" + "0" * 64},
    "commonLabels": {"team": "payments"},
    "apiKey": {"existingSecret": "method"},
    "environment": "sandbox",
    "baseUrl": "https://proxy.example/method",
    "clusterName": "staging",
    "clusterAliases": ["old", "older"],
    "namespaces": ["payments", "lending"],
    "defaultAccountNamespaces": ["payments"],
    "sourceSelector": "team in (a, b),!private",
    "sourceWatch": "poll",
    "publish": {"enabled": False},
    "digestKey": {"create": False, "secretName": "digest"},
    "caBundle": {"configMap": "authorities"},
    "proxy": {"https": "http://proxy.example:3128", "noProxy": ".example"},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "serviceAccount": {"annotations": {"e": "f"}},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}]},
    "metrics": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
}
EMULATED: dict[str, Any] = {
    "emulator": {"enabled": True, "settings": {"WRITES_PER_MINUTE": "0"}},
    "environment": "sandbox",
    "metrics": {"serviceMonitor": {"enabled": True}},
}
VALUES = pytest.mark.parametrize("values", [{}, FULL, EMULATED], ids=["defaults", "everything", "emulator"])


@VALUES
def test_kubeconform_finds_nothing(
    render: Render, kubeconform: Path, schemas: Path, values: dict[str, Any]
) -> None:
    # The Prometheus operator's kinds have no schema here: their CRDs are not ours.
    done = subprocess.run(  # noqa: S603 - the pinned kubeconform
        [
            kubeconform,
            "-strict",
            "-summary",
            "-output=json",
            "-skip=ServiceMonitor,PodMonitor,PrometheusRule",
            f"-schema-location={schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            "-",
        ],
        input=yaml.safe_dump_all(render(values)),
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report.get("resources") in (None, []), done.stdout
    assert report["summary"]["valid"] >= 10


def test_kubeconform_would_find_an_unknown_field(render: Render, kubeconform: Path, schemas: Path) -> None:
    deployment = only(render(), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    done = subprocess.run(  # noqa: S603 - the pinned kubeconform
        [
            kubeconform,
            "-strict",
            f"-schema-location={schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            "-",
        ],
        input=yaml.safe_dump(deployment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "additional properties 'readOnly' not allowed" in done.stdout


@VALUES
def test_the_server_takes_it_strictly(
    control_plane: ControlPlane, crd: dict[str, Any], render: Render, values: dict[str, Any]
) -> None:
    del crd
    for name in (HOME, *values.get("namespaces", ())):
        control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    objects = [obj for obj in render(values) if not obj["apiVersion"].startswith("monitoring.coreos.com/")]
    said = applied(control_plane, objects, "--dry-run=server")
    assert said.count("serverside-applied") == len(objects)


def test_the_crd_is_the_one_of_crds(render: Render) -> None:
    assert (CHART / "files" / "crd.yaml").read_text() == CRD_FILE.read_text()
    expected, found = read_crd(), only(render(), "CustomResourceDefinition")
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert expected["metadata"].pop("labels").items() <= found["metadata"].pop("labels").items()
    assert found == expected
    assert not (CHART / "crds").exists(), "Helm installs what is in crds/ once and never upgrades it"


def test_the_readme_has_the_table_of_values() -> None:
    readme, values = (CHART / "README.md").read_text(), (CHART / "values.yaml").read_text()
    assert chart_docs.readme(readme, values) == readme, "run: make chart-docs"


def test_every_value_is_described_and_in_the_schema() -> None:
    text = (CHART / "values.yaml").read_text()
    described = chart_docs.descriptions(text)
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _leaves(yaml.safe_load(text), schema) == set(described)
    for path in described:
        assert _part(schema, path) is not None, f"{path} is not in values.schema.json"


def test_the_schema_knows_nothing_but_the_values() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    named = {path for path in _paths(schema) if path != "global" and not path.endswith(".resources")}
    known = {path for path in _keys(values) if not path.endswith(".resources")}
    assert {path for path in named - known if not re.search(r"resources\.|extraEnv", path)} == set()


def test_the_versions_are_the_operators() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@VALUES
def test_the_operator_takes_the_settings(
    render: Render, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every METHODSECRET_ variable is a setting, and its text is one that the operator accepts."""
    container = only(render(values), "Deployment", RELEASE)["spec"]["template"]["spec"]["containers"][0]
    given = {entry["name"]: entry.get("value", HOME) for entry in container["env"]}
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    names = {f"METHODSECRET_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in given if name.startswith("METHODSECRET_")} <= names
    settings = load({})
    assert settings.operator_namespace == HOME
    assert list(settings.namespaces) == values.get("namespaces", [])
    assert settings.environment == values.get("environment", "production")


def test_the_defaults_are_the_operators(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who moves from a process to the chart meets no other behaviour."""
    container = only(render(), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    before = load({})
    for entry in container["env"]:
        monkeypatch.setenv(entry["name"], entry.get("value", before.operator_namespace))
    changed = {name for name in Settings.model_fields if getattr(before, name) != getattr(load({}), name)}
    assert changed <= {"leader_election", "log_format"}, "both depend on where it runs"


class Refused(NamedTuple):
    """Values that make no sense, and what the chart says."""

    reason: str
    values: dict[str, Any]
    said: str


REFUSED = [
    Refused("two API keys", {"apiKey": {"existingSecret": "a", "value": "sk_b"}}, "give one of them"),
    Refused(
        "an emulator in production", {"emulator": {"enabled": True}}, "set environment to sandbox or dev"
    ),
    Refused(
        "an emulator and another URL",
        {"emulator": {"enabled": True}, "environment": "dev", "baseUrl": "http://a"},
        "leave baseUrl empty",
    ),
    Refused(
        "replicas without an election", {"leaderElection": {"enabled": False}}, "turn leader election on"
    ),
    Refused("two bundles", {"caBundle": {"configMap": "a", "secret": "b"}}, "caBundle.secret are both set"),
    Refused(
        "metrics read twice",
        {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
        "enable one",
    ),
    Refused(
        "a ServiceMonitor of no Service",
        {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
        "needs metrics.service.enabled",
    ),
    Refused("nobody's ServiceAccount", {"serviceAccount": {"create": False}}, "serviceAccount.name"),
    Refused(
        "a namespace never seen",
        {"namespaces": ["a"], "defaultAccountNamespaces": ["b"]},
        "b, which is not in namespaces",
    ),
    Refused("a mistyped name", {"replicas": 3}, "replicas"),
    Refused("a mistyped name further in", {"image": {"tagg": "1"}}, "tagg"),
    Refused("no replica", {"replicaCount": 0}, "/replicaCount"),
    Refused("an unknown environment", {"environment": "prod"}, "/environment"),
    Refused("a URL with a password", {"baseUrl": "https://a:b@proxy.example"}, "/baseUrl"),
    Refused("a namespace that is none", {"namespaces": ["Payments"]}, "/namespaces"),
    Refused("namespaces as a text", {"namespaces": "payments"}, "/namespaces"),
    Refused("a number as a text", {"workers": "64"}, "/workers"),
    Refused(
        "too short a time to finish", {"terminationGracePeriodSeconds": 5}, "/terminationGracePeriodSeconds"
    ),
    Refused("an admission policy maybe", {"admissionPolicy": {"enabled": "yes"}}, "/admissionPolicy/enabled"),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.reason)
def test_it_is_refused(render: Render, row: Refused) -> None:
    with pytest.raises(RefusedError, match=re.escape(row.said)):
        render(row.values)


def test_auto_follows_the_server_and_asking_for_what_it_lacks_is_refused(render: Render) -> None:
    policies = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    old = "--kube-version=1.29.0"
    assert policies <= {obj["kind"] for obj in render()}
    assert policies.isdisjoint(obj["kind"] for obj in render({}, old))
    assert policies.isdisjoint(obj["kind"] for obj in render({"admissionPolicy": {"enabled": False}}))
    with pytest.raises(RefusedError, match="this server has no ValidatingAdmissionPolicy"):
        render({"admissionPolicy": {"enabled": True}}, old)


def test_two_releases_meet_nowhere(render: Render) -> None:
    """But in the kind and its CRD."""
    first = {key(obj) for obj in without_hooks(render())}
    for namespace, release in (("other", RELEASE), (HOME, "second")):
        second = {key(obj) for obj in without_hooks(render(namespace=namespace, release=release))}
        assert {found.split()[0] for found in first & second} == {"CustomResourceDefinition"}


def test_secrets_are_in_no_other_object(render: Render) -> None:
    objects = render({"apiKey": {"value": "sk_made_up"}})
    assert [obj["kind"] for obj in objects if "sk_made_up" in json.dumps(obj)] == ["Secret"]


def _leaves(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> set[str]:
    """Return the paths of the values that nothing is chosen within: without properties there."""
    found: set[str] = set()
    for name, part in values.items():
        here = f"{path}{name}"
        known = schema["properties"].get(name, {})
        if isinstance(part, dict) and "properties" in known and not here.endswith("resources"):
            found |= _leaves(part, known, f"{here}.")
        else:
            found.add(here)
    return found


def _part(schema: dict[str, Any], path: str) -> dict[str, Any] | None:
    part: dict[str, Any] | None = schema
    for name in path.split("."):
        part = (part or {}).get("properties", {}).get(name)
    return part


def _paths(schema: dict[str, Any], path: str = "") -> set[str]:
    found: set[str] = set()
    for name, part in schema.get("properties", {}).items():
        found |= {f"{path}{name}"} | _paths(part, f"{path}{name}.")
    return found


def _keys(values: Any, path: str = "") -> set[str]:  # noqa: ANN401 - YAML
    found: set[str] = set()
    for name, part in values.items() if isinstance(values, dict) else ():
        found |= {f"{path}{name}"} | _keys(part, f"{path}{name}.")
    return found


def test_all_objects_carry_the_labels(render: Render) -> None:
    objects: Objects = render(FULL)
    for obj in objects:
        labels = obj["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE, key(obj)
        assert labels["team"] == "payments", key(obj)
