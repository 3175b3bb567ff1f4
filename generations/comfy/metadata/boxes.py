"""MP4 and MOV: boxes with metadata become free space of the same size, so that no offset changes.

Sources: ISO/IEC 14496-12 (boxes), QuickTime File Format (user data, metadata), FFmpeg's libavformat/movenc.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from generations.comfy.metadata.edits import DamagedFileError, Edit, Steps, read_exactly, size_of

_TREE: dict[bytes, frozenset[bytes]] = {  # the boxes that are looked into, and what goes there
    b"": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip", b"ilst", b"PICT", b"pnot"}),
    b"moov": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip"}),
    b"trak": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip"}),
    b"mdia": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip"}),
    b"minf": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip"}),
    b"moof": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip"}),
    b"traf": frozenset({b"udta", b"meta", b"uuid", b"free", b"skip"}),
}
_PARENTS = {b"moov": b"", b"moof": b"", b"trak": b"moov", b"mdia": b"trak", b"minf": b"mdia", b"traf": b"moof"}


def mp4(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without user data, metadata and free space; the mark is a comment in the film's user data."""
    kept_mark = _user_data(mark) if mark else b""
    for parent, kind, start, body, end in _boxes(file, 0, size_of(file), b"", Steps()):
        if kind not in _TREE[parent]:
            continue
        room = end - start
        if parent == b"moov" and kept_mark and room - len(kept_mark) >= 8 and body - start == 8:
            rest = room - len(kept_mark)
            yield Edit(start, end, kept_mark + struct.pack(">I4s", rest, b"free"), rest - 8)
            kept_mark = b""
        else:
            yield Edit(start + 4, start + 8, b"free")
            yield Edit(body, end, zeros=end - body)


def regions(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where metadata may be."""
    for parent, kind, _start, body, end in _boxes(file, 0, size_of(file), b"", Steps()):
        if kind in _TREE[parent]:
            yield body, end


def _boxes(
    file: BinaryIO, at: int, limit: int, parent: bytes, steps: Steps
) -> Iterator[tuple[bytes, bytes, int, int, int]]:
    """Parent, kind, start, start of the content, end."""
    while at + 8 <= limit:
        steps.take()
        size, kind = struct.unpack(">I4s", read_exactly(file, at, 8))
        body = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", read_exactly(file, body, 8))
            body += 8
        end = limit if size == 0 else at + size
        if end < body or end > limit:
            raise DamagedFileError("A box of it is longer than its surroundings")
        yield parent, kind, at, body, end
        if _PARENTS.get(kind) == parent:
            yield from _boxes(file, body, end, kind, steps)
        at = end


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _user_data(mark: bytes) -> bytes:
    text = b'{"comfysaas": ' + mark + b"}"
    handler = _box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    entry = _box(b"\xa9cmt", _box(b"data", struct.pack(">II", 1, 0), text))
    return _box(b"udta", _box(b"meta", bytes(4), handler, _box(b"ilst", entry)))
