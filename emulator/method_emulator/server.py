"""Starts and stops the HTTP server; the command line and the in-process helper share it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from method_emulator.app import build_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from method_emulator.settings import Settings


@contextlib.asynccontextmanager
async def serve(
    settings: Settings, *, host: str = "127.0.0.1", port: int = 0, control: bool = True
) -> AsyncIterator[str]:
    """Serve until the block ends; yield the base URL. Paused requests are dropped at the end."""
    # A request that a client gave up is finished all the same, as a real server would.
    runner = web.AppRunner(
        build_app(settings, control=control),
        access_log=None,
        shutdown_timeout=0.2,
        handler_cancellation=False,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{bound}"
    finally:
        await runner.cleanup()
