"""deploy/flux: examples that Flux's own types can read, and whose parts fit together.

Flux itself is not run. Its types are the schema (dev/tools/gitops, strictly); what is not Flux's goes to a
real kube-apiserver as a dry run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema
import pytest
import yaml

from dev.controlplane import ControlPlane
from tests.gitops.tool import ask

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "flux"
FILES: Final = sorted(FOLDER.rglob("*.yaml"))
Object = dict[str, Any]


def documents() -> list[Object]:
    return [document for file in FILES for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def of_flux() -> list[Object]:
    return [one for one in documents() if ".toolkit.fluxcd.io/" in one["apiVersion"]]


def only(kind: str, name: str) -> Object:
    (found,) = (one for one in documents() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def test_every_field_is_one_of_flux(gitops: Path) -> None:
    objects = of_flux()
    assert ask(gitops, "flux", objects) == [{"kind": one["kind"]} for one in objects]
    assert {one["kind"] for one in objects} == {"Kustomization", "HelmRelease", "OCIRepository"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"spec": {"waits": True}}, "a field that Flux does not have"),
        ({"apiVersion": "kustomize.toolkit.fluxcd.io/v9"}, "a version that Flux does not have"),
        ({"spec": {"wait": "yes"}}, "a text where Flux wants a truth"),
    ],
)
def test_what_is_wrong_is_seen(gitops: Path, changed: Object, reason: str) -> None:
    (answer,) = ask(gitops, "flux", [{**only("Kustomization", "payments"), **changed}])
    assert set(answer) == {"error"}, reason


def test_both_wait_and_the_second_for_the_first() -> None:
    operator, payments = only("Kustomization", "methodsecret-operator"), only("Kustomization", "payments")
    assert [one["spec"]["wait"] for one in (operator, payments)] == [True, True]
    assert payments["spec"]["dependsOn"] == [{"name": operator["metadata"]["name"]}]
    for one in (operator, payments):
        assert (FOLDER / one["spec"]["path"]).is_dir()
        assert "healthCheckExprs" not in one["spec"], "kstatus is enough: see test_kstatus.py"


def test_the_release_takes_the_chart_that_is_there() -> None:
    release = only("HelmRelease", "methodsecret-operator")
    reference = release["spec"]["chartRef"]
    source = only(reference["kind"], reference["name"])
    assert source["metadata"]["namespace"] == release["metadata"]["namespace"]
    assert source["spec"]["url"].endswith("/methodsecret-operator")
    schema = json.loads((FOLDER.parent / "chart" / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(release["spec"]["values"], schema)


@pytest.mark.usefixtures("crd")
def test_the_teams_manifests_are_taken_by_the_server(control_plane: ControlPlane, namespace: str) -> None:
    paths = {
        "MethodSecret": "/apis/methodfi.com/v1/{}/methodsecrets",
        "Deployment": "/apis/apps/v1/{}/deployments",
    }
    taken = []
    for document in yaml.safe_load_all((FOLDER / "apps" / "payments.yaml").read_text(encoding="utf-8")):
        answer: httpx.Response = control_plane.http.post(
            paths[document["kind"]].format(f"namespaces/{namespace}"),
            params={"dryRun": "All", "fieldValidation": "Strict"},
            content=json.dumps(document),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == httpx.codes.CREATED, answer.text
        taken.append(answer.json())
    secret, workload = taken
    mounted = workload["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    assert mounted == secret["spec"]["publish"]["configMap"]["name"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_opens_with_what_it_is_for(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("# ")
