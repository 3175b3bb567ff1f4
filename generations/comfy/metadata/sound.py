"""FLAC, MP3, Ogg and WAV without their tags.

Sources: RFC 9639 (FLAC) 8, ID3v2.4 3 and 4, APEv2, RFC 3533 (Ogg) 6, RFC 7845 (Opus) 5.2, Vorbis I 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from generations.comfy.metadata.edits import DamagedFileError, Edit, Steps, read_exactly, size_of, unpack
from generations.comfy.metadata.pictures import riff_chunks

_FLAC_KEPT = {0, 3, 5}  # stream info, seek table, cue sheet
_FLAC_COMMENT = 4
_WAV_KEPT = frozenset({b"fmt ", b"data", b"fact", b"cue ", b"smpl"})
_COMMENT_STARTS = (b"\x03vorbis", b"OpusTags", b"\x81theora")
_MAX_STREAMS = 16


def flac(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without comments, pictures and padding; the mark is a comment."""
    at, is_last, steps, kept = 4, False, Steps(), []
    while not is_last:
        steps.take()
        (head,) = unpack(">I", file, at)
        is_last, kind, length = bool(head >> 31), head >> 24 & 0x7F, head & 0xFFFFFF
        if kind in _FLAC_KEPT:
            kept.append((kind, read_exactly(file, at + 4, length)))
        at += 4 + length
    if at > size_of(file):
        raise DamagedFileError("It ends too early")
    kept.append((_FLAC_COMMENT, _comments(b"", [b"comfysaas=" + mark] if mark else [])))
    blocks = [struct.pack(">I", kind << 24 | len(body)) + body for kind, body in kept]
    last = bytes([blocks[-1][0] | 0x80]) + blocks[-1][1:]
    yield Edit(4, at, b"".join([*blocks[:-1], last]))


def mp3(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without ID3 and APE tags; the mark is a text of its own in an ID3 tag."""
    start, end = mp3_tags(file)
    if start:
        frame = b"\x03comfysaas\0" + mark + b"\0"
        frames = b"TXXX" + _synchsafe(len(frame)) + b"\0\0" + frame
        yield Edit(0, start, b"ID3\4\0\0" + _synchsafe(len(frames)) + frames if mark else b"")
    if end < size_of(file):
        yield Edit(end, size_of(file))


def mp3_tags(file: BinaryIO) -> tuple[int, int]:
    """Where the tags before the sound end, and where those behind it begin."""
    total, start, steps = size_of(file), 0, Steps()
    while total - start >= 10 and read_exactly(file, start, 3) == b"ID3":
        steps.take()
        *_, flags, a, b, c, d = read_exactly(file, start, 10)
        start += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if flags & 0x10 else 0)
    if start > total:
        raise DamagedFileError("Its tags are longer than the file")
    end = total
    if end - start >= 128 and read_exactly(file, end - 128, 3) == b"TAG":
        end -= 128
    if end - start >= 32 and read_exactly(file, end - 32, 8) == b"APETAGEX":
        size, _count, flags = unpack("<III", file, end - 20)
        end = max(start, end - size - (32 if flags >> 31 else 0))
    return start, end


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def wav(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Tags and unknown chunks become JUNK of the same size; the mark is the comment in a list of its own."""
    text = b'{"comfysaas": ' + mark + b"}" if mark else b""
    for kind, start, end in riff_chunks(file):
        if kind in _WAV_KEPT:
            continue
        room = end - start - 20  # behind the heads of the list and of its comment
        if text and room > len(text):
            head = b"LIST" + struct.pack("<I", end - start - 8) + b"INFOICMT" + struct.pack("<I", room)
            yield Edit(start, end, head + text, room - len(text))
            text = b""
        else:
            yield Edit(start, start + 4, b"JUNK")
            yield Edit(start + 8, end, zeros=max(0, end - start - 8))


def ogg(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Comments give way to the mark and blanks of the same size, so that no page moves."""
    for pages, packet in ogg_comments(file):
        new = _same_size(packet, mark)
        for page in pages:
            head = read_exactly(file, page.start, page.body - page.start)
            body = bytearray(read_exactly(file, page.body, page.end - page.body))
            body[: page.taken] = new[: page.taken]
            new = new[page.taken :]
            whole = head[:22] + bytes(4) + head[26:] + bytes(body)
            yield Edit(page.start, page.end, whole[:22] + struct.pack("<I", _ogg_crc(whole)) + whole[26:])


class _Page:
    """A page of a comment: `taken` bytes of its body, from the first on, belong to it."""

    def __init__(self, start: int, body: int, end: int, taken: int) -> None:
        self.start, self.body, self.end, self.taken = start, body, end, taken


def ogg_comments(file: BinaryIO) -> Iterator[tuple[list[_Page], bytes]]:
    """The second packet of each stream, which are its comments, and the pages that it is on.

    DamagedFileError when one does not begin on a page of its own, as all three mappings want.
    """
    at, total, steps = 0, size_of(file), Steps()
    found: dict[int, list[_Page]] = {}  # by stream; its comment is not complete yet
    done: set[int] = set()
    while at + 27 <= total and (not done or found.keys() - done):
        steps.take()
        head = read_exactly(file, at, 27)
        if head[:4] != b"OggS":
            raise DamagedFileError("It has a page without a head")
        lengths = read_exactly(file, at + 27, head[26])
        body = at + 27 + len(lengths)
        end = body + sum(lengths)
        serial: int = struct.unpack_from("<I", head, 14)[0]
        if head[5] & 2:  # the first page of a stream has its first packet alone
            if len(found) >= _MAX_STREAMS:
                raise DamagedFileError("It has too many streams")
            found[serial] = []
        elif serial in found and serial not in done:
            last = next((number for number, length in enumerate(lengths) if length < 255), None)
            taken = sum(lengths) if last is None else sum(lengths[: last + 1])
            found[serial].append(_Page(at, body, end, taken))
            if last is not None:
                done.add(serial)
        at = end
    for serial in done:
        yield found[serial], b"".join(read_exactly(file, page.body, page.taken) for page in found[serial])


def _same_size(packet: bytes, mark: bytes) -> bytes:
    """A comment packet of that size with the mark, if there is room, and blanks."""
    start = next((start for start in _COMMENT_STARTS if packet.startswith(start)), None)
    if start is None:
        raise DamagedFileError("Its comments are of no known kind")
    tail = b"\1" if start == _COMMENT_STARTS[0] else b""  # Vorbis: a bit that says that it is whole
    smallest = len(start) + 8 + len(tail)
    own = [b"comfysaas=" + mark] if mark and len(packet) >= smallest + 14 + len(mark) else []
    rest = len(packet) - smallest - sum(4 + len(each) for each in own)
    if rest < 0:
        raise DamagedFileError("Its comments are too short")
    if rest >= 12:
        # Behind the mark, which so stands at the beginning of a page, in one piece.
        return start + _comments(b"", [*own, b"PADDING=" + b" " * (rest - 12)]) + tail
    return start + _comments(b" " * rest, own) + tail


def _comments(vendor: bytes, comments: list[bytes]) -> bytes:
    listed = b"".join(struct.pack("<I", len(each)) + each for each in comments)
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(comments)) + listed


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_OGG_TABLE = _ogg_table()


def _ogg_crc(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[value >> 24 ^ byte]
    return value
