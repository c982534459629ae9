"""A real Kubernetes control plane on this machine, for tests, the demo and benchmarks.

kube-apiserver, etcd, kube-controller-manager and kubectl are the real programs; TLS and RBAC are on.
This package knows nothing of the operator, and it never touches a cluster that it did not start.

    with start() as plane:
        plane.run_kubectl("get", "namespaces")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dev.controlplane.errors import KubectlError, NotAvailableError, StartError

if TYPE_CHECKING:
    from dev.controlplane.server import ControlPlane, start

__all__ = ["ControlPlane", "KubectlError", "NotAvailableError", "StartError", "start"]


# Imported at first use: `make` runs `ensure` each time, which needs neither httpx nor cryptography.
def __getattr__(name: str) -> object:
    if name not in {"ControlPlane", "start"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("dev.controlplane.server"), name)
