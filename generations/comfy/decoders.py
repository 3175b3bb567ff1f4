"""A few processes that read pictures, videos and sounds of others, so that what these do happens elsewhere.

A picture of some hundred kilobytes can unfold into gigabytes, and a decoder can be made to loop or crash. `ask` hands
the file to a process with limits of memory and time, which is used again for the next file; one that dies or takes too
long fails that file alone. Plain processes and pipes, because those of Celery may not use multiprocessing.
"""

from __future__ import annotations

import atexit
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from generations.comfy.scratch import small_file

logger = logging.getLogger(__name__)

AT_ONCE = 2  # decoder processes of one process of ours; each takes at most decoder_process.MEMORY_BYTES
WAIT_SECONDS = 15.0
START_SECONDS = 60.0
DEADLINE_SECONDS = 20.0
FILES_EACH = 500  # then a fresh process takes over, in case a library loses memory
ANSWER_BYTES = 65536
_ROOT = Path(__file__).parents[2]
# No secrets: a decoder that was taken over finds nothing in its environment.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")


class UndecodableError(Exception):
    """The file cannot be decoded: damaged, too large, or too slow. `str()` says what happened, for the log."""


class DamagedError(UndecodableError):
    """The picture can be measured, and certainly not be decoded: it is cut off, say."""


class UnusableError(Exception):
    """The file can be read, but what was asked for cannot be made of it; `str()` says why, for its owner."""


class BusyError(Exception):
    """All decoders had other files for WAIT_SECONDS. Nothing was read: try again."""

    def __init__(self) -> None:
        super().__init__("The server is busy with other files. Try again in a minute.")


class _Decoder:
    def __init__(self) -> None:
        self.files = 0
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "generations.comfy.decoder_process"],
                cwd=_ROOT,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # a signal to our group is for us: what we have begun needs the decoders
            )
        try:
            self._read_line(START_SECONDS)
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes, descriptors: list[int]) -> dict[str, Any]:
        self.files += 1
        try:
            socket.send_fds(self._channel, [request], descriptors)
        except OSError as error:
            raise UndecodableError("The decoder had ended") from error
        try:
            answer: dict[str, Any] = json.loads(self._read_line(DEADLINE_SECONDS))
        except ValueError as error:
            raise UndecodableError("The decoder answered with something other than JSON") from error
        return answer

    def _read_line(self, seconds: float) -> bytes:
        until, received = time.monotonic() + seconds, b""
        while not received.endswith(b"\n"):
            self._channel.settimeout(max(0.001, until - time.monotonic()))
            try:
                part = self._channel.recv(ANSWER_BYTES)
            except TimeoutError as error:
                raise UndecodableError(f"The decoder did not answer within {seconds:.0f} s") from error
            except OSError as error:
                raise UndecodableError(f"The decoder broke off: {error}") from error
            received += part
            if not part or len(received) > ANSWER_BYTES:
                raise UndecodableError("The decoder died of this file")
        return received

    def close(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()


class _Pool:
    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked process: the decoders, and the places that are taken, are the parent's."""
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._idle: list[_Decoder] = []

    def ask(self, request: bytes, descriptors: list[int]) -> dict[str, Any]:
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise BusyError
        try:
            decoder = self._take()
            try:
                answer = decoder.ask(request, descriptors)
            except BaseException:
                decoder.close()
                raise
            self._give_back(decoder)
            return answer
        finally:
            self._places.release()

    def _take(self) -> _Decoder:
        with suppress(IndexError):
            while True:
                decoder = self._idle.pop()
                if decoder.is_alive:
                    return decoder
                decoder.close()
        try:
            return _Decoder()
        except (OSError, UndecodableError) as error:
            logger.exception("No decoder could be started")
            raise BusyError from error

    def _give_back(self, decoder: _Decoder) -> None:
        if decoder.files < FILES_EACH:
            self._idle.append(decoder)
        else:
            decoder.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.start_anew)
atexit.register(_pool.close)


def ask(operation: str, kind: str, file: IO[bytes], output: IO[bytes] | None = None) -> Any:
    """Have a decoder do an operation of `decoder_process.OPERATIONS` with the file; what that returned, as JSON has it.

    Both files have descriptors, unless `file` is a BytesIO. The position of `file` stays; `output` is new, and read
    from its start afterwards.
    UndecodableError, DamagedError among them; UnusableError, BusyError.
    """
    request = json.dumps({"do": operation, "kind": kind}).encode()
    with ExitStack() as stack:
        if isinstance(file, io.BytesIO):
            content, file = file.getbuffer(), stack.enter_context(small_file())
            file.write(content)
        if output is None:
            output = stack.enter_context(small_file())
        file.flush()
        answer = _pool.ask(request, [file.fileno(), output.fileno()])
    if "unusable" in answer:
        raise UnusableError(answer["unusable"])
    if "damaged" in answer:
        raise DamagedError(answer["damaged"])
    if "error" in answer:
        raise UndecodableError(answer["error"])
    return answer["result"]
