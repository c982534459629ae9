"""Listing the ConfigMaps that show ids to Pods, with what they show. No I/O here."""

from __future__ import annotations

from methodsecret_operator.core.publishing import MANAGED_BY
from methodsecret_operator.kube import wire

_PAGE = 500


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
