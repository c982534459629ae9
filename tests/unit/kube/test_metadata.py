"""The decoder that lets nothing of a Secret through but its name, identity and labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from methodsecret_operator.errors import KubeError, KubeGone, KubeRejected, KubeUnavailable
from methodsecret_operator.kube import wire
from methodsecret_operator.kube.metadata import (
    Bookmark,
    Changed,
    LineSplitter,
    LineTooLongError,
    PartialMetadata,
    Removed,
    decode_line,
    decode_page,
    list_request,
    watch_request,
)

CANARY = "canary-value-of-a-secret"
WATCH = watch_request(None, selector=None, resource_version="5", seconds=300)
LIST = list_request("payments", selector="app=x", token=None)


def item(**extra: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    metadata = {
        "namespace": "payments",
        "name": "acme",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"app": "x"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY},
        "managedFields": [{"manager": CANARY}],
    }
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata} | extra


def line(kind: str, content: object) -> bytes:
    return json.dumps({"type": kind, "object": content}).encode()


META = PartialMetadata("payments", "acme", "u", "7", {"app": "x"})


@pytest.mark.parametrize(
    ("kind", "event"),
    [("ADDED", Changed(META)), ("MODIFIED", Changed(META)), ("DELETED", Removed(META))],
)
def test_events(kind: str, event: object) -> None:
    decoded = decode_line(WATCH, line(kind, item()))
    assert decoded == event
    assert CANARY not in repr(decoded)


def test_bookmarks() -> None:
    plain = {"metadata": {"resourceVersion": "9"}}
    last = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}
    assert decode_line(WATCH, line("BOOKMARK", plain)) == Bookmark("9", complete=False)
    assert decode_line(WATCH, line("BOOKMARK", last)) == Bookmark("9", complete=True)


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (line("ERROR", {"code": 410, "reason": "Expired", "message": CANARY}), KubeGone, "compacted"),
        (line("ERROR", {"code": 500, "message": CANARY}), KubeUnavailable, "a server's fault"),
        (line("ERROR", {}), KubeUnavailable, "an error that says nothing"),
        (line("NEWS", item()), KubeUnavailable, "an event of no known type"),
        (line("ADDED", [CANARY]), KubeUnavailable, "an object that is none"),
        (line("ADDED", {"metadata": {"name": CANARY}}), KubeUnavailable, "metadata that lacks the rest"),
        (line("BOOKMARK", {}), KubeUnavailable, "a bookmark without a place"),
        (f"<html>{CANARY}".encode(), KubeUnavailable, "a proxy's page"),
        (b"[" * 100_000, KubeUnavailable, "nested beyond reason"),
        (b"\xff\xfe", KubeUnavailable, "no text"),
        (line("ADDED", item(kind="Secret")), KubeRejected, "a whole Secret by its kind"),
        (line("ADDED", item(data={"k": CANARY})), KubeRejected, "data, whatever it calls itself"),
        (line("DELETED", item(stringData={"k": CANARY})), KubeRejected, "data, in a deletion too"),
    ],
)
def test_everything_else_is_an_error_that_quotes_nothing(
    content: bytes, error: type[KubeError], reason: str
) -> None:
    with pytest.raises(KubeError) as caught:
        decode_line(WATCH, content)
    assert type(caught.value) is error, reason
    assert CANARY not in str(caught.value) + repr(vars(caught.value))
    assert caught.value.__context__ is None


def test_a_page() -> None:
    body = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [item()]}
    answer = wire.Answer(status=200, retry_after=None, body=json.dumps(body).encode())
    metas, page = decode_page(LIST, answer)
    assert metas == (META,)
    assert page == wire.Page(items=(), next_token="more", resource_version="9")


def test_a_page_of_whole_secrets_is_refused() -> None:
    body = {"metadata": {"resourceVersion": "9"}, "items": [item(kind="Secret", data={"k": CANARY})]}
    answer = wire.Answer(status=200, retry_after=None, body=json.dumps(body).encode())
    with pytest.raises(KubeRejected) as caught:
        decode_page(LIST, answer)
    assert caught.value.kind == "whole-objects"


def test_labels_and_namespaces_are_held_once() -> None:
    first, second = (decode_line(WATCH, line("ADDED", item())) for _ in range(2))
    assert isinstance(first, Changed)
    assert isinstance(second, Changed)
    assert first.meta.namespace is second.meta.namespace
    for one, other in zip(first.meta.labels.items(), second.meta.labels.items(), strict=True):
        assert (one[0] is other[0], one[1] is other[1]) == (True, True)


def test_requests() -> None:
    assert (LIST.path, LIST.params) == (
        "/api/v1/namespaces/payments/secrets",
        {"limit": "200", "labelSelector": "app=x"},
    )
    assert LIST.headers == {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    streaming = watch_request(None, selector=None, resource_version=None, seconds=300)
    assert streaming.path == "/api/v1/secrets"
    assert streaming.headers == {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    assert streaming.params == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
    }


@pytest.mark.parametrize("size", [1, 7, 65_536, 10_000_000])
def test_lines_come_whole_however_the_stream_is_cut(size: int) -> None:
    text = b"\n".join([b"a", b"b" * 30_000, b"", b"c" * 7_000, b" \r", b"d", b"rest"])
    splitter = LineSplitter()
    chunks = (text[start : start + size] for start in range(0, len(text), size))
    found = [entry for chunk in chunks for entry in splitter.feed(chunk)]
    assert found == [b"a", b"b" * 30_000, b"c" * 7_000, b"d"]
    assert list(splitter.feed(b" and end\n")) == [b"rest and end"]


def test_a_line_has_a_limit() -> None:
    splitter = LineSplitter(limit=10)
    assert list(splitter.feed(b"1234567890\n12345")) == [b"1234567890"]
    with pytest.raises(LineTooLongError):
        list(splitter.feed(b"678901"))
    with pytest.raises(LineTooLongError):
        list(LineSplitter(limit=10).feed(b"12345678901\n"))
