"""A scriptable HTTP and websocket server on a free port, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from tests.support.waiting import patient


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """Runs the application; yields its base URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(patient(10))
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(patient(10))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(patient(10))
        loop.close()
