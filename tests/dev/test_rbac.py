"""What the operator's ServiceAccount may do under the shipped RBAC, and what not, by the real authorizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rbac_questions import DIGEST_KEY, HOME, KIND, LEASE, LEASES, REFUSED, Row, granted, may

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

BASE = Path(__file__).parents[2] / "deploy" / "kustomize" / "base"
OPERATOR = f"system:serviceaccount:{HOME}:methodsecret-operator"


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


@pytest.fixture(scope="module")
def shipped(control_plane: ControlPlane, crd: dict[str, Any]) -> ControlPlane:
    """Apply the RBAC as shipped. It is left there: a namespace that terminates could not be made again."""
    del crd
    for name in ("namespace.yaml", "rbac.yaml"):
        control_plane.run_kubectl("apply", "-f", str(BASE / name))
    return control_plane


@pytest.mark.parametrize("row", ALLOWED, ids=lambda row: row.reason)
def test_the_operator_may(shipped: ControlPlane, row: Row) -> None:
    assert may(shipped, OPERATOR, row)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.reason)
def test_the_operator_may_not(shipped: ControlPlane, row: Row) -> None:
    assert not may(shipped, OPERATOR, row)


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
    assert expected == granted(shipped, OPERATOR, namespace)
