"""Follows the ConfigMaps that the operator has made, so that an edit is repaired and rest costs nothing.

Metadata only, and only what carries our label. Nothing is asked for before an object publishes its id: who
never does, needs to grant nothing for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from methodsecret_operator.core import publishing
from methodsecret_operator.core.resource import MethodSecret
from methodsecret_operator.kube.metadata import Gone, PartialMetadata
from methodsecret_operator.kube.metadata_watch import MetadataWatch
from methodsecret_operator.runtime.dependents import Dependents

if TYPE_CHECKING:
    from methodsecret_operator.kube.connection import Connection

_PATIENCE_SECONDS: Final = 5.0
"""How long a look waits for the first list. Without it a ConfigMap is read, which is right and costs more."""


class Publications:
    """`wake` is called with the key of an object when something has happened to its ConfigMap."""

    def __init__(
        self, *, connection: Connection, namespaces: Collection[str], wake: Callable[[str], None]
    ) -> None:
        self._watch = MetadataWatch(
            connection,
            resource="configmaps",
            namespaces=tuple(namespaces),
            selector="=".join(publishing.MANAGED_BY),
            on_change=self._changed,
        )
        self._dependents = Dependents()
        self._wake = wake
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Follow the ConfigMaps from the first object that publishes, until cancelled."""
        await self._asked.wait()
        await self._watch.run()

    @property
    def watch(self) -> MetadataWatch | None:
        """The watch, once it is needed."""
        return self._watch if self._asked.is_set() else None

    def follow(self, key: str, obj: MethodSecret | None) -> None:
        """Note which ConfigMap concerns an object (None: it is gone)."""
        wanted = publishing.target(obj) if obj is not None else None
        places = [f"{obj.metadata.namespace}/{wanted.name}"] if obj is not None and wanted is not None else []
        self._dependents.set(key, places)

    async def version(self, obj: MethodSecret) -> str | None:
        """Return the resourceVersion of the ConfigMap that an object asks for; None where none is known."""
        wanted = publishing.target(obj)
        if wanted is None:
            return None
        self._asked.set()
        if not self._watch.synced.is_set() and self._watch.problem is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._watch.synced.wait()
        meta = self._watch.get(obj.metadata.namespace, wanted.name)
        return meta.resource_version if meta is not None else None

    def _changed(self, config_map: PartialMetadata | Gone) -> None:
        for key in self._dependents.of(f"{config_map.namespace}/{config_map.name}"):
            self._wake(key)
