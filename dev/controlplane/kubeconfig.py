"""Writes kubeconfig files for one control plane; knows no other cluster and reads no other file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from dev.controlplane.certs import Pair

CONTEXT = "methodsecret-local"  # a name that no real cluster has: tools may check for it


def write(
    path: Path,
    *,
    url: str,
    ca_file: Path,
    client: Pair | None = None,
    token: str | None = None,
    namespace: str = "default",
) -> Path:
    """Write a kubeconfig (mode 0600) with one context, by client certificate or by token; return its path.

    Certificates are named by their files, so the kubeconfig lives as long as the control plane does.
    """
    user: dict[str, str] = {}
    if client is not None:
        user = {"client-certificate": str(client.certificate), "client-key": str(client.key)}
    if token is not None:
        user["token"] = token
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [
            {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}
        ],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
