"""What is kept of a Secret or ConfigMap, and the decoder that keeps no more. Pure: bytes in, objects out.

The server is asked for PartialObjectMetadata, which has no data. Annotations and managedFields still
travel, and `last-applied-configuration` can hold a whole Secret: they end here, line by line. An answer
that is no PartialObjectMetadata is refused, so that a server which ignores what it was asked for can
never make the operator hold values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from sys import intern
from types import MappingProxyType
from typing import Any, Final

from methodsecret_operator.errors import KubeRejected
from methodsecret_operator.kube import wire

MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of one event. Annotations end at 256 KiB, the whole object at etcd's 1.5 MiB."""

PAGE_SIZE: Final = 200
"""Objects a page where a plain LIST is needed: with the largest annotations it still fits MAX_LIST_BODY."""

_AS: Final = "application/json;as={kind};g=meta.k8s.io;v=v1"
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_WHOLE: Final = frozenset({"data", "stringData"})
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PartialMetadata:
    """All that is kept of an object."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that is gone; `uid` is that of the one that was known under the name."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Changed:
    """An object is there, is new, or is no longer what it was."""

    meta: PartialMetadata

    @property
    def resource_version(self) -> str:
        """Up to where the watch has come with this event."""
        return self.meta.resource_version


@dataclass(frozen=True, slots=True)
class Removed:
    """An object is gone, or no longer matches the selector."""

    meta: PartialMetadata

    @property
    def resource_version(self) -> str:
        """Up to where the watch has come with this event."""
        return self.meta.resource_version


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to this resourceVersion was sent; `complete`: that was the whole initial list."""

    resource_version: str
    complete: bool


Event = Changed | Removed | Bookmark


class LineTooLongError(ValueError):
    """A line is longer than any event can be."""


class LineSplitter:
    """Cuts a stream of chunks into lines, holding no more than the line that is not complete yet."""

    def __init__(self, *, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that this chunk completes, without their ends and without empty ones.

        Raises LineTooLongError.
        """
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._add(chunk[start:end])
            line = b"".join(self._parts)
            self._parts, self._size = [], 0
            start = end + 1
            if line.strip():
                yield line
        self._add(chunk[start:])

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise LineTooLongError
        if part:
            self._parts.append(part)


def watch_request(
    namespace: str | None,
    *,
    selector: str | None,
    resource_version: str | None,
    seconds: int,
    resource: str = "secrets",
) -> wire.Request:
    """Ask for the changes since a resourceVersion; None: for all that is there, and then the changes.

    The latter (a streaming list) has no pages and costs the server no memory for the whole list; it
    ends with a bookmark. https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists
    """
    params = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
    if resource_version is None:
        params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    else:
        params |= {"resourceVersion": resource_version}
    return _request("watch", resource, namespace, selector, params, kind="PartialObjectMetadata")


def list_request(
    namespace: str | None, *, selector: str | None, token: str | None, resource: str = "secrets"
) -> wire.Request:
    """Ask for one page of what is there."""
    params = {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
    return _request("list", resource, namespace, selector, params, kind="PartialObjectMetadataList")


def decode_page(request: wire.Request, answer: wire.Answer) -> tuple[tuple[PartialMetadata, ...], wire.Page]:
    """Return the objects of a page, and the page emptied of them."""
    page = wire.parse_page(request, answer)
    metas = tuple(_meta(request, item) for item in page.items)
    return metas, wire.Page(items=(), next_token=page.next_token, resource_version=page.resource_version)


def decode_line(request: wire.Request, line: bytes) -> Event:
    """Return the event on one line of a watch; raises KubeError for an ERROR event and for anything else."""
    document: object = None
    # Suppressed, and raised below: json's error would hold the whole line.
    with suppress(ValueError, RecursionError):
        document = json.loads(line)
    match document:
        case {"type": "ADDED" | "MODIFIED", "object": dict(item)}:
            return Changed(_meta(request, item))
        case {"type": "DELETED", "object": dict(item)}:
            return Removed(_meta(request, item))
        case {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version), **metadata}}}:
            annotations = metadata.get("annotations")
            return Bookmark(
                resource_version=version,
                complete=isinstance(annotations, dict) and annotations.get(_INITIAL_EVENTS_END) == "true",
            )
        case {"type": "ERROR", "object": dict(status)}:
            raise wire.error_in_stream(request, status)
    raise wire.unreadable(request, None)


def _request(
    verb: str,
    resource: str,
    namespace: str | None,
    selector: str | None,
    params: dict[str, str],
    *,
    kind: str,
) -> wire.Request:
    if selector:
        params["labelSelector"] = selector
    return wire.Request(
        verb=verb,
        what=f"{resource} in {f'namespace {namespace}' if namespace else 'all namespaces'}",
        method="GET",
        path=f"/api/v1/namespaces/{wire.segment(namespace)}/{resource}"
        if namespace
        else f"/api/v1/{resource}",
        params=params,
        headers={"Accept": _AS.format(kind=kind)},
        max_body=wire.MAX_LIST_BODY,
    )


def _meta(request: wire.Request, item: dict[str, Any]) -> PartialMetadata:
    # In a list the items have no kind of their own in some versions of the API; data they never have.
    if item.get("kind", "PartialObjectMetadata") != "PartialObjectMetadata" or not _WHOLE.isdisjoint(item):
        raise KubeRejected(verb=request.verb, what=request.what, kind="whole-objects")
    match item.get("metadata"):
        case {
            "namespace": str(namespace),
            "name": str(name),
            "uid": str(uid),
            "resourceVersion": str(version),
            **rest,
        }:
            labels = rest.get("labels")
            return PartialMetadata(intern(namespace), name, uid, version, _labels(labels))
    raise wire.unreadable(request, None)


def _labels(labels: object) -> Mapping[str, str]:
    """Return the labels; keys and values recur over thousands of objects, so each is held once."""
    if not isinstance(labels, dict) or not labels:
        return _NO_LABELS
    return {intern(key): intern(value) for key, value in labels.items() if isinstance(value, str)}
