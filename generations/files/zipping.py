"""A zip archive as a stream: made while it is read, of any size, in constant memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.core.files import File

CHUNK_BYTES = 256 * 1024
MIB = 1024 * 1024

Member = tuple[str, Iterable[bytes]]  # the path in the archive, and the bytes


def stream(members: Iterable[Member]) -> Iterator[bytes]:
    """The bytes of an archive of these members, which are stored as they are: pictures do not get any smaller."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path, chunks in members:
            entry = zipfile.ZipInfo(path, date_time=datetime.now(UTC).timetuple()[:6])
            entry.external_attr = 0o600 << 16
            if path.endswith((".json", ".jsonl", ".txt")):
                entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as target:
                for chunk in chunks:
                    target.write(chunk)
                    if sink.size >= CHUNK_BYTES:
                        yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """Keeps what the archive writes until somebody takes it. It cannot be sought, so sizes follow each member."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]  # any buffer
        self._parts.append(part)
        self.size += len(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since."""
        taken = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return taken


class Streamed(File[bytes]):
    """A stream as a file that a storage can save: read once, and of a size that nobody knows before.

    `written` is how many bytes were read so far.
    """

    DEFAULT_CHUNK_SIZE = CHUNK_BYTES

    def __init__(self, chunks: Iterator[bytes], *, name: str, content_type: str) -> None:
        super().__init__(io.BytesIO(), name=name)
        self._source = chunks
        self._rest = b""
        self.written = 0
        self.size = MIB * MIB  # storages send what is large in parts
        self.content_type = content_type

    def read(self, size: int | None = -1) -> bytes:
        """At most so many bytes; b"" at the end."""
        parts, found = [self._rest], len(self._rest)
        while size is None or size < 0 or found < size:
            chunk = next(self._source, None)
            if chunk is None:
                break
            parts.append(chunk)
            found += len(chunk)
        whole = b"".join(parts)
        cut = len(whole) if size is None or size < 0 else size
        taken, self._rest = whole[:cut], whole[cut:]
        self.written += len(taken)
        return taken

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """All of it, bit by bit."""
        while chunk := self.read(chunk_size or self.DEFAULT_CHUNK_SIZE):
            yield chunk

    def seekable(self) -> bool:
        """It cannot be read twice."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """io.UnsupportedOperation."""
        raise io.UnsupportedOperation

    def tell(self) -> int:
        """io.UnsupportedOperation."""
        raise io.UnsupportedOperation
