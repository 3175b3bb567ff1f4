"""Django's ASGI handler with one trip into a thread for a whole request.

Django's own loads its middleware asynchronously and goes to a thread and back for each method of each middleware: three
quarters of what a request to `/healthz` took. Here the chain is synchronous, as under WSGI. A thread takes the request
when its body is there, and has closed it (its files, its database connections) before the first byte of the response is
sent: neither a client that reads slowly nor an open event stream keeps a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections
from django.http import FileResponse, HttpResponseBase
from django.urls import set_script_prefix

from accounts import concurrency
from comfysaas.mount import below_root

# Requests that are worked on at the same time; further ones wait. All threads share one interpreter: with more of them,
# each waits longer for it, and so does the event loop.
TURNS = 32
# A request that does slow work gives its turn to another one: of uploads and fetches (`AtOnce`), 96 may be under way.
THREADS = TURNS + 96
# Pieces of files and streams are read by the event loop's own threads. It would have few, by the number of processors,
# and as many disks or storages that hang would hold up all downloads.
READERS = 32
_LIFE = "/healthz"  # says that the process lives, which is true while all threads are busy, too

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class OneTripHandler(ASGIHandler):
    """Serves HTTP. Views are synchronous; bodies of streaming responses are asynchronous iterators."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = asyncio.Semaphore(TURNS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._spare_thread = ThreadPoolExecutor(1, thread_name_prefix="healthz")
        self._has_readers = False

    def load_middleware(self, is_async: bool = False) -> None:
        """Synchronously, whatever Django's handler asks for."""
        super().load_middleware(is_async=False)

    async def handle(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not self._has_readers:
            self._has_readers = True
            readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
            asyncio.get_running_loop().set_default_executor(readers)
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        if below_root(scope["path"]) == _LIFE:
            response = await _in_thread(self._spare_thread, self.respond, scope, body)
        else:
            async with self._turns:
                response = await _in_thread(
                    self._threads, self._respond_in_turn, asyncio.get_running_loop(), scope, body
                )
        if not response.streaming:
            await self.send_response(response, send)
            return
        try:
            await self._stream(response, receive, send)
        finally:
            await _in_thread(self._threads, response.close)

    def _respond_in_turn(self, loop: asyncio.AbstractEventLoop, scope: Mapping[str, Any], body: IO[bytes]) -> Any:
        def leave() -> None:
            _call(loop, self._turns.release)

        def come_back() -> None:  # in time: nobody waits for it
            _call(loop, lambda: loop.create_task(self._turns.acquire()))

        with concurrency.turn(leave=leave, come_back=come_back):
            return self.respond(scope, body)

    def respond(self, scope: Mapping[str, Any], body: IO[bytes]) -> Any:
        """In a thread: the response, closed unless it streams. The thread is then free for another request."""
        try:
            response = self._respond(scope, body)
        except BaseException:  # also what asgiref raises here when the server stops
            body.close()
            signals.request_finished.send(sender=self.__class__)
            raise
        if response.streaming:
            close_old_connections()  # the stream ends in another thread
        else:
            response.close()
        return response

    def _respond(self, scope: Mapping[str, Any], body: IO[bytes]) -> Any:
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        if request is None:
            body.close()
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = self.__class__  # the sender of `request_finished`, as in Django's handler
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

    async def _stream(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Send the body until it ends or the client leaves; an iterator that is left in the middle is closed."""
        sending = asyncio.create_task(self.send_response(response, send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the server has stopped
        loop.call_soon_threadsafe(work)


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Any:
    return await sync_to_async(work, thread_sensitive=False, executor=threads)(*arguments)
