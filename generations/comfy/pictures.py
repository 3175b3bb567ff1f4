"""Pictures of others: how large they are, small copies, and PNGs of kinds that browsers do not show.

Only a decoder process (`decoder_process.py`) calls this: what Pillow does with hostile bytes stays in there.
"""

from __future__ import annotations

import math
from typing import BinaryIO

from PIL import Image, ImageOps

# What Pillow calls the kinds that are read. ICO is left out, because it hides pictures of any size in itself.
FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
MAX_PIXELS = 64_000_000
THUMBNAIL_PIXELS = (512, 512)
STRIP_PIXELS = 1_000_000
# Decoders outside of Pillow do not tell damage from want of memory, of which this many pixels never want more.
SURE_PIXELS = 16_000_000
# The usual greatest values of modes that have none of their own: float pictures, bytes, 16 and 32 bits.
_WHITES = (1.0, 255.0, 65535.0, 2.0**32 - 1)


class UnusableError(ValueError):
    """Nothing is made of this picture; `str()` says why, for the person who chose it."""


class DamagedError(ValueError):
    """The picture's header is fine and its data is not: it is cut off, or other bytes are in it."""


def use_own_limits() -> None:
    """Pillow's guesses are switched off, for the whole process: it is confined, and every function here checks."""
    from PIL import AvifImagePlugin

    Image.MAX_IMAGE_PIXELS = None
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread's stack would count against the memory limit


def measure(file: BinaryIO, kind: str) -> tuple[int, int]:
    """(width, height) in pixels, from the header. Pillow's errors when there is none."""
    file.seek(0)
    with Image.open(file, formats=[kind]) as image:
        return image.size


def thumbnail(file: BinaryIO, kind: str) -> Image.Image:
    """At most THUMBNAIL_PIXELS, upright, RGB or RGBA. UnusableError; DamagedError when its data cannot be decoded, and
    Pillow's errors when that is not sure.
    """
    file.seek(0)
    with Image.open(file, formats=[kind]) as image:
        _check_size(image)
        image.draft("RGB", THUMBNAIL_PIXELS)
        _load(image)
        small = _reduced(image)
        small.info["exif"] = image.info.get("exif", b"")
    small.thumbnail(THUMBNAIL_PIXELS)
    return ImageOps.exif_transpose(small)


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they like
        is_sure = image.format not in ("WEBP", "AVIF") or image.width * image.height <= SURE_PIXELS
        if is_sure and "out of memory" not in str(error):  # Pillow's own decoders say so, in an OSError
            raise DamagedError(f"{type(error).__name__}: {error}"[:500]) from error
        raise


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnusableError(f"This picture has more than {MAX_PIXELS // 10**6} megapixels.")


def _reduced(image: Image.Image) -> Image.Image:
    """About twice a thumbnail's size. Strip by strip: Pillow would copy the whole picture once for each change."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    white = _white(image)
    factor = max(1, min(image.width // THUMBNAIL_PIXELS[0], image.height // THUMBNAIL_PIXELS[1]) // 2)
    rows = factor * max(1, STRIP_PIXELS // (image.width * factor))
    small = Image.new(mode, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(_with_bytes(strip, white).convert(mode).reduce(factor), (0, top // factor))
    return small


def _white(image: Image.Image) -> float:
    """The value that is white in a picture with one number of more than 8 bits for each pixel; else 0."""
    if image.mode.startswith("I;16"):
        return 65535.0
    if image.mode not in ("I", "F"):
        return 0.0
    _low, high = image.getextrema()
    if not (isinstance(high, (int, float)) and math.isfinite(high)):
        raise UnusableError("This picture has no finite brightness.")
    return next((white for white in _WHITES if high <= white), float(high))


def _with_bytes(strip: Image.Image, white: float) -> Image.Image:
    """Scaled to 8 bits: Pillow's own conversion cuts off whatever is above 255, so that all of it is white."""
    if not white:
        return strip
    scale = 255 / white
    return strip.convert("F").point(lambda value: value * scale + 0).convert("L")


def as_png(file: BinaryIO, kind: str, target: BinaryIO) -> None:
    """Write the same picture as a PNG with as many bits. UnusableError when a PNG cannot hold all that is in it."""
    file.seek(0)
    with Image.open(file, formats=[kind]) as image:
        _check_size(image)
        if (pages := getattr(image, "n_frames", 1)) > 1:
            raise UnusableError(f"This file has {pages} pictures in it. Save the one you want as a PNG.")
        if image.mode in ("I", "F"):
            raise UnusableError("This picture has 32 bits for each value. Save it with 8 or 16 bits, as a PNG.")
        picture, profile = ImageOps.exif_transpose(image), image.info.get("icc_profile")
        if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            is_deep = picture.mode.startswith("I;16")
            picture, profile = picture.convert("I;16" if is_deep else "RGB"), None
        picture.save(target, "PNG", icc_profile=profile, compress_level=1)
