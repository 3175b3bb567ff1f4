"""Latents and models (safetensors), 3D models (GLB) and SVG: the entries in their headers go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from generations.comfy.errors import ProtocolError
from generations.comfy.metadata.edits import MAX_PART_BYTES, DamagedFileError, Edit, read_exactly, size_of, unpack
from generations.comfy.wire import MAX_VALUES, decode

_SVG_END = {b"<metadata": b"</metadata>", b"<!--": b"-->"}
_SVG_STARTS = re.compile(b"<metadata|<!--")


def safetensors(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without texts; the header keeps its length, so the numbers stay where it says."""
    (length,) = unpack("<Q", file, 0)
    header = _object(read_exactly(file, 8, length))
    if "__metadata__" in header:
        metadata = {"comfysaas": mark.decode()} if mark else {}
        yield Edit(8, 8 + length, _padded({"__metadata__": metadata, **_without(header, "__metadata__")}, length))


def glb(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without extras of the file as a whole; the JSON chunk keeps its length."""
    length, kind = unpack("<II", file, 12)
    if kind != 0x4E4F534A:
        return
    model = _object(read_exactly(file, 20, length))
    asset = model.get("asset")
    if "extras" not in model and not (isinstance(asset, dict) and "extras" in asset):
        return
    bare = _without(asset, "extras") if isinstance(asset, dict) else {}
    extras = {"extras": {"comfysaas": mark.decode()}} if mark else {}
    kept = _without(model, "extras")
    if len(_dump({**kept, "asset": {**bare, **extras}})) > length:
        extras = {}
    yield Edit(20, 20 + length, _padded({**kept, "asset": {**bare, **extras}}, length))


def svg(file: BinaryIO, mark: bytes) -> Iterator[Edit]:
    """Without metadata and comments; the mark is the metadata."""
    if size_of(file) > MAX_PART_BYTES:
        raise DamagedFileError("It is too large for a drawing")
    text = read_exactly(file, 0, size_of(file))
    kept_mark = b'<metadata>{"comfysaas": ' + mark + b"}</metadata>" if mark else b""
    end = 0
    while found := _SVG_STARTS.search(text, end):
        start, closing = found.start(), _SVG_END[found[0]]
        end = text.find(closing, found.end())
        if end < 0:
            raise DamagedFileError("It ends within its metadata")
        end += len(closing)
        yield Edit(start, end, kept_mark if found[0] != b"<!--" else b"")
        kept_mark = b"" if found[0] != b"<!--" else kept_mark


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = decode(text.decode("utf-8"), max_values=MAX_VALUES)
    except (UnicodeDecodeError, ProtocolError) as error:
        raise DamagedFileError("Its header is not JSON") from error
    if not isinstance(value, dict):
        raise DamagedFileError("Its header is not an object")
    return value


def _without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name != key}


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _padded(value: dict[str, Any], length: int) -> bytes:
    text = _dump(value)
    if len(text) > length:
        raise DamagedFileError("Its header has no room")
    return text.ljust(length)
