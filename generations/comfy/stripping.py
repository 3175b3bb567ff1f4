"""Taking the workflow out of a file that ComfyUI made, without touching pixels, frames or samples.

ComfyUI and its custom nodes write the whole graph into nearly everything that they save. Nothing is encoded again:
chunks are left out, or overwritten where others are found by their position.
"""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import IO, BinaryIO, cast

from generations.comfy.containers import HEAD_BYTES, demuxer_of
from generations.comfy.embedded import NoWorkflowError, read_embedded
from generations.comfy.metadata import boxes, headers, matroska, pictures, sound
from generations.comfy.metadata.edits import COPY_BYTES, DamagedFileError, Edit, edited
from generations.comfy.scratch import grown

__all__ = [
    "DamagedFileError",
    "Edit",
    "WorkflowLeftError",
    "carries_workflow",
    "edited",
    "edits_of",
    "find_marks",
    "without_workflow",
]

MAX_MARKS = 10
MARK_BYTES = 64  # no mark is longer
# As JSON, as a text within JSON, or as one within that.
_MARK = re.compile(rb"generation\W{1,12}([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
# What every graph has in it, in both formats; in UTF-16 without the last zero, so that either order of bytes will do.
_TELLING = [
    word.encode(coding).rstrip(b"\0") for word in ("class_type", "widgets_values") for coding in ("utf-8", "utf-16-le")
]

Edits = Callable[[BinaryIO, bytes], Iterator[Edit]]
_STARTS: dict[bytes, Edits] = {
    pictures.PNG_SIGNATURE: pictures.png,
    b"\xff\xd8\xff": pictures.jpeg,
    b"GIF8": pictures.gif,
    b"glTF": headers.glb,
}
_PICTURE_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"}
_STREAMS: dict[str, Edits] = {
    "mov": boxes.mp4,
    "matroska": matroska.matroska,
    "flac": sound.flac,
    "mp3": sound.mp3,
    "ogg": sound.ogg,
    "wav": sound.wav,
}


class WorkflowLeftError(Exception):
    """The file carries a workflow that cannot be taken out of it."""


def without_workflow(file: BinaryIO, mark: Mapping[str, object] | None = None) -> IO[bytes]:
    """The file, or a copy of it on local disk whose metadata gave way to the mark; see `edits_of`.

    WorkflowLeftError when our own reader, or a search through all bytes, finds a workflow in the outcome all the same.
    A workflow packed in an unknown format stays unnoticed.
    """
    try:
        edits = edits_of(file, mark)
    except DamagedFileError:
        edits = []
    found = grown(edited(file, edits)) if edits else file
    if carries_workflow(cast("BinaryIO", found)):
        if found is not file:
            found.close()
        raise WorkflowLeftError
    found.seek(0)
    return found


def edits_of(file: BinaryIO, mark: Mapping[str, object] | None = None) -> list[Edit]:
    """The changes that take all metadata out; empty when there is none, or the format is not known.

    `mark` is put in its place, under the name “comfysaas”, where something was taken out and there is room.
    DamagedFileError when the file's structure cannot be followed.
    """
    file.seek(0)
    find = _format(file.read(HEAD_BYTES))
    text = json.dumps(mark).encode() if mark else b""
    try:
        return list(find(file, text)) if find else []
    except (struct.error, IndexError) as error:
        raise DamagedFileError("It ends too early") from error


def _format(head: bytes) -> Edits | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return pictures.webp
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return None  # their metadata lies among their pixels
    known = next((edits for start, edits in _STARTS.items() if head.startswith(start)), None)
    if known is None and (stream := demuxer_of(head)):
        return _STREAMS[stream]
    is_svg = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<svg", b"<?xml"))
    return known or (headers.svg if is_svg else headers.safetensors if head[8:9] == b"{" else None)


def carries_workflow(file: BinaryIO) -> bool:
    """Whether our own reader finds a workflow in it, or the words that every graph has stand anywhere in its bytes."""
    try:
        read_embedded(file)
    except NoWorkflowError:
        return _has_telling_words(file)
    return True


def _has_telling_words(file: BinaryIO) -> bool:
    file.seek(0)
    before = b""
    while piece := file.read(COPY_BYTES):
        window = before + piece
        if any(_is_quoted(window, word) for word in _TELLING):
            return True
        before = window[-MARK_BYTES:]
    return False


def _is_quoted(window: bytes, word: bytes) -> bool:
    """True when it stands there as a key of JSON, and not just in a sentence."""
    at = window.find(word)
    while at >= 0 and b'"' not in window[max(0, at - 4) : at]:
        at = window.find(word, at + 1)
    return at >= 0


def find_marks(file: BinaryIO) -> list[uuid.UUID]:
    """The ids of generations that the file names as its makers, wherever that stands; the first ones alone.

    One pass over the bytes, in constant memory; nothing is parsed. What is found is a claim: the caller looks it up.
    """
    file.seek(0)
    found: dict[uuid.UUID, None] = {}
    before = b""
    while (piece := file.read(COPY_BYTES)) and len(found) < MAX_MARKS:
        window = before + piece.replace(b"\0", b"")  # EXIF has texts of two bytes a character
        for claim in islice(_MARK.finditer(window), MAX_MARKS):
            found[uuid.UUID(claim[1].decode())] = None
        before = window[-MARK_BYTES:]
    return list(found)[:MAX_MARKS]
