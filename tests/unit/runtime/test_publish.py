"""Steps on a ConfigMap against a kube-apiserver that has another idea of it by now."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from methodsecret_operator.core.snapshot import (
    ApplyConfigMap,
    ConfigMapSeen,
    ConfigMapState,
    CreateConfigMap,
    DeleteConfigMap,
    ReadConfigMap,
)
from methodsecret_operator.errors import KubeUnavailable
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime import publish
from tests.unit.runtime.kube_server import KubeServer

COLLECTION = "/api/v1/namespaces/payments/configmaps"
PATH = f"{COLLECTION}/shown"
MANIFEST: dict[str, Any] = {"metadata": {"namespace": "payments", "name": "shown"}}
SEEN = ConfigMapSeen(uid="u1", resource_version="7")
CREATE = CreateConfigMap(MANIFEST)
APPLY = ApplyConfigMap(MANIFEST, SEEN)
DELETE = DeleteConfigMap("shown", uid="u1", resource_version="7")


class Row(NamedTuple):
    """A step, the request that it sends, how that is answered, and what is known of `shown` afterwards."""

    reason: str
    step: publish.Step
    request: str
    status: int
    seen: dict[str, ConfigMapState]


@pytest.mark.parametrize(
    "row",
    [
        Row("there is none", ReadConfigMap("shown"), f"GET {PATH}", 404, {"shown": None}),
        Row("one has come meanwhile: whose it is, is found out", CREATE, f"POST {COLLECTION}", 409, {}),
        Row("it is no longer the one that was seen: it is read anew", APPLY, f"PATCH {PATH}", 409, {}),
        Row("it has gone meanwhile", APPLY, f"PATCH {PATH}", 404, {"shown": None}),
        Row("somebody has written it meanwhile: is it still ours?", DELETE, f"DELETE {PATH}", 409, {}),
        Row("somebody was faster", DELETE, f"DELETE {PATH}", 404, {"shown": None}),
        Row("no right to create one", CREATE, f"POST {COLLECTION}", 403, {"shown": "refused"}),
        Row("an admission rule has a word in it", APPLY, f"PATCH {PATH}", 422, {"shown": "refused"}),
    ],
    ids=lambda row: row.reason,
)
async def test_what_is_known_after_an_answer(kube: KubeClient, server: KubeServer, row: Row) -> None:
    server.faults[row.request] = [row.status]
    known: dict[str, ConfigMapState] = {} if isinstance(row.step, ReadConfigMap) else {"shown": SEEN}
    await publish.take(row.step, namespace="payments", kube=kube, seen=known)
    assert known == row.seen
    assert server.faults[row.request] == [], "it was asked for, once"


async def test_without_an_answer_what_was_known_stays(kube: KubeClient, server: KubeServer) -> None:
    """The look ends there, and the next one reads."""
    server.faults[f"PATCH {PATH}"] = [503]
    known: dict[str, ConfigMapState] = {"shown": SEEN}
    with pytest.raises(KubeUnavailable):
        await publish.take(APPLY, namespace="payments", kube=kube, seen=known)
    assert known == {"shown": SEEN}
