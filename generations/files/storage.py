"""Where files lie: keys, writing, thumbnails, and links that only their owner gets.

Keys are ours: nothing that ComfyUI or a user named ever becomes part of a path.
"""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from blake3 import blake3
from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.utils.http import content_disposition_header

from generations import database
from generations.comfy import containers, decoders, pictures
from generations.comfy.scratch import small_file
from generations.files.helpers import Helpers
from generations.files.spooling import DEFAULT_CONTENT_TYPE, Look, Spooled, hash_of
from generations.models import Asset
from generations.models.asset import file_name

logger = logging.getLogger(__name__)

helpers = Helpers(4)
SENT_BYTES = 256 * 1024  # of a download that are in memory at a time, for as long as its reader takes
THUMBNAIL_SUFFIX = ".thumb"
# Types that a browser may show in a page of ours. Everything else (SVG, HTML, PDF, unknown) is a download.
INLINE_TYPES = frozenset(
    {
        "image/png", "image/jpeg", "image/webp", "image/gif", "image/apng", "image/avif",
        "video/mp4", "video/webm", "video/quicktime", "video/x-matroska",
        "audio/mpeg", "audio/ogg", "audio/x-flac", "audio/flac", "audio/x-wav", "audio/wav", "audio/mp4", "audio/aac",
        "audio/webm", "audio/x-matroska",
    }
)  # fmt: skip


class DamagedCopyError(Exception):
    """The storage holds other bytes than it was given."""


def output_key(generation_id: uuid.UUID, attempt: int, position: int) -> str:
    """Deterministic: copying the same output again overwrites itself, and nothing of another attempt."""
    return f"{output_prefix(generation_id)}{attempt}.{position}"


def output_prefix(generation_id: uuid.UUID) -> str:
    """What the keys of all that a generation makes begin with, whatever the attempt."""
    return f"outputs/{generation_id}/"


def frame_key(generation_id: uuid.UUID, attempt: int, number: int) -> str:
    """Where a picture waits that came over the socket, until a worker has stored it like any other output."""
    return f"{output_prefix(generation_id)}{attempt}.frame.{number}"


def upload_key(asset_id: uuid.UUID) -> str:
    """Where an uploaded input lies."""
    return f"uploads/{asset_id}"


def thumbnail_key(key: str) -> str:
    """Where the small picture of the file under `key` lies, if it has one."""
    return f"{key}{THUMBNAIL_SUFFIX}"


def write(key: str, spooled: Spooled) -> None:
    """Put the bytes under `key`, replacing what is there. Storage errors pass through.

    DamagedCopyError when the storage then holds something else.
    """
    if _put(key, spooled):
        return
    try:
        _verify(key, spooled)
    except DamagedCopyError as error:
        # Some servers keep the frame around an upload with a checksum (aws-chunked) as if it were part of the file.
        backend: Any = default_storage
        if not is_remote() or not backend.do_without_checksums(str(error)):
            raise
        _put(key, spooled)
        _verify(key, spooled)


def write_bytes(key: str, content: bytes) -> None:
    """Put these bytes under `key` without looking into them; errors as of `write`."""
    digest = f"blake3:{blake3(content).hexdigest()}"
    write(key, Spooled(io.BytesIO(content), len(content), digest, DEFAULT_CONTENT_TYPE, Look()))


def _put(key: str, spooled: Spooled) -> bool:
    """True when the server has confirmed that it holds just these bytes."""
    spooled.file.seek(0)
    content: File[bytes] = File(spooled.file, name=key)
    content.content_type = spooled.content_type  # type: ignore[attr-defined]  # django-storages reads it
    _save_exactly(key, content)
    return bool(getattr(content, "is_confirmed", False))


def _verify(key: str, spooled: Spooled) -> None:
    """Compare the length, and the hash unless the server has checked the bytes as they came in (`BucketStorage`)."""
    size = default_storage.size(key)
    if size != spooled.size_bytes:
        msg = f"The storage holds {size} bytes under {key} where {spooled.size_bytes} were written"
        raise DamagedCopyError(msg)
    backend: Any = default_storage
    if not backend.checks_uploads and _stored_hash(key) != spooled.hash:
        msg = f"The storage holds other bytes under {key} than were written"
        raise DamagedCopyError(msg)


def _stored_hash(key: str) -> str:
    with open_key(key) as file:
        return hash_of(file)


def write_thumbnail(key: str, spooled: Spooled, *, is_strict: bool = False) -> str:
    """A small WebP of a picture or a video's first frame under `key`.thumb; "" when there is none to make.

    Only a thumbnail is lost when decoding fails: that is logged, and the output itself is kept. When it `is_strict`, a
    picture that is certainly damaged is a decoders.DamagedError: no workflow can use it.
    """
    kind = _thumbnail_kind(spooled)
    if kind is None:
        return ""
    database.release()
    with small_file() as file:
        try:
            decoders.ask("thumbnail", kind, spooled.file, file)
        except (decoders.UndecodableError, decoders.UnusableError, decoders.BusyError) as error:
            if is_strict and isinstance(error, decoders.DamagedError):
                raise
            logger.warning("No thumbnail for %s (%s): %s", key, spooled.content_type, error)
            return ""
        return _save_thumbnail(key, file.read())


def _thumbnail_kind(spooled: Spooled) -> str | None:
    """The format by which a decoder reads it; None when there is no thumbnail to make. What is readable has a
    descriptor: a decoder has measured it.
    """
    if not spooled.look.is_readable:
        return None
    demuxer, _type_of_sound = containers.VIDEO_TYPES.get(spooled.content_type, (None, ""))
    return pictures.FORMATS.get(spooled.content_type) or demuxer


def keep(
    spooled: Spooled,
    *,
    key: str,
    user_id: int,
    workspace_id: int | None,
    name: str,
    asset_id: uuid.UUID | None = None,
    is_strict: bool = False,
) -> Asset:
    """Write the bytes and their thumbnail; the asset that describes them, not saved yet.

    decoders.DamagedError for a damaged picture when it `is_strict`: then nothing was written.
    """
    if is_strict:
        small = write_thumbnail(key, spooled, is_strict=True)
        write(key, spooled)
    else:
        small = _write_both(key, spooled)
    return Asset(
        id=asset_id or uuid.uuid4(),
        user_id=user_id,
        workspace_id=workspace_id,
        name=file_name(name),
        key=key,
        thumbnail_key=small,
        content_type=spooled.content_type,
        size_bytes=spooled.size_bytes,
        hash=spooled.hash,
        width=spooled.look.width,
        height=spooled.look.height,
        has_audio=spooled.look.has_audio,
    )


def _write_both(key: str, spooled: Spooled) -> str:
    """The bytes, and the thumbnail beside them; its key. Neither is still being written when this returns or raises."""
    small = partial(_write_small, key, spooled)
    takes_time = is_remote() if spooled.thumbnail is not None else _thumbnail_kind(spooled) is not None
    thumbnail = helpers.start(small) if takes_time else None
    try:
        write(key, spooled)
    except BaseException:
        if thumbnail is not None:
            thumbnail.exception()
        raise
    return thumbnail.result() if thumbnail is not None else small()


def _write_small(key: str, spooled: Spooled) -> str:
    if spooled.thumbnail is None:
        return write_thumbnail(key, spooled)
    return _save_thumbnail(key, spooled.thumbnail) if spooled.thumbnail else ""


def _save_thumbnail(key: str, small: bytes) -> str:
    content = ContentFile(small, name=thumbnail_key(key))
    content.content_type = "image/webp"  # type: ignore[attr-defined]  # django-storages reads it
    return _save_exactly(thumbnail_key(key), content)


def _save_exactly(key: str, content: File[bytes]) -> str:
    saved = default_storage.save(key, content)
    if saved != key:
        default_storage.delete(saved)
        msg = f"The storage kept {key} as {saved}: it must allow overwriting"
        raise RuntimeError(msg)
    return saved


def delete(keys: Iterable[str]) -> None:
    """Remove files; missing ones are fine."""
    for key in keys:
        if key:
            default_storage.delete(key)


def walk(prefix: str) -> Iterator[tuple[str, datetime]]:
    """Key and time of last change of everything whose key begins with `prefix`, in constant memory."""
    backend: Any = default_storage
    yield from backend.walk(prefix)


def clear(prefix: str, *, before: datetime) -> int:
    """Remove what no file is: empty folders on disk, multipart uploads in S3 that began before then and never ended."""
    backend: Any = default_storage
    cleared: int = backend.clear(prefix, before=before)
    return cleared


def open_key(key: str) -> File[Any]:
    """The file for reading, from local disk or S3. FileNotFoundError when it is gone."""
    return default_storage.open(key, "rb")


def is_remote() -> bool:
    """True when results lie in S3 and browsers fetch them there by signed links."""
    return bool(settings.S3_BUCKET)


def signed_url(key: str, *, content_type: str, download_name: str | None) -> str:
    """A link that works for SIGNED_URL_SECONDS. It fixes the content type, and the file name of a download."""
    storage: Any = storages["signing"]
    parameters = {"ResponseContentType": content_type, "ResponseContentDisposition": "inline"}
    if download_name is not None:
        parameters["ResponseContentDisposition"] = content_disposition_header(True, download_name) or "attachment"
    url: str = storage.url(key, parameters=parameters)
    return url


async def read_range(key: str, *, start: int, length: int) -> AsyncIterator[bytes]:
    """The bytes [start, start + length) in chunks, read in threads so that the event loop never waits.

    The handler has given the request's database connection back before it asks for the first one.
    """
    file = await sync_to_async(open_key, thread_sensitive=False)(key)
    try:
        await sync_to_async(file.seek, thread_sensitive=False)(start)
        while length > 0:
            chunk = await sync_to_async(file.read, thread_sensitive=False)(min(SENT_BYTES, length))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk
    finally:
        await sync_to_async(file.close, thread_sensitive=False)()
