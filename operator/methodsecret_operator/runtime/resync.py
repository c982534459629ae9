"""Looks at everything now and then: lists all MethodSecrets, drops what is gone, queues what is there.

It finds what a watch has missed. A synced object costs nothing here but its place in the list.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

import structlog

from methodsecret_operator.errors import KubeError
from methodsecret_operator.kube.client import KubeClient
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.drift import Drift
from methodsecret_operator.runtime.workqueue import WorkQueue

_JITTER: Final = 0.1
_RETRY_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)


class Resync:
    """Runs every `seconds`, 10 % more or less; `completed_at` is when a list was last complete, in UTC."""

    def __init__(
        self,
        *,
        kube: KubeClient,
        cache: ObjectCache,
        queue: WorkQueue,
        drift: Drift,
        namespaces: Collection[str],
        seconds: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._drift = drift
        self._kube = kube
        self._queue = queue
        self._cache = cache
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._seconds = seconds
        self._clock = clock
        self.completed_at: datetime | None = None

    @property
    def synced(self) -> bool:
        """Whether every object is known: a list was complete."""
        return self.completed_at is not None

    async def run(self) -> None:
        """Resync for ever, at once for the first time."""
        while True:
            try:
                await self.once()
            except KubeError as error:
                _log.warning("resync failed", error=str(error), retry_seconds=_RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(self._seconds * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - jitter

    async def once(self) -> None:
        """List everything once. Raises KubeError."""
        for namespace in self._namespaces:
            listing = self._kube.list_methodsecrets(namespace)
            alive: set[str] = set()
            async for raw in listing:
                key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
                alive.add(key)
                self._cache.observe(raw)
                if not self._queue.retries(key):  # what is in backoff comes by itself, in its time
                    self._queue.add_after(key, 0)
            self._cache.prune(alive, namespace=namespace, before=int(listing.resource_version))
        self.completed_at = self._clock()  # what Method holds is another matter
        await self._drift.look()
        _log.debug("resynced", objects=len(self._cache))
