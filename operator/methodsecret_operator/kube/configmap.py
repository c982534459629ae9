"""ConfigMaps that show an id to Pods: requests out, what is of interest of the answers back. No I/O here.

They are written by server-side apply under a field manager of our own, so that the server itself keeps apart
what is ours and what is somebody else's (kubernetes.io/docs/reference/using-api/server-side-apply).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from methodsecret_operator.core.publishing import MANAGED_BY
from methodsecret_operator.core.snapshot import ConfigMapSeen
from methodsecret_operator.kube import wire

FIELD_MANAGER: Final = "methodsecret-operator"
"""Under which name what the operator applies is its own."""

_APPLY_PATCH: Final = "application/apply-patch+yaml"  # of which JSON is a part
_PAGE: Final = 500


def get_request(namespace: str, name: str) -> wire.Request:
    """Read one ConfigMap."""
    return _request("get", "GET", namespace, name)


def list_request(namespace: str | None, *, token: str | None) -> wire.Request:
    """Read one page of the ConfigMaps with our label in a namespace, or in all of them."""
    place = f"/namespaces/{wire.segment(namespace)}" if namespace else ""
    params = {"limit": str(_PAGE), "labelSelector": "=".join(MANAGED_BY)}
    return wire.Request(
        verb="list",
        what=f"configmaps in {f'namespace {namespace}' if namespace else 'all namespaces'}",
        method="GET",
        path=f"/api/v1{place}/configmaps",
        params=params | ({"continue": token} if token else {}),
        max_body=wire.MAX_LIST_BODY,
    )


def create_request(manifest: Mapping[str, Any]) -> wire.Request:
    """Create a ConfigMap; the server refuses it (409, AlreadyExists) where there is one of its name.

    Server-side apply would add to that one instead: whose it is would be found out too late.
    """
    metadata = manifest["metadata"]
    return _request(
        "create",
        "POST",
        metadata["namespace"],
        metadata["name"],
        params={"fieldManager": FIELD_MANAGER},
        headers={"Content-Type": "application/json"},
        body=wire.encode(manifest),
    )


def apply_request(manifest: Mapping[str, Any], *, onto: ConfigMapSeen) -> wire.Request:
    """Apply a ConfigMap (server-side apply): what is in the manifest is ours, what was and is not goes.

    Only that very version, and what others have put into our fields is replaced.
    """
    metadata = {**manifest["metadata"], "uid": onto.uid, "resourceVersion": onto.resource_version}
    return _request(
        "patch",
        "PATCH",
        metadata["namespace"],
        metadata["name"],
        params={"fieldManager": FIELD_MANAGER, "force": "true"},
        headers={"Content-Type": _APPLY_PATCH},
        body=wire.encode({**manifest, "metadata": metadata}),
    )


def delete_request(namespace: str, name: str, *, uid: str, resource_version: str) -> wire.Request:
    """Delete a ConfigMap if it is still that one in that version."""
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    }
    headers = {"Content-Type": "application/json"}
    return _request("delete", "DELETE", namespace, name, headers=headers, body=wire.encode(options))


def parse(request: wire.Request, answer: wire.Answer) -> ConfigMapSeen:
    """Return what is of interest of the ConfigMap in the answer: its version and its owners."""
    match wire.parse_object(request, answer):
        case {"metadata": {"uid": str(uid), "resourceVersion": str(version), **metadata}}:
            owners = metadata.get("ownerReferences") or []
            if isinstance(owners, list) and all(isinstance(owner, dict) for owner in owners):
                return ConfigMapSeen(uid=uid, resource_version=version, owners=tuple(owners))
    raise wire.unreadable(request, answer.status)


def _request(
    verb: str,
    method: str,
    namespace: str,
    name: str,
    *,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> wire.Request:
    collection = f"/api/v1/namespaces/{wire.segment(namespace)}/configmaps"
    return wire.Request(
        verb=verb,
        what=f"configmaps {namespace}/{name}",
        method=method,
        path=collection if method == "POST" else f"{collection}/{wire.segment(name)}",
        params=params or {},
        headers=headers or {},
        body=body,
    )
