"""What `orphans` looks at, in one process: a cluster that plays along, an account at the emulator."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator import settings
from methodsecret_operator.commands.survey import Surveyor
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.method.accounts import Accounts
from tests.unit import gen
from tests.unit.runtime.kube_server import SERVED, KubeServer

HOME: Final = "methodsecret-system"
OWN_KEY: Final = "sk_own"
METHODSECRETS: Final = f"{SERVED}/methodsecrets"
CONFIGMAPS: Final = "/api/v1/configmaps"


class Scene:
    """No object and no ConfigMap in all namespaces; `now` is what the surveyor's clock says."""

    def __init__(self, server: KubeServer, kube: KubeClient, emulator: RunningEmulator) -> None:
        self.server = server
        self.emulator = emulator
        self.now = gen.NOW
        self._kube = kube
        self._accounts: list[Accounts] = []
        server.put_secret(
            "methodsecret-operator-digest-key", {"digest-key": gen.KEY.material}, namespace=HOME
        )
        server.put_list()
        self.put_configmaps()

    def put_configmaps(self, *ids: str, namespace: str | None = None) -> None:
        """Hold the list of ConfigMaps of ours: one for each id, which it shows."""
        place = CONFIGMAPS if namespace is None else f"/api/v1/namespaces/{namespace}/configmaps"
        items = [{"data": {"id": secret_id}} for secret_id in ids]
        self.server.documents[place] = {"metadata": {"resourceVersion": "1"}, "items": items}

    async def seed(self, *, api_key: str = OWN_KEY, status: str = "active", **marker: str) -> str:
        """Store a marked secret of the ordinary object at Method, or of one that differs; return its id."""
        metadata = dict(gen.marker(**marker))
        (secret_id,) = await self.emulator.control.seed(
            1, metadata=metadata, status=status, api_key=api_key, created_at=gen.EARLIER
        )
        return secret_id

    def surveyor(self, **flags: Any) -> Surveyor:  # noqa: ANN401 - settings
        """Return a surveyor with these settings beside the ordinary ones."""
        flags = {"api_key": OWN_KEY, "cluster_name": gen.CLUSTER, "operator_namespace": HOME, **flags}
        chosen = settings.load({"base_url": self.emulator.url, **flags})
        accounts = Accounts(
            writes_per_minute=chosen.writes_per_minute, reads_per_minute=chosen.reads_per_minute
        )
        self._accounts.append(accounts)
        return Surveyor(
            settings=chosen,
            kube=self._kube,
            accounts=accounts,
            clock=lambda: self.now,
            min_age=timedelta(0),
        )

    async def aclose(self) -> None:
        """Close what the surveyors have opened."""
        for accounts in self._accounts:
            await accounts.aclose()


@contextlib.asynccontextmanager
async def made(server: KubeServer, kube: KubeClient) -> AsyncIterator[Scene]:
    """Make a scene, and close it."""
    async with running_emulator() as emulator:
        scene = Scene(server, kube, emulator)
        try:
            yield scene
        finally:
            await scene.aclose()
