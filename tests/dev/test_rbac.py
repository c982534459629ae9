"""What the operator's ServiceAccount may do under the shipped RBAC, and what not, by the real authorizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

BASE = Path(__file__).parents[2] / "deploy" / "kustomize" / "base"
HOME = "methodsecret-system"
OPERATOR = f"system:serviceaccount:{HOME}:methodsecret-operator"
DIGEST_KEY = "methodsecret-operator-digest-key"


class Row(NamedTuple):
    """One question to the authorizer; `namespace` None asks about all of them."""

    reason: str
    verb: str
    resource: str
    namespace: str | None = "payments"
    name: str = ""

    @property
    def question(self) -> list[str]:
        resource, _, subresource = self.resource.partition("/")
        where = f"--namespace={self.namespace}" if self.namespace else "--all-namespaces"
        return [
            self.verb,
            f"{resource}/{self.name}" if self.name else resource,
            *([f"--subresource={subresource}"] if subresource else []),
            where,
        ]


KIND = "methodsecrets.methodfi.com"
LEASE = "methodsecret-operator"
LEASES = "leases.coordination.k8s.io"
ALLOWED = [
    Row("an object is read live before a POST that could duplicate", "get", KIND),
    Row("resync lists them all", "list", KIND, None),
    Row("kopf watches them all", "watch", KIND, None),
    Row("id and conditions are written here", "patch", f"{KIND}/status"),
    Row("the finalizer of deletionPolicy Delete goes on and off", "patch", KIND),
    Row("a spec may refer to any Secret of its namespace", "get", "secrets", name="acme"),
    Row("the watch starts with a list", "list", "secrets", None),
    Row("a changed Secret is noticed at once", "watch", "secrets", None),
    Row("whose a ConfigMap to publish in is", "get", "configmaps", name="acme"),
    Row("the watch on published ConfigMaps starts with a list", "list", "configmaps", None),
    Row("an edited ConfigMap is repaired", "watch", "configmaps", None),
    Row("an id is published", "create", "configmaps"),
    Row("a published id moves on", "patch", "configmaps", name="acme"),
    Row("a ConfigMap goes when nobody asks for it", "delete", "configmaps", name="acme"),
    Row("people see what happened in kubectl describe", "create", "events"),
    Row("its uid is the cluster's name", "get", "namespaces", None, "kube-system"),
    Row("whether an object's namespace is going", "get", "namespaces", None, "payments"),
    Row("the digest key is read at each start", "get", "secrets", HOME, DIGEST_KEY),
    Row("the digest key is made at the first start", "create", "secrets", HOME),
    Row("the Lease is made by the first operator", "create", LEASES, HOME),
    Row("a standby looks whether the Lease is free", "get", LEASES, HOME, LEASE),
    Row("the leader renews the Lease", "update", LEASES, HOME, LEASE),
]
REFUSED = [
    Row("specs belong to people and GitOps", "update", KIND),
    Row("objects are for others to make", "create", KIND),
    Row("objects are for others to delete", "delete", KIND),
    Row("status is patched under a lock, never replaced", "update", f"{KIND}/status"),
    Row("Secrets are never written: not the sources", "update", "secrets", name="acme"),
    Row("Secrets are never written: not by patch", "patch", "secrets", name="acme"),
    Row("Secrets are never deleted", "delete", "secrets", name="acme"),
    Row("Secrets are made in its own namespace only", "create", "secrets"),
    Row("the digest key is never replaced", "update", "secrets", HOME, DIGEST_KEY),
    Row("the digest key is never lost by our hand", "delete", "secrets", HOME, DIGEST_KEY),
    Row("ConfigMaps are applied, never replaced", "update", "configmaps", name="acme"),
    Row("other programs' Leases are not ours", "update", LEASES, HOME, "kube-scheduler"),
    Row("Leases are in its own namespace only", "get", LEASES, "kube-system", LEASE),
    Row("Leases are never deleted", "delete", LEASES, HOME, LEASE),
    Row("Events are not read", "list", "events"),
    Row("Events are not changed", "patch", "events"),
    Row("kopf's scanning of namespaces is off", "list", "namespaces", None),
    Row("kopf's scanning of definitions is off", "list", "customresourcedefinitions", None),
    Row("no token for another account", "create", "serviceaccounts/token", HOME, "default"),
    Row("no way to more rights", "create", "clusterrolebindings", None),
    Row("no way into Pods", "create", "pods/exec"),
]


@pytest.fixture(scope="module")
def shipped(control_plane: ControlPlane, crd: dict[str, Any]) -> ControlPlane:
    """Apply the RBAC as shipped. It is left there: a namespace that terminates could not be made again."""
    del crd
    for name in ("namespace.yaml", "rbac.yaml"):
        control_plane.run_kubectl("apply", "-f", str(BASE / name))
    return control_plane


@pytest.mark.parametrize("row", ALLOWED, ids=lambda row: row.reason)
def test_the_operator_may(shipped: ControlPlane, row: Row) -> None:
    assert _can_i(shipped, row) == "yes"


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.reason)
def test_the_operator_may_not(shipped: ControlPlane, row: Row) -> None:
    assert _can_i(shipped, row) == "no"


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        (
            "payments",
            {
                ("methodfi.com", "methodsecrets", ""): {"get", "list", "watch", "patch"},
                ("methodfi.com", "methodsecrets/status", ""): {"patch"},
                ("", "secrets", ""): {"get", "list", "watch"},
                ("", "configmaps", ""): {"get", "list", "watch", "create", "patch", "delete"},
                ("", "events", ""): {"create"},
                ("", "namespaces", ""): {"get"},
            },
        ),
        (
            HOME,
            {
                ("methodfi.com", "methodsecrets", ""): {"get", "list", "watch", "patch"},
                ("methodfi.com", "methodsecrets/status", ""): {"patch"},
                ("", "secrets", ""): {"get", "list", "watch", "create"},
                ("", "secrets", DIGEST_KEY): {"get"},
                ("coordination.k8s.io", "leases", ""): {"create"},
                ("coordination.k8s.io", "leases", LEASE): {"get", "update"},
                ("", "configmaps", ""): {"get", "list", "watch", "create", "patch", "delete"},
                ("", "events", ""): {"create"},
                ("", "namespaces", ""): {"get"},
            },
        ),
    ],
    ids=["anywhere", "in its own namespace"],
)
def test_nothing_else_is_granted(
    shipped: ControlPlane, namespace: str, expected: dict[tuple[str, str, str], set[str]]
) -> None:
    # What an account without any role has (it may ask what it may do) is not of our making.
    nobody = _rules(shipped, f"system:serviceaccount:{HOME}:nobody", namespace)
    granted = {key: verbs for key, verbs in _rules(shipped, OPERATOR, namespace).items() if key not in nobody}
    assert expected == granted


def _can_i(plane: ControlPlane, row: Row) -> str:
    # "no" comes with exit code 1.
    return plane.run_kubectl("auth", "can-i", f"--as={OPERATOR}", *row.question, check=False).strip()


def _rules(plane: ControlPlane, user: str, namespace: str) -> dict[tuple[str, str, str], set[str]]:
    answer = plane.http.post(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        headers={"Impersonate-User": user},
        json={"spec": {"namespace": namespace}},
    )
    answer.raise_for_status()
    status = answer.json()["status"]
    assert not status["incomplete"]
    found: dict[tuple[str, str, str], set[str]] = {}
    for rule in status["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    found.setdefault((group, resource, name), set()).update(rule["verbs"])
    return found
