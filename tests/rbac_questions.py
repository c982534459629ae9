"""Questions to the real authorizer about an account, and what no operator's account may ever do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

HOME = "methodsecret-system"
DIGEST_KEY = "methodsecret-operator-digest-key"
KIND = "methodsecrets.methodfi.com"
LEASE = "methodsecret-operator"
LEASES = "leases.coordination.k8s.io"
Rules = dict[tuple[str, str, str], set[str]]
"""Verbs by API group, resource and name ("" for any)."""


class Row(NamedTuple):
    """One question to the authorizer; `namespace` None asks about all of them."""

    reason: str
    verb: str
    resource: str
    namespace: str | None = "payments"
    name: str = ""


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


def may(plane: ControlPlane, user: str, row: Row) -> bool:
    """Whether a user may do what the row says."""
    resource, _, subresource = row.resource.partition("/")
    resource, _, group = resource.partition(".")
    answer = plane.http.post(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        headers={"Impersonate-User": user},
        json={
            "spec": {
                "resourceAttributes": {
                    "verb": row.verb,
                    "group": group or _GROUPS.get(resource, ""),
                    "resource": resource,
                    "subresource": subresource,
                    "namespace": row.namespace or "",
                    "name": row.name,
                }
            }
        },
    )
    answer.raise_for_status()
    return bool(answer.json()["status"]["allowed"])


def granted(plane: ControlPlane, user: str, namespace: str) -> Rules:
    """Return all that a user has in a namespace beyond what an account without any role has."""
    nobody = _rules(plane, f"system:serviceaccount:{HOME}:nobody", namespace)
    return {key: verbs for key, verbs in _rules(plane, user, namespace).items() if key not in nobody}


_GROUPS = {
    "customresourcedefinitions": "apiextensions.k8s.io",
    "clusterrolebindings": "rbac.authorization.k8s.io",
}


def _rules(plane: ControlPlane, user: str, namespace: str) -> Rules:
    answer = plane.http.post(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        headers={"Impersonate-User": user},
        json={"spec": {"namespace": namespace}},
    )
    answer.raise_for_status()
    status = answer.json()["status"]
    assert not status["incomplete"]
    found: Rules = {}
    for rule in status["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    found.setdefault((group, resource, name), set()).update(rule["verbs"])
    return found
