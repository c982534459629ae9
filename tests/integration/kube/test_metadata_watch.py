"""The informer on a real kube-apiserver: what it sees, what it must never see, and restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from methodsecret_operator.errors import KubeForbidden
from methodsecret_operator.kube import metadata_watch
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import Connection, connect
from methodsecret_operator.kube.metadata import Gone, PartialMetadata
from methodsecret_operator.kube.metadata_watch import MetadataWatch

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane
else:
    ControlPlane = Any

Kubectl = Callable[..., str]
CANARY = "canary-in-the-data"
ENCODED = "Y2FuYXJ5LWluLXRoZS1kYXRh"


@asynccontextmanager
async def running(
    connection: Connection,
    namespace: str,
    **options: Any,  # noqa: ANN401 - MetadataWatch's
) -> AsyncIterator[tuple[MetadataWatch, asyncio.Queue[PartialMetadata | Gone]]]:
    reported: asyncio.Queue[PartialMetadata | Gone] = asyncio.Queue()
    watch = MetadataWatch(
        connection,
        **{"namespaces": [namespace], "selector": None, "on_change": reported.put_nowait} | options,
    )
    task = asyncio.create_task(watch.run())
    try:
        yield watch, reported
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def following(reported: asyncio.Queue[PartialMetadata | Gone]) -> PartialMetadata | Gone:
    return await asyncio.wait_for(reported.get(), 30)


@pytest.fixture
def secret(control_plane: ControlPlane, namespace: str) -> Callable[..., str]:
    """Return a function that applies a Secret as `kubectl apply` does, and returns its resourceVersion."""

    def apply(name: str, value: str = CANARY, **labels: str) -> str:
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": value}}
        return control_plane.run_kubectl(
            "apply", "-f", "-", "-o", "jsonpath={.metadata.resourceVersion}", input=json.dumps(document)
        )

    return apply


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    """Return a function that runs kubectl in the test's namespace."""
    return lambda *args: control_plane.run_kubectl(*args, f"--namespace={namespace}")


@pytest.fixture(params=["streaming list", "paged list"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with both ways to list; the second as with a server that refuses the first."""
    if request.param == "paged list":
        plain = metadata_watch._Stream.__init__

        def refused(self: Any, *args: Any) -> None:  # noqa: ANN401 - stands in for another
            plain(self, *args)
            self._streaming_list = False

        monkeypatch.setattr(metadata_watch._Stream, "__init__", refused)
    return str(request.param)


async def test_it_sees_what_happens(
    control_plane: ControlPlane, connection: Connection, namespace: str, secret: Callable[..., str], way: str
) -> None:
    first = secret("there", app="x")
    async with running(connection, namespace) as (watch, reported):
        async with asyncio.timeout(10):
            await watch.synced.wait()
        there = await following(reported)
        assert isinstance(there, PartialMetadata)
        assert (there.name, there.resource_version, there.labels) == ("there", first, {"app": "x"}), way
        created = secret("new")
        assert (await following(reported)) == watch.get(namespace, "new")
        new = watch.get(namespace, "new")
        assert new is not None
        assert new.resource_version == created
        changed = secret("new", "another value")
        later = await following(reported)
        assert later == PartialMetadata(namespace, "new", new.uid, changed, {})
        control_plane.run_kubectl("delete", "secret", "new", "-n", namespace)
        assert await following(reported) == Gone(namespace, "new", new.uid)
        assert len(watch) == 1


async def test_a_selector_is_the_servers(
    connection: Connection, namespace: str, secret: Callable[..., str], way: str
) -> None:
    secret("unlabelled")
    secret("labelled", app="x")
    async with running(connection, namespace, selector="app=x") as (watch, reported):
        labelled = await following(reported)
        assert isinstance(labelled, PartialMetadata)
        assert labelled.name == "labelled", way
        await asyncio.wait_for(watch.synced.wait(), 10)
        secret("labelled", app="y")
        assert await following(reported) == Gone(namespace, "labelled", labelled.uid)


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """Return all that HTTP bodies bring, as it comes in, before anything of ours sees it."""
    everything = bytearray()
    plain = aiohttp.StreamReader.feed_data

    def feed(self: aiohttp.StreamReader, data: bytes, *size: int) -> bool:
        everything.extend(data)
        return plain(self, data, *size)

    monkeypatch.setattr(aiohttp.StreamReader, "feed_data", feed)
    return everything


@pytest.mark.usefixtures("way")
async def test_no_data_is_received_and_no_annotation_kept(
    kubectl: Kubectl, connection: Connection, namespace: str, secret: Callable[..., str], received: bytearray
) -> None:
    # Created, not applied: no annotation repeats the data here.
    kubectl("create", "secret", "generic", "made", f"--from-literal=k={CANARY}")
    kubectl("annotate", "secret", "made", "note=canary-in-the-annotation")
    async with running(connection, namespace) as (watch, reported):
        made = await following(reported)
        await asyncio.wait_for(watch.synced.wait(), 10)
        assert b"canary-in-the-annotation" in received, "the test does look at what comes"
        assert ENCODED.encode() not in received
        assert CANARY.encode() not in received
        # Applied: the annotation last-applied-configuration does repeat it.
        secret("applied")
        applied = await following(reported)
        assert CANARY.encode() in received
        kept = repr((made, applied, watch._known, [vars(stream) for stream in watch._streams]))
        assert "applied" in kept
        assert "canary" not in kept
        assert ENCODED not in kept


async def test_a_restart_of_the_server_in_the_middle(
    control_plane: ControlPlane, connection: Connection, namespace: str, secret: Callable[..., str]
) -> None:
    secret("before")
    secret("doomed")
    async with running(connection, namespace) as (watch, reported):
        assert {(await following(reported)).name for _ in range(2)} == {"before", "doomed"}
        await asyncio.wait_for(watch.synced.wait(), 10)
        await asyncio.to_thread(control_plane.restart_apiserver)
        await asyncio.to_thread(secret, "after")
        await asyncio.to_thread(control_plane.run_kubectl, "delete", "secret", "doomed", "-n", namespace)
        names = [
            (type(entry).__name__, entry.name) for entry in [await following(reported) for _ in range(2)]
        ]
        assert sorted(names) == [("Gone", "doomed"), ("PartialMetadata", "after")]
        assert watch.get(namespace, "before") is not None
        assert reported.empty(), "what did not change is not reported again"


async def test_rights_withheld_and_then_granted(
    control_plane: ControlPlane, namespace: str, secret: Callable[..., str], tmp_path: Path
) -> None:
    secret("there")
    control_plane.run_kubectl("create", "serviceaccount", "watcher", "-n", namespace)
    path = control_plane.service_account_kubeconfig(
        namespace=namespace, name="watcher", path=tmp_path / "config"
    )
    refused = asyncio.Event()
    granted = asyncio.Event()

    async def sleep(_: float) -> None:
        refused.set()
        await granted.wait()
        await asyncio.sleep(0.05)  # RBAC takes a moment to take effect, and tells nobody when it has

    async with (
        await connect(kubeconfig=str(path)) as connection,
        running(connection, namespace, sleep=sleep) as (watch, reported),
    ):
        await asyncio.wait_for(refused.wait(), 10)
        problem = watch.problem
        assert isinstance(problem, KubeForbidden)
        assert problem.status == 403
        assert not watch.synced.is_set()
        control_plane.run_kubectl(
            "create", "role", "watcher", "--verb=list,watch", "--resource=secrets", "-n", namespace
        )
        control_plane.run_kubectl(
            "create",
            "rolebinding",
            "watcher",
            "--role=watcher",
            f"--serviceaccount={namespace}:watcher",
            "-n",
            namespace,
        )
        granted.set()
        there = await following(reported)
        assert there.name == "there"
        await asyncio.wait_for(watch.synced.wait(), 10)
        assert watch.problem is None
        with pytest.raises(KubeForbidden):  # list and watch are all it needs
            await KubeClient(connection).get_secret(namespace, "there")
