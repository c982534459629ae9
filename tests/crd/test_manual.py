"""What users see of the kind: `kubectl explain`, columns, field selectors, defaults, pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.crd.objects import ABSENT, FULL, MINIMAL, STATUS, changed, create, method_secret, set_status, walk
from tests.fixtures_crd import CRD_FILE, read_crd, read_schema

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane


def _words(text: str) -> str:
    return " ".join(text.split())


def _parents() -> list[str]:
    """Return the path of each field that has fields, the whole object first; lists count as their items."""
    schema = read_schema()
    paths = [path for path, node in walk(schema) if "properties" in node]
    return ["", *(path.replace("[]", "") for path in paths)]


def _children(path: str) -> dict[str, Any]:
    node = read_schema()
    for name in filter(None, path.split(".")):
        node = node["properties"][name]
        node = node.get("items", node)
    children: dict[str, Any] = node["properties"]
    return children


def test_every_field_is_described() -> None:
    bare = [path for path, node in walk(read_schema()) if len(node.get("description", "")) < 10]
    assert bare == ["metadata"]  # the server has its own words for that one, and refuses others


@pytest.mark.usefixtures("crd")
@pytest.mark.parametrize("path", _parents(), ids=lambda path: path or "whole")
def test_explain_shows_each_description(control_plane: ControlPlane, path: str) -> None:
    target = f"methodsecret.{path}".rstrip(".")
    shown = _words(control_plane.run_kubectl("explain", target))
    for name, child in _children(path).items():
        assert f"{name} <" in shown
        if path:  # at the top the server's own words stand for apiVersion, kind and metadata
            assert _words(child["description"]) in shown, name


@pytest.mark.usefixtures("crd")
def test_explain_of_a_single_field(control_plane: ControlPlane) -> None:
    shown = _words(control_plane.run_kubectl("explain", "msec.spec.rotation.deleteSupersededAfter"))
    wanted = read_schema()["properties"]["spec"]["properties"]["rotation"]["properties"]
    assert _words(wanted["deleteSupersededAfter"]["description"]) in shown


@pytest.mark.usefixtures("crd")
def test_columns(control_plane: ControlPlane, namespace: str) -> None:
    stored = create(control_plane, namespace, method_secret(FULL))
    set_status(control_plane, stored, STATUS).raise_for_status()
    head, row = control_plane.run_kubectl("get", "msec", "-n", namespace).splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "ID", "STATUS", "AGE"]
    assert row.split()[:-1] == ["acme-api-key", "True", "Synced", "sec_new", "active"]
    head, row = control_plane.run_kubectl("get", "msec", "-n", namespace, "-o", "wide").splitlines()
    assert head.split()[6:] == ["ENVIRONMENT", "SOURCE", "MESSAGE"]
    assert row.split(maxsplit=8)[6:] == ["sandbox", "acme", "All is well."]


@pytest.mark.usefixtures("crd")
def test_field_selectors(control_plane: ControlPlane, namespace: str) -> None:
    mine = create(control_plane, namespace, method_secret(FULL, name="mine"))
    set_status(control_plane, mine, STATUS).raise_for_status()
    other = changed(MINIMAL, "valueFrom.secretKeyRef.name", "other")
    create(control_plane, namespace, method_secret(other, name="other"))
    for selector, found in (
        ("status.id=sec_new", ["mine"]),
        ("status.id!=sec_new", ["other"]),
        ("spec.adopt.id=sec_abc", ["mine"]),
        ("spec.adopt.id=sec_new", []),
        ("spec.valueFrom.secretKeyRef.name=other", ["other"]),
        ("spec.valueFrom.secretKeyRef.name=acme", ["mine"]),
        ("spec.valueFrom.secretKeyRef.name=neither", []),
    ):
        names = control_plane.run_kubectl(
            "get", "msec", "-n", namespace, f"--field-selector={selector}", "-o", "name"
        )
        assert names.split() == [f"methodsecret.methodfi.com/{name}" for name in found], selector


@pytest.mark.usefixtures("crd")
def test_defaults_without_any_operator(control_plane: ControlPlane, namespace: str) -> None:
    """Only scalars are filled in, and no object that its author did not write: GitOps tools see no drift."""
    plain = create(control_plane, namespace, method_secret(MINIMAL, name="plain"))
    assert plain["spec"] == {**MINIMAL, "deletionPolicy": "Retain"}
    assert plain["status"] == {"observedGeneration": -1}
    empty = create(control_plane, namespace, method_secret({**MINIMAL, "rotation": {}}, name="empty"))
    assert empty["spec"]["rotation"] == {"policy": "Automatic"}


@pytest.mark.usefixtures("crd")
def test_a_status_of_the_author_is_not_taken(control_plane: ControlPlane, namespace: str) -> None:
    stored = create(control_plane, namespace, {**method_secret(MINIMAL), "status": STATUS})
    assert stored["status"] == {"observedGeneration": -1}


@pytest.mark.usefixtures("crd")
def test_status_is_stored_whole_and_leaves_spec_alone(control_plane: ControlPlane, namespace: str) -> None:
    stored = create(control_plane, namespace, method_secret(MINIMAL))
    answer = set_status(control_plane, {**stored, "spec": FULL}, STATUS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == STATUS
    assert answer.json()["spec"] == stored["spec"]
    assert answer.json()["metadata"]["generation"] == 1


@pytest.mark.usefixtures("crd")
def test_unknown_fields_are_dropped_but_not_from_metadata(
    control_plane: ControlPlane, namespace: str
) -> None:
    spec = FULL
    for path in ("", "valueFrom.", "valueFrom.secretKeyRef.", "account.", "rotation.", "publish.configMap."):
        spec = changed(spec, f"{path}unknown", {"a": 1})
    spec = changed(spec, "metadata.unknown", {"a": 1})
    stored = create(control_plane, namespace, method_secret(spec))
    assert stored["spec"] == changed(FULL, "metadata.unknown", {"a": 1})
    answer = set_status(control_plane, stored, {**STATUS, "unknown": 1})
    assert answer.json()["status"] == STATUS


@pytest.mark.usefixtures("crd")
def test_null_is_absent(control_plane: ControlPlane, namespace: str) -> None:
    optional = {name: None for name in FULL if name not in MINIMAL}
    stored = create(control_plane, namespace, method_secret({**MINIMAL, **optional}))
    assert stored["spec"] == {**MINIMAL, "deletionPolicy": "Retain"}


def test_is_version_1_of_a_namespaced_kind() -> None:
    spec = read_crd()["spec"]
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["shortNames"] == ["msec"]
    (version,) = spec["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1", True, True)
    assert version["subresources"] == {"status": {}}


def test_no_default_inside_a_list() -> None:
    """A default in a list's items would come back on each write of somebody who does not know it."""
    inside = [path for path, node in walk(read_schema()) if "[]" in path and "default" in node]
    assert inside == []


@pytest.mark.usefixtures("crd")
def test_applying_it_again_changes_nothing(control_plane: ControlPlane) -> None:
    """What the server fills in or orders anew would be drift to Argo CD and Flux."""
    before = control_plane.http.get(_CRD_URL).json()
    control_plane.run_kubectl("apply", "--server-side", "-f", str(CRD_FILE))
    after = control_plane.http.get(_CRD_URL).json()
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    version = after["spec"]["versions"][0]
    assert version["schema"]["openAPIV3Schema"] == read_schema()
    assert changed(after["spec"], "conversion", ABSENT) == changed(
        read_crd()["spec"], "names.listKind", "MethodSecretList"
    )


_CRD_URL = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/methodsecrets.methodfi.com"
