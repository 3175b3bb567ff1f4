"""A TCP proxy in a thread, to make a server unreachable, slow or deaf without touching it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from tests.support.waiting import patient

CHUNK_BYTES = 64 * 1024
Mode = Literal["pass", "refuse", "stall"]
Reader = Callable[[bytes], None]


class Proxy:
    """Listens on a port of its own and passes bytes on to `target`, as long as `mode` is `pass`.

    `refuse` ends what is open and every new connection at once; `stall` keeps connections and lets nothing through.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1") -> None:
        self._target = (host, target_port)
        self._mode: Mode = "pass"
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="proxy", daemon=True)
        self._thread.start()
        ready.wait(patient(10))

    def readers(self) -> tuple[Reader, Reader]:
        """For a new connection: what is shown the bytes for the server, and what the bytes for the client."""
        return _ignore, _ignore

    def set(self, mode: Mode) -> None:
        """Change what happens to connections; from any thread."""
        self._loop.call_soon_threadsafe(self._set, mode)

    def cut(self) -> None:
        """End everything that is open now; new connections are as `mode` says."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """End the proxy."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(patient(10))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        self._flowing.set()
        self._cut()
        if tasks := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=5))
        self._loop.close()

    def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "stall":
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode == "refuse":
            self._cut()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode == "refuse":
                return
            await self._flowing.wait()
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            self._writers.add(there_writer)
            asked, answered = self.readers()
            try:
                await asyncio.gather(
                    self._pump(reader, there_writer, asked), self._pump(there_reader, writer, answered)
                )
            finally:
                self._writers.discard(there_writer)
                there_writer.transport.abort()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, show: Reader) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            await self._flowing.wait()
            show(chunk)
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


def _ignore(data: bytes) -> None:
    """Nobody looks."""
