"""Requests and answers of the kube-apiserver as pure functions."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.errors import (
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeGone,
    KubeNotFound,
    KubeRejected,
    KubeUnavailable,
)
from methodsecret_operator.kube import wire

CANARY = "canary-value-of-a-secret"
GET = wire.get_methodsecret("payments", "acme")


def answer(status: int, body: object = b"", retry_after: str | None = None) -> wire.Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.Answer(status=status, retry_after=retry_after, body=content)


class Row(NamedTuple):
    """An answer, and the error and reason word it becomes."""

    reason: str
    status: int
    body: object
    error: type[KubeError]
    word: str | None = None


ERRORS = [
    Row("bad credentials are like missing rights: somebody must act", 401, b"Unauthorized", KubeForbidden),
    Row("RBAC", 403, {"reason": "Forbidden"}, KubeForbidden, "Forbidden"),
    Row("not there", 404, {"reason": "NotFound"}, KubeNotFound, "NotFound"),
    Row("a lock", 409, {"reason": "Conflict"}, KubeConflict, "Conflict"),
    Row("a name is taken", 409, {"reason": "AlreadyExists"}, KubeConflict, "AlreadyExists"),
    Row("compacted", 410, {"reason": "Expired"}, KubeGone, "Expired"),
    Row("the schema says no", 422, {"reason": "Invalid"}, KubeRejected, "Invalid"),
    Row("a 4xx of no further meaning", 418, b"", KubeRejected),
    Row("too many requests", 429, {"reason": "TooManyRequests"}, KubeUnavailable, "TooManyRequests"),
    Row("the request took too long", 408, b"", KubeUnavailable),
    Row("a server's fault", 500, {"reason": "InternalError"}, KubeUnavailable, "InternalError"),
    Row("a proxy's page", 503, b"<html>down</html>", KubeUnavailable),
    Row("redirects come from something in between", 302, b"", KubeUnavailable),
    Row("a reason that is a sentence is no reason", 403, {"reason": f"no {CANARY}"}, KubeForbidden),
    Row("a reason that is too long is none", 403, {"reason": "A" * 65}, KubeForbidden),
    Row("a reason with digits is none of Kubernetes'", 403, {"reason": "sec123"}, KubeForbidden),
    Row("a reason of another type", 403, {"reason": ["Forbidden"]}, KubeForbidden),
    Row("a body that is no object", 403, [1], KubeForbidden),
    Row("a body nested beyond reason", 403, b"[" * 100_000, KubeForbidden),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row.reason)
def test_each_status_has_its_error(row: Row) -> None:
    with pytest.raises(KubeError) as caught:
        wire.parse_object(GET, answer(row.status, row.body))
    assert type(caught.value) is row.error, row.reason
    assert caught.value.reason == row.word, row.reason
    assert caught.value.status == row.status
    assert str(caught.value).startswith(f"get methodsecrets payments/acme: HTTP {row.status}")


def test_the_message_of_a_status_object_goes_nowhere() -> None:
    body = {"reason": "Invalid", "message": CANARY, "details": {"causes": [{"message": CANARY}]}}
    with pytest.raises(KubeRejected) as caught:
        wire.parse_object(GET, answer(422, body))
    assert CANARY not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1", 1.0),
        ("0", 0.0),
        ("999999", 3600.0),
        (None, None),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_whole_seconds_within_an_hour(header: str | None, seconds: float | None) -> None:
    with pytest.raises(KubeUnavailable) as caught:
        wire.parse_object(GET, answer(429, b"", header))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"null", b'"text"', b"[" * 100_000, b"\xff"])
def test_an_ok_without_an_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(KubeUnavailable) as caught:
        wire.parse_object(GET, answer(200, body))
    assert (caught.value.kind, caught.value.status) == ("unreadable", 200)
    assert caught.value.__context__ is None, "json's error holds the body"


def test_managed_fields_are_dropped() -> None:
    found = wire.parse_object(GET, answer(200, {"metadata": {"name": "a", "managedFields": [{}]}}))
    assert found == {"metadata": {"name": "a"}}


def test_a_page() -> None:
    request = wire.list_methodsecrets(None, limit=2, token=None)
    assert (request.path, request.params) == ("/apis/methodfi.com/v1/methodsecrets", {"limit": "2"})
    body = {
        "metadata": {"resourceVersion": "7", "continue": "next"},
        "items": [{"metadata": {"name": "a", "managedFields": []}}],
    }
    page = wire.parse_page(request, answer(200, body))
    assert page == wire.Page(items=({"metadata": {"name": "a"}},), next_token="next", resource_version="7")
    following = wire.list_methodsecrets("payments", limit=2, token="next")
    assert following.params == {"limit": "2", "continue": "next"}
    assert following.path == "/apis/methodfi.com/v1/namespaces/payments/methodsecrets"


@pytest.mark.parametrize("items", [{"items": None}, {"items": []}, {}])
def test_an_empty_list_may_have_no_items(items: dict[str, Any]) -> None:
    request = wire.list_methodsecrets(None, limit=2, token=None)
    page = wire.parse_page(request, answer(200, {"metadata": {"resourceVersion": "7"}, **items}))
    assert page == wire.Page(items=(), next_token=None, resource_version="7")


@pytest.mark.parametrize(
    "body",
    [
        {"items": []},
        {"metadata": {"resourceVersion": "7"}, "items": {}},
        {"metadata": {"resourceVersion": "7"}, "items": [1]},
        *(
            {"metadata": {"resourceVersion": version}, "items": []}
            for version in ("", "7a", "-7", "\u0667", 7)
        ),
        {"metadata": {}, "items": []},
    ],
)
def test_what_is_no_list_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(KubeUnavailable):
        wire.parse_page(wire.list_methodsecrets(None, limit=2, token=None), answer(200, body))


def test_a_secret_shows_no_data() -> None:
    data = base64.b64encode(CANARY.encode()).decode()
    metadata = {"namespace": "payments", "name": "acme", "uid": "u", "resourceVersion": "1"}
    body = {"metadata": metadata, "data": {"key": data}}
    raw = answer(200, body)
    secret = wire.parse_secret(wire.get_secret("payments", "acme"), raw)
    assert secret.data == {"key": data}
    assert secret.labels == {}
    assert data not in repr(secret) + repr(raw)
    creation = wire.create_secret("payments", "acme", {"key": CANARY.encode()}, {"app": "x"})
    assert creation.body is not None
    assert json.loads(creation.body)["data"] == {"key": data}
    assert data not in repr(creation)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": {"namespace": "n", "name": "a", "uid": "u"}},
        {"metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": 1}},
        {"metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1"}, "data": {"k": 1}},
        {"metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1"}, "data": [1]},
    ],
)
def test_what_is_no_secret_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(KubeUnavailable):
        wire.parse_secret(wire.get_secret("n", "a"), answer(200, body))


@pytest.mark.parametrize(
    "metadata", [{}, {"uid": "u"}, {"resourceVersion": "1"}, {"resourceVersion": "", "uid": "u"}]
)
@pytest.mark.parametrize("status", [True, False])
def test_a_patch_without_its_lock_is_refused(metadata: dict[str, str], status: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    with pytest.raises(ValueError, match="must carry metadata"):
        wire.patch_methodsecret("n", "a", {"metadata": metadata, "status": {}}, status=status)


@pytest.mark.parametrize(
    "name", ["", "..", ".", "a/b", "a%2fb", "a?x=1", "a#b", "A", "a b", "a\n", "-a", "a" * 254]
)
def test_what_is_no_name_gets_into_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        wire.get_secret("payments", name)
    with pytest.raises(ValueError, match="not a name"):
        wire.get_secret(name, "acme")


@pytest.mark.parametrize(
    ("status", "body", "served"),
    [
        (200, {"resources": [{"name": "methodsecrets"}, {"name": "methodsecrets/status"}]}, True),
        (200, {"resources": [{"name": "others"}]}, False),
        (404, b"404 page not found", False),
    ],
)
def test_whether_the_crd_is_there(status: int, body: object, served: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    assert wire.parse_served(wire.discover_methodsecrets(), answer(status, body)) is served


def test_an_error_within_a_stream() -> None:
    gone = wire.error_in_stream(GET, {"code": 410, "reason": "Expired", "message": CANARY})
    assert type(gone) is KubeGone
    assert str(gone) == "get methodsecrets payments/acme: HTTP 410 stream Expired"
    for odd in ({}, {"code": "410"}, {"code": True}):
        assert type(wire.error_in_stream(GET, odd)) is KubeUnavailable
