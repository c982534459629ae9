"""Leases (coordination.k8s.io/v1): requests, and what is read from and written into one. No I/O here.

Times in a Lease are for people and for other programs; nothing is decided by them here or elsewhere in
the operator, for two machines' clocks may differ by any amount.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from methodsecret_operator.kube import wire


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as read or as written. `document` is the whole object: what others put there stays there."""

    document: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The record: as long as it does not change, its holder has not been heard of."""
        spec = self.document.get("spec")
        return spec if isinstance(spec, dict) else {}

    @property
    def holder(self) -> str | None:
        """Who holds it; None where nobody does."""
        holder = self.spec.get("holderIdentity")
        return holder if isinstance(holder, str) and holder else None

    @property
    def seconds(self) -> float | None:
        """For how many seconds each renewal holds, as its holder wrote it."""
        seconds = self.spec.get("leaseDurationSeconds")
        return float(seconds) if isinstance(seconds, int) and seconds > 0 else None

    def claimed(self, *, holder: str, seconds: int, now: datetime) -> Lease:
        """Return the Lease with another holder."""
        transitions = self.spec.get("leaseTransitions")
        return self._with(
            holderIdentity=holder,
            leaseDurationSeconds=seconds,
            acquireTime=_micro_time(now),
            renewTime=_micro_time(now),
            leaseTransitions=transitions + 1 if isinstance(transitions, int) else 0,
        )

    def renewed(self, *, seconds: int, now: datetime) -> Lease:
        """Return the Lease held on by its holder."""
        return self._with(leaseDurationSeconds=seconds, renewTime=_micro_time(now))

    def released(self, *, now: datetime) -> Lease:
        """Return the Lease without a holder, so that nobody needs to wait for its end."""
        return self._with(holderIdentity="", leaseDurationSeconds=1, renewTime=_micro_time(now))

    def _with(self, **fields: object) -> Lease:
        return Lease({**self.document, "spec": {**self.spec, **fields}})


def new(namespace: str, name: str) -> Lease:
    """Return a Lease that is not at the server yet, without a holder."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "methodsecret-operator"},
    }
    return Lease({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata})


def get_request(namespace: str, name: str) -> wire.Request:
    """Read one Lease."""
    return wire.Request(
        verb="get",
        what=f"leases {namespace}/{name}",
        method="GET",
        path=f"{_collection(namespace)}/{wire.segment(name)}",
    )


def write_request(namespace: str, name: str, lease: Lease) -> wire.Request:
    """Create a Lease, or replace the one that was read: by its resourceVersion, which is the lock."""
    new_one = not lease.document["metadata"].get("resourceVersion")
    collection = _collection(namespace)
    return wire.Request(
        verb="create" if new_one else "update",
        what=f"leases {namespace}/{name}",
        method="POST" if new_one else "PUT",
        path=collection if new_one else f"{collection}/{wire.segment(name)}",
        headers={"Content-Type": "application/json"},
        body=json.dumps(lease.document, separators=(",", ":"), allow_nan=False).encode(),
    )


def parse(request: wire.Request, answer: wire.Answer) -> Lease:
    """Return the Lease in the answer. Raises KubeError."""
    document = wire.parse_object(request, answer)
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("resourceVersion"), str):
        return Lease(document)
    raise wire.unreadable(request, answer.status)


def _collection(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{wire.segment(namespace)}/leases"


def _micro_time(moment: datetime) -> str:
    """Return a moment in Kubernetes' MicroTime: always UTC, always six digits."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
