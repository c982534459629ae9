"""Serves /healthz, /readyz and /metrics. It only reports: nothing is started, stopped or changed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_log = structlog.get_logger(__name__)

Check = Callable[[], str | None]
"""Returns what is wrong, in a few words, or None."""


@asynccontextmanager
async def serve(*, host: str, port: int, healthy: Check, ready: Check) -> AsyncIterator[int]:
    """Serve on `port` (0: a free one) of `host`'s address (empty: of all) and yield the port."""

    def answer(check: Check) -> web.Response:
        problem = check()
        return web.Response(status=200 if problem is None else 503, text=f"{problem or 'ok'}\n")

    async def healthz(_: web.Request) -> web.Response:
        return answer(healthy)

    async def readyz(_: web.Request) -> web.Response:
        return answer(ready)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = int(runner.addresses[0][1])
        _log.info("health and metrics served", port=bound)
        yield bound
    finally:
        await runner.cleanup()
