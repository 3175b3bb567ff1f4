"""ComfyUI's event socket as an endless iterator that reconnects by itself.

The iterating thread does nothing but read and yield, and must be drained at once: a ComfyUI awaits each
client's socket in turn, so one that stops reading freezes the events of all (server.py, publish_loop). The
server keeps nothing for absent clients: after every `Connected`, compare with /history and /queue what was
missed.
"""

import contextlib
import json
import logging
import random
import socket
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import websocket

from generations.comfy.address import Address
from generations.comfy.errors import ProtocolError
from generations.comfy.messages import Message, Status, parse

log = logging.getLogger(__name__)

_FEATURE_FLAGS = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
_CLOSE_TIMEOUT_SECONDS = 2
_READ_BYTES = 64 * 1024
_OPCODES = websocket.ABNF


class _BufferedWebSocket(websocket.WebSocket):
    """Asks the kernel for whatever is there, where the library asks for each part of each frame.

    That is a third of the calls, or far less when frames come close together; each call lets go of Python's GIL, and
    may wait to get it back.
    """

    def __init__(self) -> None:
        # UTF-8 is checked when decoding: websocket-client's own check is a slow loop in Python.
        super().__init__(skip_utf8_validation=True)
        self._read, self._at = b"", 0

    def _recv(self, bufsize: int) -> bytes:
        """Called by the library's frame buffer, with what is missing of a part; may return less."""
        if self._at == len(self._read):
            self._read, self._at = super()._recv(_READ_BYTES), 0  # type: ignore[no-untyped-call]
        part = self._read[self._at : self._at + bufsize]
        self._at += len(part)
        return part


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket hears the server. `client_id` is the one to submit prompts with, so that their events come
    here.
    """

    sid: str
    client_id: str
    was_reconnect: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost, or (`was_connected` False) an attempt to connect failed.

    `is_unclean`: the server may not have noticed, and may still hold the old socket.
    """

    reason: str
    was_connected: bool
    is_unclean: bool = False


Event: TypeAlias = Connected | Disconnected | Message


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts to connect: doubled each time up to `maximum`, less a random part `jitter` of
    it.
    """

    initial: float = 0.5
    maximum: float = 10.0
    jitter: float = 0.5

    def delay(self, attempt: int) -> float:
        """The pause after that many failed attempts (0 for the first)."""
        full = min(self.maximum, self.initial * 2.0 ** min(attempt, 32))
        return full * (1 - self.jitter * random.random())  # noqa: S311 (spreads load, guards nothing)


class _Lost(Exception):
    def __init__(self, reason: str, *, is_unclean: bool) -> None:
        super().__init__(reason)
        self.is_unclean = is_unclean


class Listener:
    """Iterate to listen, in one thread; `stop()` from any other ends the iteration.

    Times are in seconds. The server never pings, so we do, after `ping_interval` of silence; a busy server
    holds Python's GIL, so its pong may take up to `pong_timeout`. With `fresh_client_id` an unclean loss
    makes the next connection use a new id: when the server notices late that the old socket is dead, it drops
    whatever socket has that id by then, which stays open but deaf (server.py, websocket_handler). Follow
    prompts of the old id by HTTP.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        *,
        headers: Mapping[str, str] | None = None,
        ping_interval: float = 20.0,
        pong_timeout: float = 75.0,
        connect_timeout: float = 10.0,
        backoff: Backoff | None = None,
        fresh_client_id: bool = False,
    ) -> None:
        if not client_id:
            raise ValueError("A listener needs a client_id.")
        self._address = Address.parse(base_url)
        self._headers = self._address.headers(dict(headers or {}))
        self._client_id = client_id
        self._ping_interval = ping_interval
        self._pong_timeout = pong_timeout
        self._connect_timeout = connect_timeout
        self._backoff = backoff or Backoff()
        self._wants_fresh_id = fresh_client_id
        self._stopped = threading.Event()
        self._given_up = ""
        self._socket: websocket.WebSocket | None = None

    @property
    def client_id(self) -> str:
        """The id of the current or the next connection."""
        return self._client_id

    def stop(self) -> None:
        """Ends the iteration: at once, or within `connect_timeout` if the address does not answer at all."""
        self._stopped.set()
        self._wake()

    def reconnect(self, reason: str) -> None:
        """Give up the present connection, which is open but of no use, for a new one (with a fresh id, if so
        asked): `reason` is what its Disconnected will say.
        """
        self._given_up = reason
        self._wake()

    def _wake(self) -> None:
        current = self._socket
        # shutdown() wakes the reading thread, which then closes the socket itself.
        if current is not None and (raw := current.sock) is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)

    def __iter__(self) -> Iterator[Event]:
        failures = 0
        was_reconnect = False
        while not self._stopped.is_set():
            was_connected = False
            try:
                with contextlib.closing(self._connection(was_reconnect)) as events:
                    for event in events:
                        if isinstance(event, Connected):
                            was_connected = was_reconnect = True
                            failures = 0
                        yield event
            except _Lost as loss:
                if self._stopped.is_set():
                    return
                reason, self._given_up = self._given_up or str(loss), ""
                is_unclean = loss.is_unclean or reason != str(loss)
                if is_unclean and self._wants_fresh_id:
                    self._client_id = uuid.uuid4().hex
                yield Disconnected(reason, was_connected, is_unclean)
                self._stopped.wait(self._backoff.delay(failures))
                failures += 1

    def _connection(self, was_reconnect: bool) -> Generator[Event, None, None]:
        """The events of one connection, closed completely when left. Ends by _Lost, or just ends when
        stopped.
        """
        connection = _BufferedWebSocket()
        self._socket = connection
        try:
            self._open(connection)
            announced = False
            for message in self._messages(connection):
                if not announced:
                    announced = True
                    sid = message.sid if isinstance(message, Status) and message.sid else self._client_id
                    yield Connected(sid, self._client_id, was_reconnect)
                if self._stopped.is_set():
                    return
                if message is not None:
                    yield message
        finally:
            _close(connection)

    def _open(self, connection: websocket.WebSocket) -> None:
        try:
            connection.connect(  # type: ignore[no-untyped-call]
                self._address.websocket_url(self._client_id),
                header=self._headers,
                timeout=self._connect_timeout,
                suppress_origin=True,
                redirect_limit=0,
            )
            connection.send(_FEATURE_FLAGS)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            reason = f"ComfyUI at {self._address} cannot be reached: {_describe(error)}."
            raise _Lost(reason, is_unclean=False) from error

    def _messages(self, connection: websocket.WebSocket) -> Iterator[Message | None]:
        """Messages as they come; None for a sign of life without one."""
        while not self._stopped.is_set():
            opcode, data = self._receive(connection)
            if opcode == _OPCODES.OPCODE_CLOSE:
                raise _Lost(f"ComfyUI at {self._address} closed the connection.", is_unclean=False)
            if opcode not in {_OPCODES.OPCODE_TEXT, _OPCODES.OPCODE_BINARY}:
                yield None
                continue
            try:
                yield parse(_text(data) if opcode == _OPCODES.OPCODE_TEXT else bytes(data))
            except ProtocolError as error:
                log.warning("Skipped a malformed frame of ComfyUI at %s: %s", self._address, error)
                yield None

    def _receive(self, connection: websocket.WebSocket) -> tuple[int, bytes]:
        """The next frame. While none comes, pings; raises _Lost when no pong follows either."""
        silent_since: float | None = None
        try:
            while True:
                if connection.gettimeout() != (patience := self._patience(silent_since)):
                    connection.settimeout(patience)
                try:
                    opcode, data = connection.recv_data(control_frame=True)
                    return opcode, data
                except websocket.WebSocketTimeoutException:
                    silent_since = silent_since or time.monotonic()
                    if time.monotonic() - silent_since >= self._pong_timeout:
                        reason = f"ComfyUI at {self._address} has been silent for too long."
                        raise _Lost(reason, is_unclean=True) from None
                    connection.ping()
        except websocket.WebSocketConnectionClosedException as error:
            # An orderly end of the stream: the server, or its process, closed its side.
            reason = f"The connection to ComfyUI at {self._address} ended."
            raise _Lost(reason, is_unclean=False) from error
        except (websocket.WebSocketException, OSError, ValueError) as error:
            reason = f"The connection to ComfyUI at {self._address} broke: {_describe(error)}."
            raise _Lost(reason, is_unclean=True) from error

    def _patience(self, silent_since: float | None) -> float:
        """Seconds to wait for a frame before looking at the clock again."""
        if silent_since is None:
            return self._ping_interval
        left = self._pong_timeout - (time.monotonic() - silent_since)
        return max(0.01, min(self._ping_interval, left))


def _close(connection: websocket.WebSocket) -> None:
    """Tells the server and waits a moment for its answer, so that it forgets this socket before the next one
    comes.
    """
    with contextlib.suppress(websocket.WebSocketException, OSError):
        connection.close(timeout=_CLOSE_TIMEOUT_SECONDS)
    connection.shutdown()  # type: ignore[no-untyped-call]


def _text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("ComfyUI sent a text that is not UTF-8.") from error


def _describe(error: Exception) -> str:
    """A short reason; of a refused handshake only the status, because its text repeats all headers."""
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"the handshake was answered with HTTP {error.status_code}"
    return str(error).strip().rstrip(".") or type(error).__name__
