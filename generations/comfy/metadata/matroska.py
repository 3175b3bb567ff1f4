"""WebM and Matroska: tags, attachments and titles become empty space of the same size, so that no offset changes.

Sources: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from generations.comfy.metadata.edits import DamagedFileError, Edit, Steps, read_exactly, size_of

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
INFO, TITLE, TRACKS, TRACK, NAME = 0x1549A966, 0x7BA9, 0x1654AE6B, 0xAE, 0x536E
TAGS, ATTACHMENTS, VOID, CRC = 0x1254C367, 0x1941A469, 0xEC, 0xBF
_LOOKED_INTO = {SEGMENT: 0, INFO: SEGMENT, TRACKS: SEGMENT, TRACK: TRACKS}
_REMOVED = {
    0: frozenset({VOID}),
    SEGMENT: frozenset({TAGS, ATTACHMENTS, VOID}),
    INFO: frozenset({TITLE, VOID, CRC}),
    TRACKS: frozenset({VOID, CRC}),
    TRACK: frozenset({NAME, VOID, CRC}),
}


def matroska(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without tags, attachments, titles and names; the mark is a tag."""
    kept_mark = _tags(mark) if mark else b""
    for kind, start, _body, end in _removed(file):
        rest = end - start - len(kept_mark)
        if kind == TAGS and kept_mark and rest >= 9:
            yield Edit(start, end, kept_mark + _void(rest), rest - 9)
            kept_mark = b""
        else:
            head = _void(end - start)
            yield Edit(start, end, head, end - start - len(head))


def regions(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where metadata may be."""
    return ((body, end) for _kind, _start, body, end in _removed(file))


def _removed(file: BinaryIO) -> Iterator[tuple[int, int, int, int]]:
    for parent, kind, start, body, end in _elements(file, 0, size_of(file), 0, Steps()):
        if kind in _REMOVED[parent]:
            yield kind, start, body, end


def _elements(
    file: BinaryIO, at: int, limit: int, parent: int, steps: Steps
) -> Iterator[tuple[int, int, int, int, int]]:
    """Parent, kind, start, start of the content, end."""
    while at < limit:
        steps.take()
        start = at
        kind, at = _number(file, at, limit, keeps_marker=True)
        size, at = _number(file, at, limit, keeps_marker=False)
        end = limit if size < 0 else at + size
        if end > limit:
            raise DamagedFileError("An element of it is longer than its surroundings")
        yield parent, kind, start, at, end
        if _LOOKED_INTO.get(kind, -1) == parent:
            yield from _elements(file, at, end, kind, steps)
        # What a cluster of unknown size has in it looks like its neighbours, none of which is removed.
        at = at if kind == CLUSTER and size < 0 else end


def _number(file: BinaryIO, at: int, limit: int, *, keeps_marker: bool) -> tuple[int, int]:
    """A variable-length number and the place behind it; -1 for an unknown size."""
    first = read_exactly(file, at, 1)[0]
    length = 9 - first.bit_length()
    if first == 0 or at + length > limit or (keeps_marker and length > 4):
        raise DamagedFileError("It has a number of no known length")
    value = int.from_bytes(read_exactly(file, at, length), "big")
    if keeps_marker:
        return value, at + length
    value &= (1 << 7 * length) - 1
    return (-1 if value == (1 << 7 * length) - 1 else value), at + length


def _void(size: int) -> bytes:
    """The head of an empty element of `size` bytes in all, at least 2; zeros follow."""
    if size < 9:
        return bytes([VOID, 0x80 | (size - 2)])
    return bytes([VOID]) + (1 << 56 | size - 9).to_bytes(8, "big")


def _element(kind: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (1 << 56 | len(body)).to_bytes(8, "big") + body


def _tags(mark: bytes) -> bytes:
    tag = _element(0x67C8, _element(0x45A3, b"COMFYSAAS"), _element(0x4487, mark))
    return _element(TAGS, _element(0x7373, _element(0x63C0), tag))
