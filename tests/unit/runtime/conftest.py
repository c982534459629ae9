"""Fixtures of the runtime's tests: a kube-apiserver to misbehave, and what is needed to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.connection import Connection
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from tests.unit.runtime.kube_server import KubeServer, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[KubeServer, Connection]]:
    async with serving(tmp_path) as both:
        yield both


@pytest.fixture
def server(served: tuple[KubeServer, Connection]) -> KubeServer:
    return served[0]


@pytest.fixture
def connection(served: tuple[KubeServer, Connection]) -> Connection:
    return served[1]


@pytest.fixture
def kube(connection: Connection) -> KubeClient:
    return KubeClient(connection)


@pytest.fixture
def watch(connection: Connection) -> MetadataWatch:
    """Return a watch that is not running: what it knows is put into it by the test."""
    return MetadataWatch(connection, namespaces=(), selector=None, on_change=lambda _: None)
