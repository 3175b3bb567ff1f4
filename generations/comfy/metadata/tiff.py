"""EXIF: the texts in it, and a minimal one with a text and the orientation.

Source: TIFF 6.0, section 2; Exif 2.32, 4.6.3. Pillow reads what entries claim: 65,535 of them that all name the same
megabyte become 64 GB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

IMAGE_DESCRIPTION, ORIENTATION, EXIF_IFD, USER_COMMENT = 0x010E, 0x0112, 0x8769, 0x9286
ASCII, _SHORT = 2, 3
_TEXT_TYPES = {1, ASCII, 7}  # BYTE, ASCII, UNDEFINED
MAX_ENTRIES = 1000

Entry = tuple[int, int, bytes]  # tag, type, value


def entries(blob: bytes) -> Iterator[Entry]:
    """Texts and small numbers of the first directory and the Exif directory. What is damaged is left out.

    All values together are never longer than the blob.
    """
    blob = blob.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(blob[:4])
    if order is None or len(blob) < 8:
        return
    left = len(blob)
    pending = [struct.unpack_from(f"{order}I", blob, 4)[0]]
    for directory in pending:
        for tag, kind, value in _directory(blob, order, directory):
            if tag == EXIF_IFD and len(pending) == 1 and len(value) == 4:
                pending.append(struct.unpack(f"{order}I", value)[0])
                continue
            left -= len(value)
            if left < 0:
                return
            yield tag, kind, value


def _directory(blob: bytes, order: str, at: int) -> Iterator[Entry]:
    if at + 2 > len(blob):
        return
    count = min(MAX_ENTRIES, struct.unpack_from(f"{order}H", blob, at)[0])
    for place in range(at + 2, min(at + 2 + 12 * count, len(blob) - 11), 12):
        tag, kind, length, offset = struct.unpack_from(f"{order}HHII", blob, place)
        if kind in _TEXT_TYPES:
            start = place + 8 if length <= 4 else offset
            yield tag, kind, blob[start : start + length]
        elif tag == EXIF_IFD:
            yield tag, kind, blob[place + 8 : place + 12]
        elif tag == ORIENTATION and kind == _SHORT:
            yield tag, kind, struct.pack(">H", struct.unpack_from(f"{order}H", blob, place + 8)[0])


def orientation(blob: bytes) -> int:
    """1 to 8; 1 when it says nothing."""
    found = next((value for tag, kind, value in entries(blob) if (tag, kind) == (ORIENTATION, _SHORT)), b"\0\1")
    number: int = struct.unpack(">H", found)[0]
    return number if 1 <= number <= 8 else 1


def write(text: bytes, turned: int) -> bytes:
    """A TIFF block with that description and orientation; empty when there is nothing to say."""
    found: list[tuple[int, int, int, bytes]] = []
    if text:
        found.append((IMAGE_DESCRIPTION, 2, len(text) + 1, b""))
    if turned != 1:
        found.append((ORIENTATION, _SHORT, 1, struct.pack(">HH", turned, 0)))
    if not found:
        return b""
    start = 8 + 2 + 12 * len(found) + 4
    rows = b"".join(
        struct.pack(">HHI", tag, kind, count) + (inline or struct.pack(">I", start))
        for tag, kind, count, inline in found
    )
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(found)) + rows + bytes(4) + (text + b"\0" if text else b"")
