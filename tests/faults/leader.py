"""Lets the operators of one place elect a leader among themselves: a Lease of its own, in its own namespace.

The Lease holds so long that it is not renewed while a scenario runs, so that the requests are the same in
each run. Where its holder was killed, it is freed in place of the wait for its end: `hurry`, then `follow`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from dev.controlplane import ControlPlane
from tests.faults.place import Place
from tests.integration.conftest import SYSTEM

_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1/namespaces"
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_NAME: Final = "methodsecret-operator"


async def elect(place: Place) -> None:
    """Make the place's operators elect a leader, with no more rights than they have where they live."""
    for kind, kept in (("roles", ("rules",)), ("rolebindings", ("roleRef", "subjects"))):
        shipped = place.plane.http.get(f"{_RBAC}/{SYSTEM}/{kind}/{_NAME}").raise_for_status().json()
        body = {"metadata": {"name": _NAME}, **{part: shipped[part] for part in kept}}
        place.plane.http.post(f"{_RBAC}/{place.namespace}/{kind}", json=body).raise_for_status()
    await _allowed(place.plane, place.namespace)
    place.settings = {
        "LEADER_ELECTION": "true",
        "LEASE_SECONDS": "300",
        "OPERATOR_NAMESPACE": place.namespace,
    }


async def hurry(place: Place) -> None:
    """Make the next operator look at the Lease often."""
    place.settings["LEASE_SECONDS"] = "3"


async def follow(place: Place) -> None:
    """Free the Lease, as if its time were over, where the operator started last stands by for a dead one.

    Only its log tells: a request of the dead one's may have been on its way when it was started.
    """
    said = await asyncio.to_thread(place.operators[-1].wait_event, "leading", "standing by")
    if said == "standing by":
        lease = f"{_LEASES}/{place.namespace}/leases/{_NAME}"
        place.plane.http.delete(lease).raise_for_status()


async def _allowed(plane: ControlPlane, namespace: str) -> None:
    """Wait for the authorizer: it learns of roles by a watch; nothing but its answer tells when."""
    asked: dict[str, Any] = {"verb": "create", "group": "coordination.k8s.io", "resource": "leases"}
    review = {
        "spec": {
            "user": f"system:serviceaccount:{SYSTEM}:{_NAME}",
            "resourceAttributes": {**asked, "namespace": namespace},
        }
    }
    for _ in range(500):
        if plane.http.post(_REVIEWS, json=review).json()["status"]["allowed"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the operator may not create Leases in {namespace}")
