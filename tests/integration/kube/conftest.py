"""The MethodSecret CRD and a connection, on a real kube-apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import Connection, connect

if TYPE_CHECKING:
    from dev.controlplane import ControlPlane

CRD = Path(__file__).parents[3] / "crds" / "methodsecrets.methodfi.com.yaml"


@pytest.fixture(scope="session")
def crd(control_plane: ControlPlane) -> None:
    """Install the CRD, and wait until it is established."""
    control_plane.run_kubectl("apply", "--server-side", "-f", str(CRD))
    control_plane.run_kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))


@pytest.fixture
async def connection(control_plane: ControlPlane) -> AsyncIterator[Connection]:
    """Return the administrator's connection: a client certificate, the cluster's own CA."""
    async with await connect(kubeconfig=str(control_plane.kubeconfig)) as opened:
        yield opened


@pytest.fixture
async def served(crd: None, connection: Connection) -> Connection:  # noqa: ARG001 - crd installs it
    """Return a connection to a server that serves MethodSecrets: some time after the CRD is established."""
    client = KubeClient(connection)
    async with asyncio.timeout(30):
        while not await client.methodsecrets_served():  # noqa: ASYNC110 - the server tells nobody when it begins
            await asyncio.sleep(0.05)
    return connection
