"""Bytes on their way into the storage: on local disk, whole, counted and hashed, and what is in them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

import filetype
from blake3 import blake3
from django.core.files import File

from generations import database
from generations.comfy import containers, decoders, pictures
from generations.comfy.scratch import grown, small_file
from generations.comfy.stripping import without_workflow

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
SNIFF_BYTES = 8192
DEFAULT_CONTENT_TYPE = "application/octet-stream"
_ALIASES = {"image/apng": "image/png", "audio/x-flac": "audio/flac", "audio/x-wav": "audio/wav"}


class IncompleteCopyError(Exception):
    """Fewer or more bytes arrived than were announced."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is in a file, besides bytes: None where that was not looked for, or does not apply."""

    is_readable: bool | None = None
    width: int | None = None
    height: int | None = None
    has_audio: bool | None = None


@dataclass(frozen=True, slots=True)
class Spooled:
    """Bytes that arrived whole, on local disk, measured and sniffed; close it when done."""

    file: IO[bytes]
    size_bytes: int
    hash: str
    content_type: str
    look: Look
    thumbnail: bytes | None = None  # WebP, b"" when none can be made of it; None: nobody has tried

    def close(self) -> None:
        """Give the disk space back."""
        self.file.close()


def spool(
    chunks: Iterable[bytes],
    *,
    expected_bytes: int | None = None,
    mark: Mapping[str, object] | None = None,
    with_thumbnail: bool = False,
) -> Spooled:
    """Read a stream to disk in constant memory, hashing and counting on the way. The caller closes it.

    With a `mark`, the workflow that the file carries gives way to it. WorkflowLeftError when that is not possible;
    IncompleteCopyError when `expected_bytes` is known and not met; decoders.BusyError.
    `with_thumbnail`, one is made of a picture while it is measured.
    """
    database.release()
    count = _Count()
    file = grown(count.through(chunks))
    try:
        if expected_bytes is not None and count.size_bytes != expected_bytes:
            msg = f"{count.size_bytes} bytes arrived where {expected_bytes} were announced"
            raise IncompleteCopyError(msg)
        size, digest = count.size_bytes, count.hash
        if mark is not None and (bare := without_workflow(cast("BinaryIO", file), mark)) is not file:
            file.close()
            file, size, digest = bare, bare.seek(0, 2), hash_of(bare)
        content_type = sniff(file)
        if with_thumbnail and (found := _look_and_reduce(file, content_type)) is not None:
            look, small = found
        else:
            (content_type, look), small = _look_into(file, content_type), None
    except BaseException:
        file.close()
        raise
    return Spooled(file, size, digest, content_type, look, small)


class _Count:
    """Bytes that went by: how many, and their hash as assets have it."""

    def __init__(self) -> None:
        self._hasher, self.size_bytes = blake3(), 0

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._hasher.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    @property
    def hash(self) -> str:
        return f"blake3:{self._hasher.hexdigest()}"


def as_png(spooled: Spooled) -> Spooled:
    """The same picture as a PNG. decoders.UnusableError says why that cannot be; UndecodableError, BusyError."""
    database.release()
    with tempfile.TemporaryFile() as file:
        decoders.ask("as_png", pictures.FORMATS[spooled.content_type], spooled.file, file)
        return spool(iter(lambda: file.read(CHUNK_BYTES), b""))


def hash_of(file: IO[bytes] | File[Any]) -> str:
    """blake3:<hex> of the whole file, as assets have it; in constant memory."""
    hasher = blake3()
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        hasher.update(chunk)
    return f"blake3:{hasher.hexdigest()}"


def sniff(file: IO[bytes]) -> str:
    """The content type that the first bytes show; application/octet-stream when they show none."""
    file.seek(0)
    head = file.read(SNIFF_BYTES)
    found = _still_type(head) or filetype.guess_mime(head)
    return _ALIASES.get(found, found) if found else DEFAULT_CONTENT_TYPE


def _still_type(head: bytes) -> str | None:
    """HEIC and AVIF begin like a video; their brands tell (ISO/IEC 23008-12, 10.2; AVIF specification, 6)."""
    if head[4:8] != b"ftyp":
        return None
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4])), 4))}
    if brands & {b"avif", b"avis"}:
        return "image/avif"
    return "image/heic" if brands & {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"} else None


def _look_and_reduce(file: IO[bytes], content_type: str) -> tuple[Look, bytes] | None:
    """What is known of a picture, and its thumbnail as in `Spooled`; None where that takes more than one trip."""
    if (kind := pictures.FORMATS.get(content_type)) is None:
        return None
    with small_file() as output:
        try:
            width, height, trouble = decoders.ask("picture", kind, file, output)
        except decoders.UndecodableError:  # perhaps of the thumbnail alone
            return None
        if trouble:
            logger.warning("No thumbnail of a result (%s): %s", content_type, trouble)
        return Look(is_readable=True, width=width, height=height), b"" if trouble else output.read()


def _look_into(file: IO[bytes], content_type: str) -> tuple[str, Look]:
    """The content type, corrected by what is in a container of videos, and the rest that a decoder process finds.

    What it cannot read keeps its type, with nothing known of it. decoders.BusyError.
    """
    try:
        if (kind := pictures.FORMATS.get(content_type)) is not None:
            width, height = decoders.ask("measure", kind, file)
            return content_type, Look(is_readable=True, width=width, height=height)
        if content_type in containers.VIDEO_TYPES:
            demuxer, type_of_sound = containers.VIDEO_TYPES[content_type]
            kinds = decoders.ask("streams", demuxer, file)
            found = Look(is_readable=True, has_audio="audio" in kinds)
            return (type_of_sound if kinds == ["audio"] else content_type), found
    except decoders.UndecodableError as error:
        logger.info("A file that begins like %s cannot be read: %s", content_type, error)
        return content_type, Look(is_readable=False)
    return content_type, Look()
