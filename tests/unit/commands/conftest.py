"""The kube-apiserver of the runtime's tests, for commands, and what `orphans` looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from methodsecret_operator.kube.client import KubeClient
from tests.unit.commands.scene import Scene, made
from tests.unit.runtime.conftest import connection, kube, served, server
from tests.unit.runtime.kube_server import KubeServer

__all__ = ["connection", "kube", "served", "server"]


@pytest.fixture
async def scene(server: KubeServer, kube: KubeClient) -> AsyncIterator[Scene]:
    async with made(server, kube) as one:
        yield one
