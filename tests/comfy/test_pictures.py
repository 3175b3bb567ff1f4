"""Small copies and conversions of every kind of picture that is read."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from generations.comfy import pictures
from tests.support import bombs

STEPS = 8


@pytest.fixture(autouse=True)
def own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a decoder process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)


def gradient(mode: str, white: float) -> Image.Image:
    """Vertical bars from black to white, in that mode's own values."""
    image = Image.new(mode, (STEPS * 100, 400))
    values = [white * step / (STEPS - 1) for step in range(STEPS) for _ in range(100)]
    image.putdata((values if mode == "F" else [round(value) for value in values]) * 400)
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer


def grays(small: Image.Image) -> list[int]:
    width = small.width / STEPS
    return [small.convert("L").getpixel((round((step + 0.5) * width), small.height // 2)) for step in range(STEPS)]  # type: ignore[misc]


def deep_png(colors: int, color_type: int) -> io.BytesIO:
    """16 bits for each channel, which Pillow cannot write for more than one channel."""
    alpha = b"" if color_type in (0, 2) else b"\xff\xff"
    grays = [struct.pack(">H", round(65535 * step / (STEPS - 1))) for step in range(STEPS)]
    row = b"\0" + b"".join((gray * (colors - bool(alpha)) + alpha) * 100 for gray in grays)
    header = struct.pack(">IIBBBBB", STEPS * 100, 400, 16, color_type, 0, 0, 0)
    body = bombs.chunk(b"IHDR", header) + bombs.chunk(b"IDAT", zlib.compress(row * 400)) + bombs.chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("PNG", encoded(gradient("I;16", 65535), "PNG")),
        ("PNG", deep_png(1, 0)),
        ("PNG", deep_png(3, 2)),
        ("PNG", deep_png(2, 4)),
        ("PNG", deep_png(4, 6)),
        ("PNG", encoded(gradient("L", 255), "PNG")),
        ("TIFF", encoded(gradient("I;16", 65535), "TIFF")),
        ("TIFF", encoded(gradient("I;16B", 65535), "TIFF")),
        ("TIFF", encoded(gradient("I", 65535), "TIFF")),
        ("TIFF", encoded(gradient("I", 2**31 - 1), "TIFF")),
        ("TIFF", encoded(gradient("F", 1.0), "TIFF")),
        ("TIFF", encoded(gradient("F", 65535.0), "TIFF")),
        ("BMP", encoded(gradient("L", 255), "BMP")),
    ],
)
def test_bars_from_black_to_white_stay_bars_from_black_to_white(kind: str, file: io.BytesIO) -> None:
    found = grays(pictures.thumbnail(file, kind))
    whitest = 255 if kind != "TIFF" or found[-1] > 200 else 127  # 32 bits with a sign fill half of what 32 bits can
    wanted = [round(whitest * step / (STEPS - 1)) for step in range(STEPS)]
    assert all(abs(one - other) <= 2 for one, other in zip(found, wanted, strict=True)), found


def test_a_dark_16_bit_picture_is_not_brightened() -> None:
    small = pictures.thumbnail(encoded(gradient("I;16", 255), "PNG"), "PNG")
    assert max(grays(small)) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (5000, 3), (1025, 1023), (2000, 1500)])
def test_thumbnails_of_every_mode_and_shape_fit(mode: str, size: tuple[int, int]) -> None:
    kind = "PNG" if mode not in ("CMYK", "PA") else "TIFF"
    try:
        file = encoded(Image.new(mode, size), kind)
    except (OSError, KeyError):  # Pillow writes no such file
        return
    small = pictures.thumbnail(file, kind)
    assert small.mode in ("RGB", "RGBA")
    scale = min(1.0, 512 / size[0], 512 / size[1])
    assert all(abs(found - max(1, side * scale)) <= 1 for found, side in zip(small.size, size, strict=True))


def test_transparent_pixels_stay_transparent() -> None:
    palette = Image.new("P", (600, 600), 0)
    for file in (encoded(Image.new("RGBA", (600, 600)), "PNG"), encoded(palette, "PNG", transparency=0)):
        assert pictures.thumbnail(file, "PNG").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_thumbnails_are_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        small = pictures.thumbnail(encoded(Image.new("RGB", (800, 400)), kind, exif=exif), kind)
        assert small.size == (256, 512), kind


@pytest.mark.slow
def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    file = io.BytesIO(bombs.png(20_000, 20_000, colors=1))
    assert pictures.measure(file, "PNG") == (20_000, 20_000)
    with pytest.raises(pictures.UnusableError, match="more than 64 megapixels"):
        pictures.thumbnail(file, "PNG")
    with pytest.raises(pictures.UnusableError, match="more than 64 megapixels"):
        pictures.as_png(file, "PNG", io.BytesIO())


@pytest.mark.parametrize(
    ("mode", "kind", "wanted"),
    [("RGB", "BMP", "RGB"), ("L", "BMP", "L"), ("RGBA", "TIFF", "RGBA"), ("I;16", "TIFF", "I;16"), ("1", "TIFF", "1"),
     ("I;16B", "TIFF", "I;16"), ("CMYK", "TIFF", "RGB")],
)  # fmt: skip
def test_a_png_has_the_same_pixels_with_as_many_bits(mode: str, kind: str, wanted: str) -> None:
    source = gradient("I;16", 65535).convert("I").convert(mode) if mode == "I;16B" else gradient("L", 255).convert(mode)
    if mode == "I;16":
        source = gradient("I;16", 65535)
    target = io.BytesIO()
    pictures.as_png(encoded(source, kind), kind, target)
    with Image.open(target) as image:
        assert (image.format, image.mode, image.size) == ("PNG", wanted, source.size)
        assert image.tobytes() == source.convert(wanted).tobytes()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (encoded(Image.new("F", (8, 8)), "TIFF"), "32 bits"),
        (encoded(Image.new("L", (8, 8)), "TIFF", save_all=True, append_images=[Image.new("L", (8, 8))]), "2 pictures"),
    ],
)
def test_what_a_png_cannot_hold_is_refused_with_the_reason(file: io.BytesIO, words: str) -> None:
    with pytest.raises(pictures.UnusableError, match=words):
        pictures.as_png(file, "TIFF", io.BytesIO())
