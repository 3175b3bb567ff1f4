"""Small pictures for tests, as the bytes of a file."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

Color = str | int | tuple[int, ...]
Size = tuple[int, int]


def picture(kind: str = "PNG", mode: str = "RGB", *, color: Color = 0, size: Size = (40, 30), **options: Any) -> bytes:
    """A picture of one colour in that format; `options` are those of Pillow's `save`."""
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, kind, **options)
    return buffer.getvalue()


def png(color: Color = "red", *, size: Size = (16, 16), **texts: Any) -> bytes:
    """A PNG with these texts, as JSON, in its metadata."""
    return png_with({name: json.dumps(value) for name, value in texts.items()}, color=color, size=size)


def png_with(texts: dict[str, str], *, color: Color = "red", size: Size = (16, 16)) -> bytes:
    """A PNG with these texts, as they are, in its metadata."""
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    return picture(color=color, size=size, pnginfo=info)
