"""MethodSecrets for the CRD's tests, and the few requests that they are sent with.

Not a client for anything else: requests go to the apiserver of the test as its administrator, and an
answer is handed back as it came.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from dev.controlplane import ControlPlane

ABSENT: Final = object()
"""In `changed`: take the field away."""

LONGEST_NAME: Final = "a" * 253

MINIMAL: Final[dict[str, Any]] = {"valueFrom": {"secretKeyRef": {"name": "acme", "key": "api-key"}}}

FULL: Final[dict[str, Any]] = {
    **MINIMAL,
    "metadata": {"team": "payments", "nested": {"list": [1, "two", {"three": 3.5}]}},
    "account": {"environment": "sandbox", "apiKeySecretRef": {"name": "method", "key": "api-key"}},
    "deletionPolicy": "Delete",
    "rotation": {"policy": "OnRequest", "deleteSupersededAfter": "24h"},
    "adopt": {"id": "sec_abc"},
    "publish": {
        "configMap": {
            "name": "acme-method",
            "key": "id",
            "labels": {"app": "checkout"},
            "annotations": {"example.com/purpose": "method-id"},
        }
    },
}

STATUS: Final[dict[str, Any]] = {
    "id": "sec_new",
    "status": "active",
    "createdAt": "2025-12-04T18:50:54.024Z",
    "updatedAt": "2025-12-04T18:50:54.024Z",
    "environment": "sandbox",
    "observedGeneration": 1,
    "source": {"uid": "0c1d", "revision": "1:5c0d91ab:9f86", "resourceVersion": "8123"},
    "superseded": [
        {
            "id": "sec_old",
            "revision": "1:5c0d91ab:00",
            "supersededAt": "2025-12-04T18:50:54Z",
            "deleting": True,
        }
    ],
    "published": [
        {"configMap": "acme-method", "id": "sec_new", "resourceVersion": "8124", "observedGeneration": 1}
    ],
    "pending": {"revision": "1:5c0d91ab:11", "ordinal": 0},
    "lastHandledReconcileAt": "one",
    "lastHandledRotationAt": "two",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": "2025-12-04T18:50:54Z",
            "reason": "Synced",
            "message": "All is well.",
        }
    ],
}


def method_secret(spec: object, *, name: str = "acme-api-key") -> dict[str, Any]:
    """Return an object as a user would send it."""
    return {
        "apiVersion": "methodfi.com/v1",
        "kind": "MethodSecret",
        "metadata": {"name": name},
        "spec": copy.deepcopy(spec),
    }


def changed(tree: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of `tree` with another value at `path` (names with dots between), or with none there."""
    tree = copy.deepcopy(tree)
    *way, last = path.split(".")
    node = tree
    for step in way:
        node = node.setdefault(step, {})
    if value is ABSENT:
        del node[last]
    else:
        node[last] = copy.deepcopy(value)
    return tree


def url(namespace: str, name: str = "") -> str:
    """Return the address of a namespace's MethodSecrets, or of one of them."""
    return f"/apis/methodfi.com/v1/namespaces/{namespace}/methodsecrets" + (f"/{name}" if name else "")


def try_create(control_plane: ControlPlane, body: dict[str, Any]) -> httpx.Response:
    """Ask the server what it would make of a new object; nothing is stored."""
    return control_plane.http.post(url("default"), params={"dryRun": "All"}, json=body)


def create(control_plane: ControlPlane, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create an object and return it as stored."""
    answer = control_plane.http.post(url(namespace), json=body)
    assert answer.status_code == 201, answer.text
    stored: dict[str, Any] = answer.json()
    return stored


def set_status(
    control_plane: ControlPlane, stored: dict[str, Any], status: object, *, dry_run: bool = False
) -> httpx.Response:
    """Replace the status of a stored object, or ask the server what it would make of that."""
    address = url(stored["metadata"]["namespace"], stored["metadata"]["name"]) + "/status"
    params = {"dryRun": "All"} if dry_run else {}
    return control_plane.http.put(address, params=params, json={**stored, "status": status})


def causes(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """Return what the server objects to: field, reason and message of each cause."""
    assert answer.status_code == 422, f"not refused: {answer.status_code} {answer.text}"
    return [
        (cause["field"], cause["reason"], cause["message"])
        for cause in answer.json()["details"]["causes"]
        if cause["field"] != "<nil>"  # "some validation rules were not checked because ..."
    ]


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each field's path and schema, parents first; items of lists have their list's path and []."""
    for name, child in schema.get("properties", {}).items():
        below = f"{path}.{name}".lstrip(".")
        yield below, child
        yield from walk(child, below)
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(keyword), dict):
            yield path + mark, schema[keyword]
            yield from walk(schema[keyword], path + mark)
