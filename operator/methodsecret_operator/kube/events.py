"""Builds the Event objects that `kubectl describe` shows under a MethodSecret. Pure; sends nothing.

They are core/v1 Events. events.k8s.io/v1 stores the same objects, but makes `kubectl get events` and
older tools work out times from other fields, and needs RBAC that fewer roles have.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final, Literal

from methodsecret_operator.core.resource import GROUP, KIND, VERSION, rfc3339

COMPONENT: Final = "methodsecret-operator"
MAX_MESSAGE: Final = 1024
"""Bytes. The limit of events.k8s.io/v1, in which the same Event can be read."""

_MAX_NAME: Final = 253
_ELLIPSIS: Final = "…"


def build_event(
    *,
    namespace: str,
    name: str,
    uid: str,
    resource_version: str,
    type: Literal["Normal", "Warning"],  # noqa: A002 - Kubernetes' own word for it
    reason: str,
    message: str,
    now: datetime,
    instance: str,
) -> dict[str, Any]:
    """Return an Event about a MethodSecret, for `KubeClient.create_event`.

    `now` is an aware time in UTC, `instance` names this process (the Pod). The name depends on nothing
    but the arguments, so that to post the same Event again is refused as AlreadyExists.
    """
    stamp = rfc3339(now)
    unique = f"{uid}\0{reason}\0{message}\0{instance}\0{now.isoformat()}"
    suffix = "." + hashlib.sha256(unique.encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": namespace,
            "name": name[: _MAX_NAME - len(suffix)].rstrip("-.") + suffix,
        },
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": namespace,
            "name": name,
            "uid": uid,
            "resourceVersion": resource_version,
        },
        "type": type,
        "reason": reason,
        "message": _shorten(message),
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }


def _shorten(message: str) -> str:
    """Return the message within the limit, cut between two characters and marked as cut."""
    if len(message.encode()) <= MAX_MESSAGE:
        return message
    room = MAX_MESSAGE - len(_ELLIPSIS.encode())
    return message.encode()[:room].decode(errors="ignore") + _ELLIPSIS
