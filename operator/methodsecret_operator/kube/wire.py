"""The kube-apiserver's HTTP API as pure functions: requests out, objects or named errors back.

No I/O here. This is the one place that turns what the server answered into the `KubeError` tree; of
the server's own words only the Status object's machine-readable `reason` gets through, and only if it
looks like one. `managedFields` are dropped from every object: nothing here needs them, and they can be
larger than the object.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from methodsecret_operator.core.resource import GROUP, PLURAL, VERSION
from methodsecret_operator.errors import (
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeGone,
    KubeNotFound,
    KubeRejected,
    KubeUnavailable,
)
from methodsecret_operator.kube import nesting

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of one object. etcd refuses requests above 1.5 MiB, a Secret's data ends at 1 MiB."""

MAX_LIST_BODY: Final = 64 * 1024 * 1024
"""Bytes of one page of a list."""

_MAX_RETRY_AFTER: Final = 3600.0
_GROUP_PATH: Final = f"/apis/{GROUP}/{VERSION}"
_MERGE_PATCH: Final = "application/merge-patch+json"
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_REASON = re.compile(r"[A-Za-z]{1,64}")
_CLASSES: Final[Mapping[int, type[KubeError]]] = {
    401: KubeForbidden,
    403: KubeForbidden,
    404: KubeNotFound,
    408: KubeUnavailable,
    409: KubeConflict,
    410: KubeGone,
    425: KubeUnavailable,
    429: KubeUnavailable,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call: what goes on the wire, and in what words to speak of it when it fails.

    `body` is kept out of the repr: it may hold a Secret's data.
    """

    verb: str
    what: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    max_body: int = MAX_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `date` is the header of that name.

    `body` is kept out of the repr: it may hold a Secret's data.
    """

    status: int
    retry_after: str | None
    body: bytes = field(repr=False)
    date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list: its items, where the next page begins (None: this was the last one)."""

    items: tuple[dict[str, Any], ...]
    next_token: str | None
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretObject:
    """A Secret as far as the operator needs it. `data` is base64 text as sent, and never in the repr."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    data: Mapping[str, str] = field(repr=False)


def get_methodsecret(namespace: str, name: str) -> Request:
    """Read one MethodSecret."""
    return Request(
        verb="get",
        what=f"{PLURAL} {namespace}/{name}",
        method="GET",
        path=f"{_collection(namespace)}/{segment(name)}",
    )


def list_methodsecrets(
    namespace: str | None, *, limit: int, token: str | None, selector: str | None = None
) -> Request:
    """Read one page of the MethodSecrets of a namespace, or of all of them."""
    params = {"limit": str(limit)} | ({"continue": token} if token else {})
    if selector is not None:
        params["fieldSelector"] = selector
    return Request(
        verb="list",
        what=f"{PLURAL} in {f'namespace {namespace}' if namespace else 'all namespaces'}",
        method="GET",
        path=_collection(namespace),
        params=params,
        max_body=MAX_LIST_BODY,
    )


def patch_methodsecret(namespace: str, name: str, patch: Mapping[str, Any], *, status: bool) -> Request:
    """Change a MethodSecret, or its status, by a JSON merge patch (RFC 7386) under the optimistic lock.

    Raises ValueError where the patch does not name the resourceVersion and the uid it was made for: without
    them the server would write over whatever is there by now. The resourceVersion is the lock, and no other
    object ever has it; of the uid, kube-apiserver 1.37 takes no notice where a status is written.
    """
    metadata = patch.get("metadata") or {}
    if not metadata.get("resourceVersion") or not metadata.get("uid"):
        raise ValueError("a patch must carry metadata.resourceVersion and metadata.uid")
    suffix = "/status" if status else ""
    return Request(
        verb="patch",
        what=f"{PLURAL}{suffix} {namespace}/{name}",
        method="PATCH",
        path=f"{_collection(namespace)}/{segment(name)}{suffix}",
        headers={"Content-Type": _MERGE_PATCH},
        body=encode(patch),
    )


def get_secret(namespace: str, name: str) -> Request:
    """Read one Secret."""
    return Request(
        verb="get",
        what=f"secrets {namespace}/{name}",
        method="GET",
        path=f"/api/v1/namespaces/{segment(namespace)}/secrets/{segment(name)}",
    )


def create_secret(namespace: str, name: str, data: Mapping[str, bytes], labels: Mapping[str, str]) -> Request:
    """Create an Opaque Secret; it is an error if the name is taken."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "data": {key: base64.b64encode(value).decode("ascii") for key, value in data.items()},
    }
    return Request(
        verb="create",
        what=f"secrets {namespace}/{name}",
        method="POST",
        path=f"/api/v1/namespaces/{segment(namespace)}/secrets",
        headers={"Content-Type": "application/json"},
        body=encode(manifest),
    )


def get_namespace(name: str) -> Request:
    """Read one Namespace."""
    return Request(
        verb="get", what=f"namespaces {name}", method="GET", path=f"/api/v1/namespaces/{segment(name)}"
    )


def discover_methodsecrets() -> Request:
    """Ask which kinds the server has in our group and version."""
    return Request(verb="discover", what=f"{GROUP}/{VERSION}", method="GET", path=_GROUP_PATH)


def create_event(namespace: str, body: Mapping[str, Any]) -> Request:
    """Post an Event (see kube.events)."""
    return Request(
        verb="create",
        what=f"events in namespace {namespace}",
        method="POST",
        path=f"/api/v1/namespaces/{segment(namespace)}/events",
        headers={"Content-Type": "application/json"},
        body=encode(body),
    )


def parse_object(request: Request, answer: Answer) -> dict[str, Any]:
    """Return the object in the answer, without its managedFields; raises KubeError for anything else."""
    check(request, answer)
    return _without_managed_fields(decode(request, answer))


def parse_page(request: Request, answer: Answer) -> Page:
    """Return the page of a list in the answer. An empty list's items may be null."""
    check(request, answer)
    document = decode(request, answer)
    metadata = document.get("metadata")
    items = document.get("items")
    if items is None:
        items = []
    if not isinstance(metadata, dict) or not isinstance(items, list):
        raise unreadable(request, answer.status)
    if not all(isinstance(item, dict) for item in items):
        raise unreadable(request, answer.status)
    version = metadata.get("resourceVersion")
    if not isinstance(version, str) or not (version.isascii() and version.isdigit()):
        raise unreadable(request, answer.status)  # what is gone could not be told from what is new
    return Page(
        items=tuple(_without_managed_fields(item) for item in items),
        next_token=metadata.get("continue") or None,
        resource_version=version,
    )


def parse_secret(request: Request, answer: Answer) -> SecretObject:
    """Return the Secret in the answer."""
    document = parse_object(request, answer)
    match document:
        case {
            "metadata": {
                "namespace": str(namespace),
                "name": str(name),
                "uid": str(uid),
                "resourceVersion": str(resource_version),
                **metadata,
            }
        }:
            labels = metadata.get("labels") or {}
            data = document.get("data") or {}
            if _is_text(labels) and _is_text(data):
                return SecretObject(
                    namespace=namespace,
                    name=name,
                    uid=uid,
                    resource_version=resource_version,
                    labels=labels,
                    data=data,
                )
    raise unreadable(request, answer.status)


def parse_uid(request: Request, answer: Answer) -> str:
    """Return the uid of the object in the answer."""
    metadata = parse_object(request, answer).get("metadata")
    if isinstance(metadata, dict) and isinstance(uid := metadata.get("uid"), str):
        return uid
    raise unreadable(request, answer.status)


def parse_terminating(request: Request, answer: Answer) -> bool:
    """Read whether a namespace is being deleted."""
    metadata = parse_object(request, answer).get("metadata")
    return isinstance(metadata, dict) and "deletionTimestamp" in metadata


def parse_served(request: Request, answer: Answer) -> bool:
    """Return whether the group's kinds in the answer include MethodSecret; a 404 means that none is there."""
    try:
        resources = parse_object(request, answer).get("resources")
    except KubeNotFound:
        return False
    if not isinstance(resources, list):
        raise unreadable(request, answer.status)
    return any(isinstance(entry, dict) and entry.get("name") == PLURAL for entry in resources)


def check(request: Request, answer: Answer) -> None:
    """Raise the KubeError that belongs to the answer, unless its status is a 2xx."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own borders
        raise error_for(request, answer)


def error_for(request: Request, answer: Answer) -> KubeError:
    """Return the error that belongs to an answer with a status outside 2xx."""
    status = answer.status
    return _class_for(status)(
        verb=request.verb,
        what=request.what,
        kind="http",
        status=status,
        reason=_reason(answer.body),
        retry_after=parse_retry_after(answer.retry_after),
    )


def error_in_stream(request: Request, document: Mapping[str, Any]) -> KubeError:
    """Return the error that a watch's ERROR event carries: a Status object with the code of an answer."""
    code = document.get("code")
    status = code if isinstance(code, int) and not isinstance(code, bool) else None
    reason = document.get("reason")
    return (_class_for(status) if status is not None else KubeUnavailable)(
        verb=request.verb,
        what=request.what,
        kind="stream",
        status=status,
        reason=reason if isinstance(reason, str) and _REASON.fullmatch(reason) else None,
    )


def unreadable(request: Request, status: int | None) -> KubeUnavailable:
    """Return the error for an answer that is not what the API promises: a proxy's page, say."""
    return KubeUnavailable(verb=request.verb, what=request.what, kind="unreadable", status=status)


def parse_retry_after(header: str | None) -> float | None:
    """Return a Retry-After header in seconds. Kubernetes sends whole seconds; a date is ignored."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return min(float(header), _MAX_RETRY_AFTER)


def _class_for(status: int) -> type[KubeError]:
    if status in _CLASSES:
        return _CLASSES[status]
    # Redirects are never followed, and only something between us and the server sends them: no answer.
    return KubeRejected if 400 <= status < 500 else KubeUnavailable  # noqa: PLR2004 - HTTP's own borders


def _reason(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    reason = document.get("reason") if isinstance(document, dict) else None
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else None


def decode(request: Request, answer: Answer) -> dict[str, Any]:
    """Return the JSON object in an answer, as it came. Raises KubeUnavailable where there is none."""
    document: object = None
    # Suppressed, and raised below: json's error holds the whole body, so it must not even be our context.
    with suppress(ValueError, RecursionError):
        document = nesting.loads(answer.body.decode())
    if isinstance(document, dict):
        return document
    raise unreadable(request, answer.status)


def _is_text(mapping: object) -> TypeGuard[dict[str, str]]:
    return isinstance(mapping, dict) and all(isinstance(value, str) for value in mapping.values())


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a document as it is sent."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _without_managed_fields(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return document


def _collection(namespace: str | None) -> str:
    if namespace is None:
        return f"{_GROUP_PATH}/{PLURAL}"
    return f"{_GROUP_PATH}/namespaces/{segment(namespace)}/{PLURAL}"


def segment(name: str) -> str:
    """Return the name if it can stand in a path; names come from the API, which holds to the same rule."""
    if not _NAME.fullmatch(name):
        raise ValueError("not a name of a Kubernetes object")
    return name
