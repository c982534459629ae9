"""kopf alone: it watches, is shown the event of each object's status, and nothing is done about it.

Beside the bare floor, which does the work meanwhile, this is what each event costs that kopf is shown. The
operator shows it none that tells of its own writes.
Started by bench.programs, which gives it its settings as JSON on standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from methodsecret_operator.kube.connection import connect
from methodsecret_operator.runtime.cache import ObjectCache
from methodsecret_operator.runtime.handlers import Informer


class _Nothing(ObjectCache):
    """Keeps nothing."""

    def observe(self, raw: Mapping[str, Any]) -> None:
        """Take no notice."""

    def forget(self, raw: Mapping[str, Any]) -> None:
        """Take no notice."""


async def main() -> None:
    """Watch until ended; say so once everything there was at the start has been read."""
    settings = json.loads(sys.stdin.readline())
    async with await connect(kubeconfig=settings["kubeconfig"]) as connection:
        informer = Informer(
            connection=connection, cache=_Nothing(wake=lambda _: None), namespaces=[settings["namespace"]]
        )
        print(json.dumps({"event": "begin"}), flush=True)
        await (await informer.start())


if __name__ == "__main__":
    asyncio.run(main())
