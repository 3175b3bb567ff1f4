"""The program of a decoder process: it reads pictures, videos and sounds of others, with little to lose.

`python -m generations.comfy.decoder_process`, with a Unix socket as standard input. A request is a line of JSON,
{"do": an operation, "kind": Pillow's format or FFmpeg's demuxer}, together with the descriptors of the file to read and
of the one to write. The answer is a line of JSON: {"result": …}, {"unusable": why}, or {"damaged": …} and
{"error": …} with what happened.
`decoders.py` is the other side.
"""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from generations.comfy import containers, pictures

MEMORY_BYTES = 512 * 1024 * 1024  # above what the program itself takes
FFMPEG_BYTES = 128 * 1024 * 1024  # of addresses, for libraries that are loaded with the first video or sound
OUTPUT_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 15
REQUEST_BYTES = 4096
WEBP_METHOD = 2  # from 0 (quick) to 6 (small): less than half the time of 4, which is usual, for a twentieth more bytes


class _Positioned(io.RawIOBase):
    """Reads without moving the descriptor's position: the other side has buffers that rely on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._position = descriptor, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        number = os.preadv(self._descriptor, [buffer], self._position)
        self._position += number
        return number

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _measure(file: BinaryIO, kind: str, output: BinaryIO) -> tuple[int, int]:
    return pictures.measure(file, kind)


def _streams(file: BinaryIO, kind: str, output: BinaryIO) -> list[str]:
    return containers.stream_kinds(file, kind)


def _thumbnail(file: BinaryIO, kind: str, output: BinaryIO) -> None:
    make = containers.poster if kind in containers.DEMUXERS else pictures.thumbnail
    make(file, kind).save(output, "WEBP", quality=80, method=WEBP_METHOD)


def _picture(file: BinaryIO, kind: str, output: BinaryIO) -> tuple[int, int, str]:
    """(width, height, why there is no thumbnail or ""): what becomes of a result, in one trip."""
    width, height = pictures.measure(file, kind)
    try:
        _thumbnail(file, kind, output)
    except Exception as error:  # decoders of damaged files raise whatever they like
        return width, height, f"{type(error).__name__}: {error}"[:500]
    return width, height, ""


def _as_png(file: BinaryIO, kind: str, output: BinaryIO) -> None:
    pictures.as_png(file, kind, output)


def _tags(file: BinaryIO, kind: str, output: BinaryIO) -> None:
    output.write(json.dumps(containers.tags(file, kind), ensure_ascii=False).encode("utf-8", "replace"))


OPERATIONS: dict[str, Callable[[BinaryIO, str, BinaryIO], object]] = {
    "measure": _measure,
    "picture": _picture,
    "streams": _streams,
    "thumbnail": _thumbnail,
    "as_png": _as_png,
    "tags": _tags,
}


def _confine() -> None:
    """Limits of the whole process; nothing of them can be taken back."""
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_BYTES, OUTPUT_BYTES))
    with suppress(OSError):  # when the machine runs out of memory, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        size += MEMORY_BYTES + FFMPEG_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries complain there about damaged files


def _allow_time() -> None:
    """For one file. The limit counts from the process' start, and outlives a parent that was killed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, hard))


def _answer(request: bytes, descriptors: list[int]) -> dict[str, Any]:
    file = io.BufferedReader(_Positioned(descriptors[0]))
    with file, os.fdopen(descriptors[1], "wb") as output:
        try:
            wanted = json.loads(request)
            _allow_time()
            result = OPERATIONS[wanted["do"]](file, wanted["kind"], output)
            output.seek(0)  # where the other side believes that it is
            return {"result": result}
        except pictures.UnusableError as error:
            return {"unusable": str(error)}
        except pictures.DamagedError as error:
            return {"damaged": str(error)}
        except Exception as error:  # decoders of damaged files raise whatever they like
            return {"error": f"{type(error).__name__}: {error}"[:500]}


def main() -> None:
    """Serve until the other side closes."""
    pictures.use_own_limits()
    channel = socket.socket(fileno=os.dup(0))
    _confine()
    channel.sendall(b"{}\n")
    while True:
        request, descriptors, _flags, _address = socket.recv_fds(channel, REQUEST_BYTES, 2)
        if not request:
            return
        channel.sendall(json.dumps(_answer(request, descriptors)).encode() + b"\n")


if __name__ == "__main__":
    main()
