"""What tests of one look after another act in: a reconciler between two APIs over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

from method_emulator.testing import RunningEmulator, running_emulator
from methodsecret_operator.core.resource import FINALIZER
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.kube.metadata import PartialMetadata
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.method.accounts import Accounts, Tier
from methodsecret_operator.runtime.announce import Announcer
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.default_key import DefaultKey
from methodsecret_operator.runtime.gather import Cluster, Gatherer
from methodsecret_operator.runtime.publications import Publications
from methodsecret_operator.runtime.reconciler import Reconciler
from methodsecret_operator.runtime.sources import Sources
from tests.unit import gen
from tests.unit.method.servers import API_KEY
from tests.unit.runtime.kube_server import SERVED, KubeServer

KEY = f"{gen.NAMESPACE}/{gen.NAME}"
PATH = f"{SERVED}/namespaces/{gen.NAMESPACE}/methodsecrets/{gen.NAME}"
OTHER = gen.revision(value="former")
OLD_SOURCE = {"uid": gen.SECRET_UID, "revision": OTHER, "resourceVersion": "8000"}


def reconciler(
    cache: ObjectCache,
    *,
    kube: KubeClient,
    accounts: Accounts,
    watch: MetadataWatch | None,
    api_key: SecretStr | None,
    url: str,
    clock: Callable[[], datetime],
    wake: Callable[[str], None],
) -> Reconciler:
    """Return a reconciler for all namespaces; `url` is Method's."""
    gatherer = Gatherer(
        cluster=Cluster(name=gen.CLUSTER, digest_key=gen.KEY),
        accounts=accounts,
        default_key=DefaultKey(api_key=api_key, path=None),
        sources=Sources(kube=kube, watch=watch, selector=None),
        default_environment="production",
        default_namespaces=(),
        base_url_for=lambda _environment: url,
        clock=clock,
        kube=kube,
        named_by_other=lambda _id, _key: False,
        namespaces=(),
        publications=Publications(connection=kube._connection, namespaces=(), wake=wake),
        deletion_timeout=300.0,
    )
    announcer = Announcer(kube=kube, instance="test", clock=lambda: gen.NOW)
    return Reconciler(cache=cache, kube=kube, gatherer=gatherer, announcer=announcer)


class World:
    """A reconciler between a kube-apiserver that holds the object and its Secret, and an emulated Method."""

    def __init__(
        self, kube: KubeClient, server: KubeServer, watch: MetadataWatch, accounts: Accounts, url: str
    ) -> None:
        self.woken: list[str] = []
        self.now = gen.NOW
        self.server = server
        self.watch = watch
        self.cache = ObjectCache(wake=self.woken.append)
        self.reconciler = reconciler(
            self.cache,
            kube=kube,
            accounts=accounts,
            watch=watch,
            api_key=API_KEY,
            url=url,
            clock=lambda: self.now,
            wake=self.woken.append,
        )
        server.put_secret("acme", {"api-key": gen.CANARY.encode()})
        self.see_secret()

    def see_secret(self, *, uid: str = gen.SECRET_UID, version: str = gen.SECRET_VERSION) -> None:
        """Let the watch have the Secret in this version."""
        self.watch.put(PartialMetadata(gen.NAMESPACE, "acme", uid, version, {}))

    def put(self, raw: dict[str, Any]) -> None:
        """Let the server hold the object so, and the watch tell of it."""
        self.server.documents[PATH] = raw
        self.cache.observe(raw)
        self.woken.clear()

    def put_deleted(self, secret_id: str, **spec: Any) -> None:  # noqa: ANN401 - fields of the spec
        """Let there be an object that goes by an id, and is being deleted with it."""
        whole, status = gen.raw_spec(deletionPolicy="Delete", **spec), gen.raw_ready_status(id=secret_id)
        self.put(gen.raw_object(deleted=True, finalizers=(FINALIZER,), spec=whole, status=status))

    @property
    def finalizers(self) -> list[str]:
        """The object's, as the server has them."""
        finalizers: list[str] = self.server.documents[PATH]["metadata"]["finalizers"]
        return finalizers

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.documents[PATH]["status"]
        return status


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with running_emulator() as emulator:
        yield emulator


@asynccontextmanager
async def limited(
    *, writes_per_minute: int = 1800, waited: Callable[[Tier, float], None] = lambda _tier, _seconds: None
) -> AsyncIterator[Accounts]:
    accounts = Accounts(writes_per_minute=writes_per_minute, reads_per_minute=6000, waited=waited)
    try:
        yield accounts
    finally:
        await accounts.aclose()


def namespace_goes(server: KubeServer) -> None:
    """Let the object's namespace be terminating."""
    namespace = {"metadata": {"name": gen.NAMESPACE, "uid": "u", "deletionTimestamp": gen.EARLIER}}
    server.documents[f"/api/v1/namespaces/{gen.NAMESPACE}"] = namespace
