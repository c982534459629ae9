"""What must be known before the first object is looked at: the CRD, the cluster's name, the digest key.

The kube-apiserver may be late or away when the operator starts; then these are asked for again and again,
with a line in the log each time, for a Pod that ends in a loop tells people less.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from methodsecret_operator.core.identity import DigestKey
from methodsecret_operator.core.resource import GROUP, PLURAL
from methodsecret_operator.errors import (
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeNotFound,
    KubeUnavailable,
    SettingsError,
)
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime.gather import Cluster

T = TypeVar("T")
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_DATA_KEY: Final = "digest-key"
_LABELS: Final = {"app.kubernetes.io/managed-by": "methodsecret-operator"}
SYSTEM_NAMESPACE: Final = "kube-system"
"""Its uid is the cluster's name where it has none of its own."""

_log = structlog.get_logger(__name__)


async def crd(kube: KubeClient) -> None:
    """Return as soon as the kube-apiserver serves MethodSecrets."""

    async def served() -> bool:
        if await kube.methodsecrets_served():
            return True
        raise KubeNotFound(verb="list", what=f"{PLURAL}.{GROUP}", status=404)

    await _insist(served, hint=f"apply the CustomResourceDefinition {PLURAL}.{GROUP} (crds/)")


async def cluster(
    kube: KubeClient, *, name: str | None, aliases: tuple[str, ...], namespace: str, secret: str
) -> Cluster:
    """Return the cluster's name and digest key; the key is made where there is none yet.

    Without a name of its own a cluster is called by the uid of its kube-system namespace. Raises
    SettingsError where the Secret with the key holds none that can be used.
    """
    if name is None:
        name = await _insist(
            lambda: kube.namespace_uid(SYSTEM_NAMESPACE),
            hint=f"set CLUSTER_NAME, or let the operator get the namespace {SYSTEM_NAMESPACE}",
        )
    key = await _insist(
        lambda: _made_digest_key(kube, namespace, secret),
        hint=f"let the operator get and create Secrets in {namespace}, or create {secret} there",
    )
    _log.info("cluster identified", cluster=name, digest_key_id=key.id)
    return Cluster(name=name, digest_key=key, aliases=aliases)


async def digest_key(kube: KubeClient, namespace: str, name: str) -> DigestKey:
    """Return the digest key in a Secret. Raises KubeError, and SettingsError where none can be used."""
    found = await kube.get_secret(namespace, name)
    try:
        return DigestKey(base64.b64decode(found.data.get(_DATA_KEY, ""), validate=True))
    except (binascii.Error, ValueError):
        raise SettingsError(
            f"Secret {namespace}/{name} (DIGEST_KEY_SECRET): its key {_DATA_KEY} must hold at least 16 random"
            " bytes. Restore it from the backup; a new one makes the operator lose track of what it stored."
        ) from None


async def _made_digest_key(kube: KubeClient, namespace: str, name: str) -> DigestKey:
    try:
        return await digest_key(kube, namespace, name)
    except KubeNotFound:
        try:
            await kube.create_secret(namespace, name, {_DATA_KEY: secrets.token_bytes(32)}, labels=_LABELS)
            _log.warning("digest key made: back it up", secret=f"{namespace}/{name}")
        except KubeConflict:
            pass  # another operator was faster: its key is the one
        return await digest_key(kube, namespace, name)


async def _insist(ask: Callable[[], Awaitable[T]], *, hint: str) -> T:
    """Ask until there is an answer."""
    for attempt in range(1_000_000):
        try:
            return await ask()
        except (KubeUnavailable, KubeForbidden, KubeNotFound) as error:
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            _log.warning("cannot start yet", error=str(error), todo=_todo(error, hint), retry_seconds=pause)
            await asyncio.sleep(pause)
    raise AssertionError  # pragma: no cover - months later


def _todo(error: KubeError, hint: str) -> str:
    return "wait for the kube-apiserver" if isinstance(error, KubeUnavailable) else hint
