"""What must be known before the first object: asked for again and again, and never made twice."""

from __future__ import annotations

import base64

import pytest

from methodsecret_operator.errors import KubeRejected, SettingsError
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime import startup
from methodsecret_operator.runtime.gather import Cluster
from tests.unit.runtime.kube_server import SERVED, KubeServer

KEY_PATH = "/api/v1/namespaces/method-system/secrets"
MATERIAL = bytes(range(32))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_PAUSES", (0.0,))


async def cluster(kube: KubeClient, name: str | None = "prod-eu") -> Cluster:
    return await startup.cluster(kube, name=name, aliases=(), namespace="method-system", secret="digest")


async def test_the_crd_is_waited_for(kube: KubeClient, server: KubeServer) -> None:
    server.documents[SERVED] = {"resources": [{"name": "methodsecrets"}]}
    server.faults[f"GET {SERVED}"] = [404, 503, 403]
    await startup.crd(kube)
    assert len(server.seen) == 4


async def test_what_waiting_does_not_mend_ends_the_start(kube: KubeClient, server: KubeServer) -> None:
    server.faults[f"GET {SERVED}"] = [400]
    with pytest.raises(KubeRejected):
        await startup.crd(kube)


async def test_a_digest_key_is_made_where_there_is_none(kube: KubeClient, server: KubeServer) -> None:
    made = await cluster(kube)
    (posted,) = server.posted
    assert made.digest_key.material == base64.b64decode(posted["data"]["digest-key"])
    assert len(made.digest_key.material) == 32
    assert await cluster(kube) == made
    assert len(server.posted) == 1


async def test_another_operators_key_is_the_one(kube: KubeClient, server: KubeServer) -> None:
    server.put_secret("digest", {"digest-key": MATERIAL}, namespace="method-system")
    server.faults[f"GET {KEY_PATH}/digest"] = [404]  # it was made between our two requests
    assert (await cluster(kube)).digest_key.material == MATERIAL
    assert server.posted == []


@pytest.mark.parametrize("data", [{}, {"digest-key": b""}, {"digest-key": b"canary-short"}])
async def test_a_key_that_is_none_is_never_replaced(
    kube: KubeClient, server: KubeServer, data: dict[str, bytes]
) -> None:
    server.put_secret("digest", data, namespace="method-system")
    with pytest.raises(SettingsError, match="at least 16 random bytes") as caught:
        await cluster(kube)
    assert "canary" not in str(caught.value)
    assert server.posted == []


async def test_a_cluster_without_a_name_is_called_by_a_uid(kube: KubeClient, server: KubeServer) -> None:
    server.documents["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "uid-of-kube-system"}}
    server.faults["GET /api/v1/namespaces/kube-system"] = [403]
    assert (await cluster(kube, name=None)).name == "uid-of-kube-system"
