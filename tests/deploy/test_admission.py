"""The admission policy and Pod Security, as the real server judges: who is refused, and who is not."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from tests.deploy.conftest import Objects, Render, applied, only

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

KIND = "/apis/methodfi.com/v1/namespaces/{}/methodsecrets"
RESTRICTED = "pod-security.kubernetes.io/enforce"
SPEC: dict[str, Any] = {"valueFrom": {"secretKeyRef": {"name": "mine", "key": "value"}}}
SECRET_OF_OTHERS = SPEC | {"valueFrom": {"secretKeyRef": {"name": "theirs", "key": "value"}}}
KEY_OF_OTHERS = SPEC | {
    "account": {"environment": "sandbox", "apiKeySecretRef": {"name": "theirs", "key": "api-key"}}
}


class Site:
    """A namespace under the policy, and a person in it who may get the Secret `mine` and no other."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def write(
        self, method: str, path: str, body: dict[str, Any], *, who: str | None = "dev", **params: str
    ) -> httpx.Response:
        headers = {"Impersonate-User": who} if who else {}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        return self.plane.http.request(
            method, KIND.format(self.namespace) + path, json=body, headers=headers, params=params
        )

    def create(
        self, name: str, spec: dict[str, Any], *, who: str | None = "dev", **params: str
    ) -> httpx.Response:
        body = {
            "apiVersion": "methodfi.com/v1",
            "kind": "MethodSecret",
            "metadata": {"name": name},
            "spec": spec,
        }
        return self.write("POST", "", body, who=who, **params)


@pytest.fixture(scope="module")
def site(control_plane: ControlPlane, crd: dict[str, Any], render: Render) -> Any:  # noqa: ANN401 - a generator
    """Have the policy in one namespace only: other tests share this server and write as they like."""
    del crd
    name = f"admission-{secrets.token_hex(4)}"
    control_plane.http.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    policies: Objects = [
        obj
        for obj in render({"namespaces": [name]}, release=name)
        if obj["kind"].startswith("ValidatingAdmissionPolicy")
    ]
    applied(control_plane, policies)
    person = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "dev", "namespace": name},
            "rules": [
                {
                    "apiGroups": ["methodfi.com"],
                    "resources": ["methodsecrets", "methodsecrets/status"],
                    "verbs": ["*"],
                },
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["get"]},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "dev", "namespace": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "dev"},
            "subjects": [
                {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"} for user in ("dev",)
            ],
        },
    ]
    applied(control_plane, person)
    made = Site(control_plane, name)
    # The server compiles a new policy within a second or so, and says nowhere that it has.
    deadline = time.monotonic() + 60
    while made.create("probe", SECRET_OF_OTHERS, dryRun="All").status_code != httpx.codes.FORBIDDEN:
        assert time.monotonic() < deadline, "the policy is never in force"
        time.sleep(0.05)
    yield made
    for policy in policies:
        plural = f"{policy['kind'].lower().removesuffix('y')}{'ies' if policy['kind'].endswith('y') else 's'}"
        path = f"/apis/admissionregistration.k8s.io/v1/{plural}/{policy['metadata']['name']}"
        control_plane.http.delete(path).raise_for_status()
    control_plane.http.delete(f"/api/v1/namespaces/{name}")


def test_the_servers_type_check_of_the_policy_finds_nothing(site: Site) -> None:
    listed = site.plane.http.get("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies").json()
    (found,) = (item for item in listed["items"] if site.namespace in item["metadata"]["name"])
    assert found["spec"]["failurePolicy"] == "Fail"
    assert not found.get("status", {}).get("typeChecking", {}).get("expressionWarnings")


def test_a_secret_that_one_may_get_is_allowed(site: Site) -> None:
    assert site.create("allowed", SPEC).status_code == httpx.codes.CREATED


class Refused(NamedTuple):
    """A spec of somebody who may not read a Secret in it, and what the answer names."""

    reason: str
    spec: dict[str, Any]
    said: str


REFUSED = [
    Refused(
        "a value of others", SECRET_OF_OTHERS, "you may not get Secret theirs (spec.valueFrom.secretKeyRef)"
    ),
    Refused(
        "an API key of others", KEY_OF_OTHERS, "you may not get Secret theirs (spec.account.apiKeySecretRef)"
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.reason)
def test_a_create_is_refused_with_a_sentence(site: Site, row: Refused) -> None:
    answer = site.create("refused", row.spec)
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert row.said in answer.json()["message"]
    assert f"in namespace {site.namespace}" in answer.json()["message"]


def test_a_spec_cannot_be_turned_to_a_secret_of_others(site: Site) -> None:
    assert site.create("turned", SPEC).status_code == httpx.codes.CREATED
    answer = site.write("PATCH", "/turned", {"spec": SECRET_OF_OTHERS})
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert "you may not get Secret theirs" in answer.json()["message"]


def test_what_is_no_spec_may_be_written_by_who_may_not_read_the_secret(site: Site) -> None:
    """Annotations (pause, rotate), finalizers and status send no Secret away; the operator needs them."""
    assert site.create("others", SECRET_OF_OTHERS, who=None).status_code == httpx.codes.CREATED
    for body in (
        {"metadata": {"annotations": {"methodfi.com/paused": "true"}}},
        {"metadata": {"finalizers": ["methodfi.com/method-secret"]}},
    ):
        assert site.write("PATCH", "/others", body).status_code == httpx.codes.OK
    assert site.write("PATCH", "/others/status", {"status": {"id": "sec_a"}}).status_code == httpx.codes.OK
    assert (
        site.write("PATCH", "/others", {"spec": {"deletionPolicy": "Delete"}}).status_code
        == httpx.codes.FORBIDDEN
    )
    assert site.write("DELETE", "/others", {}).status_code == httpx.codes.OK
    answer = site.write("PATCH", "/others", {"metadata": {"finalizers": None}})  # it is going: let it
    assert answer.status_code == httpx.codes.OK


def test_who_may_get_every_secret_may_name_any(site: Site) -> None:
    assert site.create("admin", KEY_OF_OTHERS, who=None).status_code == httpx.codes.CREATED


@pytest.fixture(scope="module")
def restricted(control_plane: ControlPlane) -> str:
    """Make a namespace whose Pods must be as the restricted Pod Security Standard wants them."""
    name = f"restricted-{secrets.token_hex(4)}"
    labels = {RESTRICTED: "restricted", f"{RESTRICTED}-version": "latest"}
    body = {"metadata": {"name": name, "labels": labels}}
    control_plane.http.post("/api/v1/namespaces", json=body).raise_for_status()
    return name


def _pod(control_plane: ControlPlane, namespace: str, template: dict[str, Any]) -> httpx.Response:
    """Ask the server whether it would take a Pod of this template."""
    spec = json.loads(json.dumps(template["spec"])) | {"serviceAccountName": "default"}
    metadata = {"name": "asked", "labels": template["metadata"].get("labels", {})}
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    control_plane.http.post(account, json={"metadata": {"name": "default"}})
    return control_plane.http.post(
        f"/api/v1/namespaces/{namespace}/pods",
        params={"dryRun": "All"},
        json={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    )


def _templates(render: Render) -> dict[str, dict[str, Any]]:
    objects = render(
        {
            "emulator": {"enabled": True},
            "environment": "dev",
            "caBundle": {"configMap": "authorities"},
            "apiKey": {"existingSecret": "method"},
        }
    )
    found = {
        obj["metadata"]["name"]: obj["spec"]["template"] for obj in objects if obj["kind"] == "Deployment"
    }
    return found | {"helm test": only(objects, "Pod")}


def test_every_pod_is_let_into_a_restricted_namespace(
    control_plane: ControlPlane, restricted: str, render: Render
) -> None:
    templates = _templates(render)
    assert len(templates) == 3
    answers = {name: _pod(control_plane, restricted, template) for name, template in templates.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(templates, 201), {
        name: answer.text for name, answer in answers.items()
    }


@pytest.mark.parametrize("field", ["securityContext", "runAsNonRoot", "seccompProfile"])
def test_a_pod_that_is_less_careful_is_kept_out(
    control_plane: ControlPlane, restricted: str, render: Render, field: str
) -> None:
    template = _templates(render)["methodsecret-operator"]
    if field == "securityContext":
        del template["spec"]["containers"][0]["securityContext"]
    else:
        del template["spec"]["securityContext"][field]
    answer = _pod(control_plane, restricted, template)
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert "violates PodSecurity" in answer.json()["message"]
