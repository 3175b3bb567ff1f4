"""daphne with limits: bodies stream into the application, and clients that send or read too slowly are cut off.

Without this module, daphne 4.2 waits for the last byte of a body before it starts the application, lets Twisted parse
every form inside the event loop (`twisted.web.http.Request.requestReceived`), and never waits for a client that does
not read. `install()` exchanges its two protocol factories, so it makes no difference whether daphne is started by its
own command, by `runserver` or by `manage.py standalone`.

The application finds the connection in `scope["extensions"][EXTENSION]` (see `comfysaas.bodies`).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
import time
from typing import Any

import daphne.server
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.protocols.basic import LineReceiver
from twisted.web import http

from comfysaas.connection import EXTENSION

logger = logging.getLogger(__name__)

TOO_SLOW = 4408  # the code with which a websocket is closed whose client does not read

LENGTH_DIGITS = 18
UNREAD_BYTES = 256 * 1024  # of a body that may wait for the application before the client has to
MESSAGE_BYTES = 512  # what one message weighs besides its bytes
HEAD_SECONDS = 60.0  # a head may take so long, counted from the connection's begin or the response before
BODY_SECONDS = 60.0  # a body may take so long,
BODY_BYTES_PER_SECOND = 8 * 1024  # and longer if it keeps coming at this rate
UNSENT_BYTES = 64 * 1024  # of a websocket in the kernel: what is newer waits where it can still be replaced
WRITE_SECONDS = 30.0  # a client that takes nothing for so long is gone
LINGER_SECONDS = 10.0  # a client that is still sending may read its refusal for so long
RESPONSE_SECONDS = 2 * 3600.0
SOCKET_SECONDS = 4 * 3600.0  # browsers come back by themselves
# What a websocket may send in that time: pongs and the like. Parsing thousands of tiny frames would take seconds.
HEARD_BYTES, HEARD_SECONDS = 4 * 1024, 10.0


def install() -> None:
    """Have every daphne of this process use the protocols below."""
    daphne.server.HTTPFactory = _Factory
    daphne.server.WebSocketFactory = _SocketFactory


class _Outlet:
    """What of a connection's response the client has not taken yet. A push producer of its transport.

    Twisted calls `pauseProducing` when 64 KiB wait in its buffer, and `resumeProducing` when they are gone.
    """

    def __init__(self) -> None:
        self._is_free = asyncio.Event()
        self._is_free.set()

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self._is_free.clear()

    def resumeProducing(self) -> None:
        """The buffer is empty again."""
        self._is_free.set()

    stopProducing = resumeProducing

    @property
    def is_full(self) -> bool:
        """True from the moment when the buffer is full until it is empty."""
        return not self._is_free.is_set()

    async def drained(self) -> bool:
        """Wait until there is room. False when there was none for WRITE_SECONDS."""
        if self._is_free.is_set():
            return True
        try:
            await asyncio.wait_for(self._is_free.wait(), WRITE_SECONDS)
        except TimeoutError:
            return False
        return True


class _Inbox:
    """The queue that the application receives from, without daphne's own account of a body that still streams in."""

    def __init__(self, queue: asyncio.Queue[dict[str, Any]]) -> None:
        self.queue = queue

    def put_nowait(self, message: dict[str, Any]) -> None:
        """Daphne's `process` reads the body from a file, which is empty here: only other messages pass."""
        if message["type"] != "http.request":
            self.queue.put_nowait(message)


class _Request(WebRequest):  # type: ignore[misc]  # daphne ships no types
    """One request, whose application starts when the head is there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)
        self._outlet = _Outlet()
        self._began_at = time.monotonic()
        self._is_streamed = self._is_complete = self._is_paused = self._expects_continue = False
        self._received = self._unread = 0
        self._arrived: list[bytes] = []  # in the read from the socket that is being parsed
        self._inbox: asyncio.Queue[dict[str, Any]] | None = None

    # -- the body, from the client
    def gotLength(self, length: int | None) -> None:
        """The head is there. With a body behind it, the application begins now and not when that has arrived."""
        self.content = io.BytesIO()
        if length == 0:
            return
        self._is_streamed = True
        channel = self.channel
        channel.resetTimeout()
        # The channel would invite the body at once; it is invited when somebody wants to read it.
        expected = self.requestHeaders.getRawHeaders(b"Expect") or [b""]
        self._expects_continue = expected[0].lower() == b"100-continue" and channel._version == b"HTTP/1.1"
        self.requestHeaders.removeHeader(b"Expect")
        self.method, self.uri, self.clientproto = channel._command, channel._path, channel._version
        self.path = self.uri.partition(b"?")[0]
        self.args: dict[bytes, list[bytes]] = {}
        upgrade = self.requestHeaders.getRawHeaders(b"Upgrade") or [b""]
        if upgrade[0].lower() == b"websocket":
            self.basic_error(400, b"Bad Request", "A request for a websocket has no body.")
            return
        self.process()

    def handleContentChunk(self, data: bytes) -> None:
        """One piece of the body. There may be thousands in one read from the socket: they become one message."""
        self._arrived.append(data)

    def pass_on(self) -> None:
        """Hand over what one read brought, and have the client wait while too much is unread."""
        data = b"".join(self._arrived)
        self._arrived.clear()
        self._received += len(data)
        if not data or self.finished or self._inbox is None:
            return
        self._unread += len(data) + MESSAGE_BYTES
        self._inbox.put_nowait({"type": "http.request", "body": data, "more_body": True})
        if self._unread > UNREAD_BYTES and not self._is_paused and not self._is_complete:
            self._is_paused = True
            self.channel.setTimeout(None)  # this wait is not the client's
            self.channel.transport.pauseProducing()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is there; without one, the application begins now."""
        self._is_complete = True
        self.pass_on()
        if self._is_paused:
            self._is_paused = False
            self.channel.transport.resumeProducing()
            self.channel._savedTimeOut = self.channel.factory.timeOut  # for the next request: ours was off
        if not self._is_streamed:
            super().requestReceived(command, path, version)
        elif self.finished:
            self.channel.loseConnection()  # refused before its end; nothing sensible can follow
        elif self._inbox is not None:
            self._inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    # -- what the application may ask of the connection
    def start(self, queue: asyncio.Queue[dict[str, Any]]) -> _Inbox | asyncio.Queue[dict[str, Any]]:
        """Called with the application's queue; what daphne is to put its messages into."""
        self.registerProducer(self._outlet, True)
        if not self._is_streamed:
            return queue
        self._inbox = queue
        return _Inbox(queue)

    def invite(self) -> None:
        """The application wants the body: a client that waits for our word (Expect: 100-continue) gets it."""
        if self._expects_continue and not self._response_started and self.channel is not None:
            self._expects_continue = False
            self.channel.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def taken(self, size: int) -> None:
        """The application has read a message with so many bytes."""
        self._unread -= size + MESSAGE_BYTES
        if self._is_paused and self._unread < UNREAD_BYTES // 2 and getattr(self, "channel", None) is not None:
            self._resume()

    async def drained(self) -> None:
        """Wait until the client has taken what was sent, or cut it off when it does not."""
        if not await self._outlet.drained():
            logger.warning("A response is cut off, because %s does not read it", self.getClientAddress())
            self._abort()

    def _resume(self) -> None:
        self._is_paused = False
        self.channel.setTimeout(self.channel.factory.timeOut)
        self.channel.transport.resumeProducing()

    # -- the response
    def handle_reply(self, message: dict[str, Any]) -> None:
        """As daphne does it, but that a response before the body's end ends the connection, and that HEAD gets no body.

        Daphne calls `Request.write` past the instance, where Twisted has put a function that drops bodies.
        """
        kind = message.get("type")
        if kind == "http.response.start" and self._is_streamed and not self._is_complete and self.channel is not None:
            self.channel.persistent = 0
            message = {**message, "headers": [*message.get("headers", ()), (b"Connection", b"close")]}
        elif kind == "http.response.body" and (self.method == b"HEAD" or self.code in http.NO_BODY_CODES):
            message = {**message, "body": b""}
        super().handle_reply(message)

    def handle_exception(self, exception: BaseException) -> None:
        """The application failed. Once the response has begun, nothing but the connection's end can say so."""
        if self._response_started:
            self._abort()
        else:
            super().handle_exception(exception)

    def finish(self) -> None:
        """The response is whole. A client that is still sending its body gets the time to read it."""
        self.unregisterProducer()
        self._outlet.stopProducing()
        if not self._is_streamed or self._is_complete or self.channel is None:
            super().finish()
            return
        if not self.startedWriting:
            self.write(b"")
        if self.chunked:
            self.channel.write(b"0\r\n\r\n")
        self.finished = 1
        if self.application_queue:
            self.send_disconnect()
        self.server.protocol_disconnected(self)
        self._linger()

    def _linger(self) -> None:
        """Say that nothing follows, then read on without keeping anything.

        Closing at once would reset the connection while bytes are on their way, and the client might never see the
        response (RFC 9112, section 9.6).
        """
        transport = self.channel.transport
        if self._is_paused:
            self._resume()
        if hasattr(transport, "loseWriteConnection"):  # not with TLS
            transport.loseWriteConnection()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._abort)

    def connectionLost(self, reason: Any) -> None:
        """The client is gone."""
        self._outlet.stopProducing()
        if self.finished:
            http.Request.connectionLost(self, reason)  # type: ignore[no-untyped-call]  # daphne knows already
        else:
            super().connectionLost(reason)

    def check_timeouts(self) -> None:
        """Called every two seconds: bodies and responses that take too long end here."""
        super().check_timeouts()
        if self.finished or self.channel is None:
            return
        age = time.monotonic() - self._began_at
        is_waiting = self._is_streamed and not self._is_complete
        if is_waiting and not self._is_paused and age > BODY_SECONDS + self._received / BODY_BYTES_PER_SECOND:
            if self._response_started:
                self._abort()
            else:
                self.basic_error(408, b"Request Timeout", "The body came too slowly. Send it again.")
        elif age > RESPONSE_SECONDS:
            self._abort()

    def _abort(self) -> None:
        channel = getattr(self, "channel", None)  # Twisted deletes it when a response is whole
        if channel is not None:
            channel.transport.abortConnection()


class _Channel(http.HTTPChannel):
    """One connection. Its time-out is for a whole head, not for the next byte of it."""

    def dataReceived(self, data: bytes) -> None:
        """Only a body extends the deadline as it arrives."""
        if self.line_mode:
            LineReceiver.dataReceived(self, data)  # type: ignore[no-untyped-call]
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
        if self.requests:
            self.requests[-1].pass_on()

    def headerReceived(self, line: bytes) -> bool:
        """As Twisted's, but for what makes Twisted or daphne fail later on: that is a bad request.

        Daphne-Root-Path is daphne's own way for a proxy to name a path; our path comes from PUBLIC_URL, and from nobody
        else.
        """
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name == b"daphne-root-path":
            return True
        is_length = name == b"content-length" and len(value.strip()) > LENGTH_DIGITS
        if is_length or (name == b"sec-websocket-protocol" and not value.isascii()):
            self._respondToBadRequestAndDisconnect()  # type: ignore[no-untyped-call]
            return False
        return bool(super().headerReceived(line))  # type: ignore[no-untyped-call]


class _Factory(HTTPFactory):  # type: ignore[misc]  # daphne ships no types
    """Connections with limits, for daphne's server."""

    protocol = _Channel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.timeOut = HEAD_SECONDS
        self._create_application = server.create_application
        server.create_application = self._start

    def buildProtocol(self, addr: Any) -> Any:
        """As daphne's, with our requests."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = _Request
        return protocol

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only: these limits are not made for anything else."""
        return [b"http/1.1"]

    def _start(self, protocol: Any, scope: dict[str, Any]) -> Any:
        queue = self._create_application(protocol, {**scope, "extensions": {EXTENSION: protocol}})
        return protocol.start(queue) if queue is not None and isinstance(protocol, _Request) else queue


class _Socket(WebSocketProtocol):  # type: ignore[misc]  # daphne ships no types
    """One websocket. A client that does not read is cut off, whatever else it sends, and so is one that sends much."""

    _heard_since = 0.0
    _heard = 0

    def dataReceived(self, data: bytes) -> None:
        """Nobody has anything to say here once the handshake is over."""
        if self.state == self.STATE_OPEN:
            now = time.monotonic()
            if now - self._heard_since > HEARD_SECONDS:
                self._heard_since = now
                self._heard = 0
            self._heard += len(data)
            if self._heard > HEARD_BYTES:
                self.transport.abortConnection()
                return
        super().dataReceived(data)

    def onOpen(self) -> None:
        """The transport has had the HTTP channel for its producer until now."""
        self._outlet = _Outlet()
        with contextlib.suppress(AttributeError, OSError):  # not with TLS, not everywhere
            self.transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.transport.unregisterProducer()
        self.transport.registerProducer(self._outlet, True)
        super().onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Daphne takes a message for a sign of life. Only the answer to a ping shows that a client reads."""
        last_ping = vars(self)["last_ping"]
        super().onMessage(payload, isBinary)
        self.last_ping = last_ping

    @property
    def is_full(self) -> bool:
        """True while the client has yet to take what was sent."""
        return hasattr(self, "_outlet") and self._outlet.is_full

    @property
    def unsent_bytes(self) -> int:
        """How much lies in the transport's buffers, and not yet in the kernel's."""
        transport: Any = getattr(self.transport, "transport", self.transport)  # TLS has one of its own beneath
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)

    async def drained(self) -> bool:
        """Wait until the client has taken what was sent. False: it did not within WRITE_SECONDS, and is cut off."""
        if not hasattr(self, "_outlet") or await self._outlet.drained():
            return True
        self.cut_off()
        return False

    def cut_off(self) -> None:
        """End it because the client does not read. If it does so within a second, it learns why: TOO_SLOW."""
        if self.state == self.STATE_OPEN:
            logger.warning("A websocket is cut off, because %s does not read what it is sent", self.peer)
            self.sendClose(TOO_SLOW, "You read too slowly. Connect again.")  # autobahn aborts after a second
        else:
            self.transport.abortConnection()

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        """The client is gone."""
        if hasattr(self, "_outlet"):
            self._outlet.stopProducing()
        super().onClose(wasClean, code, reason)


class _SocketFactory(WebSocketFactory):  # type: ignore[misc]  # daphne ships no types
    """Websockets with limits, for daphne's server."""

    protocol = _Socket

    def __init__(self, daphne_server: Any, **options: Any) -> None:
        super().__init__(daphne_server, **options)
        daphne_server.websocket_timeout = min(daphne_server.websocket_timeout, SOCKET_SECONDS)

    def setProtocolOptions(self, **options: Any) -> None:
        """A ping is answered by its pong and by nothing else."""
        super().setProtocolOptions(**options, autoPingRestartOnAnyTraffic=False)
