"""Which files can be inputs, and why others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generations.comfy import decoders, pictures
from generations.files import spooling, storage

if TYPE_CHECKING:
    from generations.files.spooling import Spooled
    from generations.models import Asset

# Browsers do not show these, and the page paints masks on pictures: they become PNGs.
CONVERTED = frozenset({"image/bmp", "image/tiff"})
_USABLE = {
    "image": "PNG, JPEG, WebP, GIF, AVIF, BMP or TIFF",
    "video": "MP4, MOV, WebM or MKV",
    "audio": "MP3, WAV, FLAC, Ogg, Opus, M4A, AAC, WebM or MKA",
}
_KINDS = {"image": "image", "mask": "image", "video": "video", "audio": "audio"}  # of parameters
_NOUNS = {"image": "picture", "video": "video", "audio": "sound"}
_HEIC = (
    "This picture is a HEIC file, which ComfyUI does not read. Save it as JPEG or PNG and upload that; an iPhone "
    "takes JPEGs after Settings, Camera, Formats, Most Compatible."
)


class InvalidUploadError(Exception):
    """The uploaded file cannot be used; `str()` says why."""


def check(spooled: Spooled, *, is_medium: bool, kind: str = "") -> None:
    """InvalidUploadError when nothing can be done with the file; `is_medium`: when no workflow takes it. With the kind
    of the parameter that it is for, the reason says what that takes.
    """
    if spooled.size_bytes == 0:
        raise InvalidUploadError("The file is empty.")
    if is_medium and (reason := _why_unusable(spooled.content_type, kind)):
        raise InvalidUploadError(reason)
    look, found = spooled.look, spooled.content_type.partition("/")[0]
    if look.is_readable is False and (is_medium or found == "image"):
        raise InvalidUploadError(damaged(found))
    if look.width and look.height and look.width * look.height > pictures.MAX_PIXELS:
        raise InvalidUploadError(f"This picture has more than {pictures.MAX_PIXELS // 10**6} megapixels.")


def damaged(kind: str) -> str:
    """What is said of a picture ("image"), "video" or "audio" that cannot be read to its end."""
    return f"This {_NOUNS[kind]} is damaged or cut off. Open and save it again, then upload that."


def _why_unusable(content_type: str, kind: str = "") -> str:
    if content_type in storage.INLINE_TYPES | CONVERTED:
        return ""
    if content_type == "image/heic":
        return _HEIC
    found = content_type.partition("/")[0]
    if found in _NOUNS and _KINDS.get(kind, found) == found:
        return f"A {_NOUNS[found]} of this format ({content_type}) cannot be used. Use {_USABLE[found]}."
    return _choose(kind)


def _choose(kind: str) -> str:
    """What a parameter of this kind takes."""
    wanted = _KINDS.get(kind)
    if wanted is None:
        return "Choose a picture, a video or a sound: this file is none of them, or damaged."
    return f"Choose a {_NOUNS[wanted]}: {_USABLE[wanted]}."


def as_png(spooled: Spooled) -> Spooled:
    """The picture as a PNG. InvalidUploadError when it cannot be one; decoders.BusyError."""
    try:
        return spooling.as_png(spooled)
    except decoders.UnusableError as error:
        raise InvalidUploadError(str(error)) from error
    except decoders.UndecodableError as error:
        raise InvalidUploadError(
            "This picture is damaged, or too large to be converted. Upload it as a PNG."
        ) from error


def why_not(asset: Asset, kind: str) -> str:
    """Why a parameter of this kind ("image", "mask", "video", "audio") cannot take the file; "" when it can."""
    wanted = _KINDS[kind]
    is_video = asset.content_type.startswith("video/")
    if wanted == "audio" and is_video:  # ComfyUI's LoadAudio takes the sound out of videos
        return "This video has no sound." if asset.has_audio is False else ""
    if not asset.content_type.startswith(f"{wanted}/"):
        return f"{_choose(kind)} This file is {asset.content_type}."
    return _why_unusable(asset.content_type) if wanted == "image" else ""
