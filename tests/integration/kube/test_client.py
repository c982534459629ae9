"""The client and its connection against a real kube-apiserver."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from methodsecret_operator.errors import (
    KubeConflict,
    KubeForbidden,
    KubeNotFound,
    KubeRejected,
    KubeUnavailable,
)
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import Connection, connect
from methodsecret_operator.kube.events import build_event

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane
else:
    ControlPlane = Any


def manifest(name: str, namespace: str) -> str:
    spec = {"valueFrom": {"secretKeyRef": {"name": "acme", "key": "api-key"}}}
    metadata = {"name": name, "namespace": namespace}
    head = {"apiVersion": "methodfi.com/v1", "kind": "MethodSecret"}
    return json.dumps(head | {"metadata": metadata, "spec": spec})


@pytest.fixture
def client(served: Connection) -> KubeClient:
    """Return a client of a server that serves MethodSecrets."""
    return KubeClient(served)


@pytest.fixture
async def acme(control_plane: ControlPlane, client: KubeClient, namespace: str) -> dict[str, Any]:
    control_plane.run_kubectl("apply", "-f", "-", input=manifest("acme", namespace))
    return await client.get_methodsecret(namespace, "acme")


def lock(found: dict[str, Any]) -> dict[str, str]:
    metadata = found["metadata"]
    return {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}


async def test_the_optimistic_lock_is_real(client: KubeClient, namespace: str, acme: dict[str, Any]) -> None:
    first = await client.patch_methodsecret_status(
        namespace, "acme", {"metadata": lock(acme), "status": {"id": "sec_1", "observedGeneration": 1}}
    )
    assert first["status"]["id"] == "sec_1"
    assert first["metadata"]["resourceVersion"] != acme["metadata"]["resourceVersion"]
    with pytest.raises(KubeConflict) as caught:
        await client.patch_methodsecret_status(
            namespace, "acme", {"metadata": lock(acme), "status": {"id": "sec_2"}}
        )
    assert caught.value.reason == "Conflict"
    now = await client.get_methodsecret(namespace, "acme")
    assert now == first, "what lost the race wrote nothing, and a PATCH returns what a GET would"
    merged = await client.patch_methodsecret_status(
        namespace, "acme", {"metadata": lock(now), "status": {"id": None, "environment": "sandbox"}}
    )
    assert merged["status"] == {"observedGeneration": 1, "environment": "sandbox"}


async def test_of_many_writers_one_wins(client: KubeClient, namespace: str, acme: dict[str, Any]) -> None:
    async def write(number: int) -> bool:
        patch = {"metadata": lock(acme), "status": {"observedGeneration": number}}
        try:
            await client.patch_methodsecret_status(namespace, "acme", patch)
        except KubeConflict:
            return False
        return True

    assert sum(await asyncio.gather(*(write(number) for number in range(20)))) == 1


async def test_the_lock_holds_against_a_namesake(
    control_plane: ControlPlane, client: KubeClient, namespace: str, acme: dict[str, Any]
) -> None:
    control_plane.run_kubectl("delete", "methodsecret", "acme", "-n", namespace)
    with pytest.raises(KubeNotFound):
        await client.patch_methodsecret_status(
            namespace, "acme", {"metadata": lock(acme), "status": {"id": "sec_1"}}
        )
    control_plane.run_kubectl("apply", "-f", "-", input=manifest("acme", namespace))
    with pytest.raises(KubeConflict):
        await client.patch_methodsecret_status(
            namespace, "acme", {"metadata": lock(acme), "status": {"id": "sec_1"}}
        )
    assert "id" not in (await client.get_methodsecret(namespace, "acme"))["status"]


async def test_the_object_itself_has_the_same_lock(
    client: KubeClient, namespace: str, acme: dict[str, Any]
) -> None:
    finalizers = ["methodfi.com/method-secret"]
    held = await client.patch_methodsecret(
        namespace, "acme", {"metadata": lock(acme) | {"finalizers": finalizers}}
    )
    assert held["metadata"]["finalizers"] == finalizers
    with pytest.raises(KubeConflict):
        await client.patch_methodsecret(namespace, "acme", {"metadata": lock(acme) | {"finalizers": None}})
    free = await client.patch_methodsecret(namespace, "acme", {"metadata": lock(held) | {"finalizers": None}})
    assert "finalizers" not in free["metadata"]


async def test_a_status_against_the_schema_is_rejected(
    client: KubeClient, namespace: str, acme: dict[str, Any]
) -> None:
    with pytest.raises(KubeRejected) as caught:
        await client.patch_methodsecret_status(
            namespace, "acme", {"metadata": lock(acme), "status": {"observedGeneration": "canary"}}
        )
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")
    assert "canary" not in str(caught.value)


async def test_lists_by_pages(control_plane: ControlPlane, client: KubeClient, namespace: str) -> None:
    empty = client.list_methodsecrets(namespace)
    assert [item async for item in empty] == []
    assert int(empty.resource_version) > 0
    names = [f"acme-{number}" for number in range(5)]
    control_plane.run_kubectl("apply", "-f", "-", input="\n---\n".join(manifest(n, namespace) for n in names))
    listing = client.list_methodsecrets(namespace, page=2)
    found = [item async for item in listing]
    assert [item["metadata"]["name"] for item in found] == names
    assert not any("managedFields" in item["metadata"] for item in found)
    everywhere = [item["metadata"]["name"] async for item in client.list_methodsecrets(None, page=2)]
    assert set(names) <= set(everywhere)


async def test_secrets(client: KubeClient, namespace: str) -> None:
    value = b"\x00canary\xff"
    made = await client.create_secret(namespace, "acme", {"api-key": value}, {"app": "x"})
    found = await client.get_secret(namespace, "acme")
    assert found == made
    assert base64.b64decode(found.data["api-key"]) == value
    assert found.labels == {"app": "x"}
    assert found.data["api-key"] not in repr(found)
    with pytest.raises(KubeConflict) as caught:
        await client.create_secret(namespace, "acme", {"api-key": b"other"}, {})
    assert caught.value.reason == "AlreadyExists"
    assert await client.get_secret(namespace, "acme") == found
    with pytest.raises(KubeNotFound):
        await client.get_secret(namespace, "nothing")


async def test_the_largest_secret_can_be_read(
    control_plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    value = "x" * (1024 * 1024 - 10)  # Kubernetes' own limit is 1 MiB of data
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "large", "namespace": namespace}}
    control_plane.run_kubectl("create", "-f", "-", input=json.dumps(head | {"stringData": {"k": value}}))
    found = await client.get_secret(namespace, "large")
    assert base64.b64decode(found.data["k"]) == value.encode()


async def test_events_are_shown_by_describe(
    control_plane: ControlPlane, client: KubeClient, namespace: str, acme: dict[str, Any]
) -> None:
    event = build_event(
        namespace=namespace,
        name="acme",
        uid=acme["metadata"]["uid"],
        resource_version=acme["metadata"]["resourceVersion"],
        type="Warning",
        reason="SourceNotFound",
        message="é" * 2000,
        now=datetime.now(UTC),
        instance="pod-1",
    )
    await client.create_event(namespace, event)
    with pytest.raises(KubeConflict):
        await client.create_event(namespace, event)
    described = control_plane.run_kubectl("describe", "methodsecret", "acme", "-n", namespace)
    assert "SourceNotFound" in described
    assert "methodsecret-operator" in described
    newer = control_plane.run_kubectl("get", "events.events.k8s.io", "-n", namespace, "-o", "name")
    assert event["metadata"]["name"] in newer


async def test_the_uid_of_a_namespace(control_plane: ControlPlane, client: KubeClient) -> None:
    expected = control_plane.run_kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    assert await client.namespace_uid("kube-system") == expected


async def test_a_service_account_without_rights_is_forbidden(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    control_plane.run_kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    path = control_plane.service_account_kubeconfig(
        namespace=namespace, name="nobody", path=tmp_path / "config"
    )
    async with await connect(kubeconfig=str(path)) as connection:
        assert connection.namespace == namespace
        with pytest.raises(KubeForbidden) as caught:
            await KubeClient(connection).get_secret(namespace, "acme")
        assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def edited(control_plane: ControlPlane, tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes the administrator's kubeconfig with other settings of the cluster."""
    document = json.loads(control_plane.run_kubectl("config", "view", "--raw", "--flatten", "-o", "json"))

    def write(*, drop: tuple[str, ...] = (), **settings: Any) -> str:  # noqa: ANN401 - any setting
        cluster = document["clusters"][0]["cluster"]
        for name in drop:
            cluster.pop(name, None)
        cluster.update({name.replace("_", "-"): value for name, value in settings.items()})
        path = tmp_path / "edited"
        path.write_text(json.dumps(document), encoding="utf-8")
        return str(path)

    return write


async def test_a_server_of_another_authority_is_not_trusted(edited: Callable[..., str]) -> None:
    async with await connect(kubeconfig=edited(drop=("certificate-authority-data",))) as connection:
        with pytest.raises(KubeUnavailable):
            await KubeClient(connection).namespace_uid("kube-system")


async def test_verification_can_be_switched_off_with_a_warning(edited: Callable[..., str]) -> None:
    path = edited(drop=("certificate-authority-data",), insecure_skip_tls_verify=True)
    with capture_logs() as logs:
        async with await connect(kubeconfig=path) as connection:
            assert await KubeClient(connection).namespace_uid("kube-system")
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_the_name_that_the_certificate_must_have_can_be_set(edited: Callable[..., str]) -> None:
    async with await connect(kubeconfig=edited(tls_server_name="kubernetes.default.svc")) as connection:
        assert await KubeClient(connection).namespace_uid("kube-system")
    async with await connect(kubeconfig=edited(tls_server_name="somewhere.else")) as connection:
        with pytest.raises(KubeUnavailable):
            await KubeClient(connection).namespace_uid("kube-system")
