"""A server that listens: `python -m generations.simulator` runs one, and so do tests."""

from __future__ import annotations

import asyncio

from aiohttp import web

from generations.simulator.routes import application
from generations.simulator.state import State


class Simulator(State):
    """One server. `start` and `stop` inside an event loop; everything else from anywhere."""

    _runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen. Returns the port, which the system chose if `port` is 0. OSError if it is taken."""
        self.wipe_temp()
        await self.sockets.start()
        self._runner = web.AppRunner(application(self), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await self.sockets.stop()
            await self._runner.cleanup()
            raise
        self.worker.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        """End everything."""
        await asyncio.to_thread(self.worker.stop)
        await self.sockets.stop()
        if self._runner is not None:
            await self._runner.cleanup()
