"""Changes to a file's bytes that leave everything else where it is."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

COPY_BYTES = 1024 * 1024
MAX_PARTS = 200_000  # chunks, boxes, pages: more make an attack, not a picture or video
MAX_PART_BYTES = 32 * 1024 * 1024


class DamagedFileError(ValueError):
    """The file's structure cannot be followed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes [start, end) become `new` and so many zeros."""

    start: int
    end: int
    new: bytes = b""
    zeros: int = 0


def read_exactly(file: BinaryIO, at: int, size: int) -> bytes:
    """These bytes; DamagedFileError when the file ends before, or when it is more than any text needs."""
    if size > MAX_PART_BYTES:
        raise DamagedFileError("A part of it is too large")
    file.seek(at)
    found = file.read(size)
    if len(found) != size:
        raise DamagedFileError("It ends too early")
    return found


def unpack(pattern: str, file: BinaryIO, at: int) -> tuple[int, ...]:
    """The numbers at that place, as struct has them."""
    return struct.unpack(pattern, read_exactly(file, at, struct.calcsize(pattern)))


def size_of(file: BinaryIO) -> int:
    """Length in bytes."""
    return file.seek(0, 2)


class Steps:
    """Counts the parts of a file, and stops whoever would walk through too many."""

    def __init__(self) -> None:
        self.left = MAX_PARTS

    def take(self) -> None:
        """One more. DamagedFileError when there were too many."""
        self.left -= 1
        if self.left < 0:
            raise DamagedFileError("It has too many parts")


def edited(file: BinaryIO, edits: Iterable[Edit]) -> Iterator[bytes]:
    """The file's bytes with the changes made, in pieces of at most COPY_BYTES."""
    at = 0
    for edit in sorted(edits, key=lambda each: each.start):
        yield from _copied(file, at, edit.start)
        yield edit.new
        for begin in range(0, edit.zeros, COPY_BYTES):
            yield bytes(min(COPY_BYTES, edit.zeros - begin))
        at = edit.end
    yield from _copied(file, at, size_of(file))


def _copied(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        file.seek(start)
        piece = file.read(min(COPY_BYTES, end - start))
        if not piece:
            return
        start += len(piece)
        yield piece
