"""What is sent about ConfigMaps, and what is read from the answers."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from methodsecret_operator.core.snapshot import ConfigMapSeen
from methodsecret_operator.errors import KubeNotFound, KubeUnavailable
from methodsecret_operator.kube import configmap, wire

MANIFEST: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"namespace": "payments", "name": "acme-method", "labels": {"a": "b"}},
    "data": {"id": "sec_a1"},
}
PATH = "/api/v1/namespaces/payments/configmaps/acme-method"
SEEN = ConfigMapSeen(uid="u1", resource_version="7", owners=({"uid": "o1"},))
GET = configmap.get_request("payments", "acme-method")


def body(request: wire.Request) -> Any:  # noqa: ANN401 - any JSON
    assert request.body is not None
    return json.loads(request.body)


def answer(document: object, status: int = 200) -> wire.Answer:
    return wire.Answer(status=status, retry_after=None, body=json.dumps(document).encode())


def test_a_new_one_is_created_and_never_added_to_anothers() -> None:
    request = configmap.create_request(MANIFEST)
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/payments/configmaps")
    assert request.params == {"fieldManager": "methodsecret-operator"}
    assert request.what == "configmaps payments/acme-method"
    assert body(request) == MANIFEST


def test_one_that_was_seen_is_applied_in_that_version_only() -> None:
    request = configmap.apply_request(MANIFEST, onto=SEEN)
    assert request.params == {"fieldManager": "methodsecret-operator", "force": "true"}
    assert body(request)["metadata"] == {**MANIFEST["metadata"], "uid": "u1", "resourceVersion": "7"}
    assert "uid" not in str(MANIFEST), "the caller's manifest is left as it is"


def test_one_is_deleted_in_the_version_that_was_judged() -> None:
    request = configmap.delete_request("payments", "acme-method", uid="u1", resource_version="7")
    assert (request.method, request.path) == ("DELETE", PATH)
    assert body(request)["preconditions"] == {"uid": "u1", "resourceVersion": "7"}


@pytest.mark.parametrize(
    ("namespace", "path", "what"),
    [
        (None, "/api/v1/configmaps", "configmaps in all namespaces"),
        ("payments", "/api/v1/namespaces/payments/configmaps", "configmaps in namespace payments"),
    ],
)
def test_only_ours_are_listed(namespace: str | None, path: str, what: str) -> None:
    first, next_one = (configmap.list_request(namespace, token=token) for token in (None, "next"))
    assert (first.path, first.what) == (path, what)
    assert first.params["labelSelector"].endswith("methodsecret-operator")
    assert "continue" not in first.params
    assert next_one.params["continue"] == "next"


class Row(NamedTuple):
    """What the answer holds, and what is made of it (None: unreadable)."""

    reason: str
    document: object
    expected: ConfigMapSeen | None


@pytest.mark.parametrize(
    "row",
    [
        Row(
            "with owners",
            {"metadata": {"uid": "u1", "resourceVersion": "7", "ownerReferences": [{"uid": "o1"}]}},
            SEEN,
        ),
        Row("without", {"metadata": {"uid": "u1", "resourceVersion": "7"}}, ConfigMapSeen("u1", "7", ())),
        Row("no version", {"metadata": {"uid": "u1"}}, None),
        Row(
            "owners that are none",
            {"metadata": {"uid": "u1", "resourceVersion": "7", "ownerReferences": ["x"]}},
            None,
        ),
        Row("no metadata", {}, None),
    ],
    ids=lambda row: row.reason,
)
def test_what_is_read(row: Row) -> None:
    if row.expected is None:
        with pytest.raises(KubeUnavailable):
            configmap.parse(GET, answer(row.document))
    else:
        assert configmap.parse(GET, answer(row.document)) == row.expected


def test_one_that_is_not_there() -> None:
    with pytest.raises(KubeNotFound):
        configmap.parse(GET, answer({"kind": "Status", "reason": "NotFound"}, 404))
