"""PNG, JPEG, WebP and GIF: everything goes that does not change how the picture looks.

What stays is on a list; what is unknown goes, and so does whatever follows the end of the picture. Sources: PNG
(third edition) 5.6 and 11, JFIF 1.02, RFC 9649 (WebP) 2.7, GIF89a.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from generations.comfy.metadata import tiff
from generations.comfy.metadata.edits import DamagedFileError, Edit, Steps, read_exactly, size_of, unpack

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Beside the critical ones, whose names begin with a capital letter.
_PNG_KEPT = frozenset(b"tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD hIST pHYs sPLT acTL fcTL fdAT".split())
_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP"})
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04
_JPEG_NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_MAX_BYTES = 512 * 1024 * 1024  # JPEG and GIF are walked through in memory


def png(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without text, EXIF and unknown chunks; the mark is the text `comfysaas`."""
    at, total, steps = len(PNG_SIGNATURE), size_of(file), Steps()
    kept_mark = _png_chunk(b"tEXt", b"comfysaas\0" + mark) if mark else b""
    while at + 8 <= total:
        steps.take()
        length, kind = struct.unpack(">I4s", read_exactly(file, at, 8))
        end = at + 12 + length
        if kind == b"IEND":
            if end < total:
                yield Edit(end, total)
            return
        if kind[0] & 0x20 and kind not in _PNG_KEPT:
            yield Edit(at, min(end, total), kept_mark)
            kept_mark = b""
        at = end


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def webp(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without EXIF, XMP and unknown chunks; the mark is an EXIF description."""
    total = size_of(file)
    removed: list[tuple[int, int]] = []
    flags_at, turned = 0, 1
    for kind, start, end in riff_chunks(file):
        if kind == b"VP8X":
            flags_at = start + 8
        if kind not in _WEBP_KEPT:
            removed.append((start, end))
        if kind == b"EXIF":
            turned = tiff.orientation(read_exactly(file, start + 8, unpack("<I", file, start + 4)[0]))
    riff_end = min(total, 8 + unpack("<I", file, 4)[0])
    if not removed and riff_end >= total:
        return
    exif = tiff.write(_described(mark), turned) if flags_at and removed else b""
    exif_chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2) if exif else b""
    size = riff_end - 8 - sum(min(end, riff_end) - start for start, end in removed) + len(exif_chunk)
    yield Edit(4, 8, struct.pack("<I", size))
    if flags_at:
        (flags,) = unpack("B", file, flags_at)
        flags = flags & ~(_WEBP_EXIF | _WEBP_XMP) | (_WEBP_EXIF if exif else 0)
        yield Edit(flags_at, flags_at + 1, bytes([flags]))
    for number, (start, end) in enumerate(removed):
        yield Edit(start, min(end, riff_end), exif_chunk if number == 0 else b"")
    if riff_end < total:
        yield Edit(riff_end, total)


def _described(mark: bytes) -> bytes:
    """As ComfyUI writes texts into EXIF: the name, a colon, JSON."""
    return b"comfysaas:" + mark if mark else b""


def riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk, header and padding included."""
    at, total, steps = 12, size_of(file), Steps()
    total = min(total, 8 + unpack("<I", file, 4)[0]) if total >= 12 else 0
    while at + 8 <= total:
        steps.take()
        kind, length = struct.unpack("<4sI", read_exactly(file, at, 8))
        end = min(total, at + 8 + length + length % 2)
        yield kind, at, end
        at = end


def jpeg(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without EXIF, comments and unknown application data; colours and orientation stay."""
    data = _whole(file)
    at, steps, turned = 2, Steps(), 1
    removed: list[tuple[int, int]] = []
    while found := _JPEG_NEXT.search(data, at):
        steps.take()
        at, kind = found.start(), data[found.start() + 1]
        if kind == 0xD9:
            if at + 2 < len(data):
                removed.append((at + 2, len(data)))
            break
        if at + 4 > len(data):
            raise DamagedFileError("It ends in the middle of a segment")
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4 : end]
        if _is_jpeg_metadata(kind, body):
            removed.append((at, end))
            turned = tiff.orientation(body) if body.startswith(b"Exif\0\0") else turned
        at = end
    exif = tiff.write(_described(mark), turned)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif if exif and removed else b""
    if segment:
        yield Edit(2, 2, segment)
    yield from (Edit(start, end) for start, end in removed)


def _is_jpeg_metadata(kind: int, body: bytes) -> bool:
    is_application = 0xE0 <= kind <= 0xEF
    is_kept = kind in (0xE0, 0xEE) or (kind == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
    return kind == 0xFE or (is_application and not is_kept)


def gif(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without comments and unknown application data; the mark is a comment."""
    data = _whole(file)
    if len(data) < 13:
        raise DamagedFileError("It ends in its header")
    at = 13 + _table_bytes(data[10])
    steps = Steps()
    comment = b'{"comfysaas": ' + mark + b"}" if mark else b""
    kept_mark = b"\x21\xfe" + bytes([len(comment)]) + comment + b"\0" if 0 < len(comment) < 256 else b""
    while at < len(data):
        steps.take()
        start, kind = at, data[at]
        if kind == 0x3B:
            if at + 1 < len(data):
                yield Edit(at + 1, len(data))
            return
        if kind == 0x21:
            at = _after_blocks(data, at + 2, steps)
            label, name = data[start + 1 : start + 2], data[start + 3 : start + 14]
            if label == b"\xfe" or (label == b"\xff" and name not in _GIF_KEPT):
                yield Edit(start, at, kept_mark)
                kept_mark = b""
        elif kind == 0x2C and at + 10 <= len(data):
            at = _after_blocks(data, at + 11 + _table_bytes(data[at + 9]), steps)
        else:
            raise DamagedFileError("It has a block of no known kind")


def gif_comments(data: bytes) -> Iterator[bytes]:
    """The comments of a GIF, their blocks put together."""
    at, steps = (13 + _table_bytes(data[10]), Steps()) if len(data) > 13 else (len(data), Steps())
    while at < len(data) and data[at] in (0x21, 0x2C):
        steps.take()
        start = at
        if data[at] == 0x21:
            at = _after_blocks(data, at + 2, steps)
            if data[start + 1 : start + 2] == b"\xfe":
                yield b"".join(_blocks(data, start + 2))
        elif at + 10 <= len(data):
            at = _after_blocks(data, at + 11 + _table_bytes(data[at + 9]), steps)
        else:
            return


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int, steps: Steps) -> int:
    small = 0
    while at < len(data) and data[at]:
        small += data[at] < 128
        if small % 16 == 15:  # full blocks come by the thousand, short ones only at an end
            steps.take()
        at += 1 + data[at]
    return at + 1


def _blocks(data: bytes, at: int) -> Iterator[bytes]:
    while at < len(data) and data[at]:
        yield data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]


def _whole(file: BinaryIO) -> bytes:
    if size_of(file) > _MAX_BYTES:
        raise DamagedFileError("It is too large for a picture of this kind")
    file.seek(0)
    return file.read()
