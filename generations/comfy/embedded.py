"""Finding the workflow that ComfyUI writes into the files that it makes.

Pictures carry it in text chunks or EXIF, videos and sounds in container tags, latents and 3D models in their headers.
Sources: nodes.py, comfy_extras/nodes_images.py, nodes_video.py, nodes_audio.py, nodes_hunyuan3d.py and
comfy_api/latest/_ui.py of ComfyUI. Nothing is believed: sizes are bounded, pixels and frames are not decoded.
"""

from __future__ import annotations

import json
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image

from generations.comfy import decoders
from generations.comfy.containers import HEAD_BYTES, demuxer_of
from generations.comfy.errors import ProtocolError
from generations.comfy.metadata import tiff
from generations.comfy.metadata.edits import Steps, read_exactly, size_of
from generations.comfy.metadata.pictures import gif_comments, riff_chunks
from generations.comfy.wire import MAX_VALUES, decode, values_in

MAX_TEXT_BYTES = 32 * 1024 * 1024
_TOO_MUCH = "This file carries more text than any workflow."
_PNG = b"\x89PNG\r\n\x1a\n"
_PREFIXED = re.compile(r"\s*(\w{1,40}):\s*(?=[{\[])", re.ASCII)
_CARRIERS = {"prompt", "workflow"}
_USER_COMMENT_ENCODINGS = {b"UNICODE\x00": "utf-16-be", b"ASCII\x00\x00\x00": "ascii", b"\x00" * 8: "utf-8"}
_STREAM_FORMATS = {"a video": ("mov", "matroska"), "a sound": ("flac", "mp3", "ogg", "wav")}

Texts = Iterator[tuple[str, str]]  # key, text as it stands in the file


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a file carries: the API graph that ran, the editor's workflow, and other JSON objects by their key.

    What is there but cannot be parsed is None, too.
    """

    prompt: object | None
    workflow: object | None
    extra: Mapping[str, object] = field(default_factory=dict)


class NoWorkflowError(ValueError):
    """The file carries no workflow; `str()` says why that may be, for the person who chose it."""


class NothingInItError(NoWorkflowError):
    """It is whole, as far as can be seen, and simply another file: a photo, a text."""


def read_embedded(file: BinaryIO) -> Embedded:
    """What the file carries, by its bytes alone. NoWorkflowError for anything else, damaged files included."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    kind, texts = _reader(head, file)
    file.seek(0)
    try:
        found = dict(_parsed(texts))
    except NoWorkflowError:
        raise
    except decoders.BusyError as error:
        raise NoWorkflowError(str(error)) from error
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise NoWorkflowError(f"This file looks like {kind}, but it is damaged or cut off.") from error
    if "prompt" not in found and "workflow" not in found:
        raise NothingInItError(_why_nothing(kind))
    prompt, workflow = found.pop("prompt", None), found.pop("workflow", None)
    if prompt is None and workflow is None:
        raise NoWorkflowError(
            f"This is {kind} with a workflow in it that cannot be read: its text is damaged or cut off. Use the "
            "original file."
        )
    return Embedded(prompt, workflow, {key: value for key, value in found.items() if isinstance(value, dict)})


def _why_nothing(kind: str) -> str:
    if not kind:
        return (
            "This kind of file carries no workflow. Use JSON from ComfyUI, or a picture, video or sound that "
            "ComfyUI saved."
        )
    return (
        f"This is {kind} without a workflow in it. ComfyUI did not make it, or what ComfyUI wrote into it was removed: "
        "messengers, image editors and uploads often do that. Use the original file."
    )


def _reader(head: bytes, file: BinaryIO) -> tuple[str, Texts]:
    """What kind of file it is, in words, and the texts in it; nothing is read before they are asked for."""
    if head.startswith(_PNG):
        return "a PNG", _png_texts(file)
    if (picture := _picture_reader(head)) is not None:
        return "a picture", picture(file)
    if (stream := demuxer_of(head)) is not None:
        kind = next(kind for kind, formats in _STREAM_FORMATS.items() if stream in formats)
        return kind, _stream_texts(file, stream)
    return _other_reader(head, file)


def _picture_reader(head: bytes) -> Callable[[BinaryIO], Texts] | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp_texts
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return _avif_texts
    return _jpeg_texts if head[:2] == b"\xff\xd8" else _gif_texts if head[:4] == b"GIF8" else None


def _other_reader(head: bytes, file: BinaryIO) -> tuple[str, Texts]:
    if head[:4] == b"glTF":
        return "a 3D model", _glb_texts(file)
    if head[8:9] == b"{" and 2 <= struct.unpack("<Q", head[:8])[0] <= MAX_TEXT_BYTES:
        return "a latent or model file", _safetensors_texts(file)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<svg", b"<?xml")):
        return "an SVG", _svg_texts(file)
    return "", iter(())


def _parsed(texts: Texts) -> Iterator[tuple[str, object]]:
    total, left = 0, MAX_VALUES
    for key, text in texts:
        total += len(text)
        left -= values_in(text)
        if total > MAX_TEXT_BYTES or left < 0:
            raise NoWorkflowError(_TOO_MUCH)
        if key == "comment":  # video custom nodes put everything into one
            value = _json(text)
            if isinstance(value, dict):
                yield from ((str(name), _json(one) if isinstance(one, str) else one) for name, one in value.items())
        elif (value := _json(text)) is not None or (key in _CARRIERS and _looks_like_json(text)):
            yield key, value


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in {"{", "[", '"'}


def _json(text: str) -> object | None:
    if not _looks_like_json(text):
        return None
    try:
        value = decode(text, max_values=MAX_VALUES)
        return decode(value, max_values=MAX_VALUES) if isinstance(value, str) else value
    except ProtocolError:
        return None


def _png_texts(file: BinaryIO) -> Texts:
    """Text chunks, before and after the pixels; animated ones have chunks of ComfyUI's own type."""
    at, steps, room = len(_PNG), Steps(), MAX_TEXT_BYTES
    file.seek(at)
    while len(header := file.read(8)) == 8:
        steps.take()
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            key, _, rest = read_exactly(file, at + 8, min(length, room + 1)).partition(b"\x00")
            text = _png_text(kind, rest, room)
            room -= max(length, len(text))
            if room < 0:
                raise NoWorkflowError(_TOO_MUCH)
            yield key.decode("latin-1"), text
        at += 12 + length
        file.seek(at)


def _png_text(kind: bytes, rest: bytes, room: int) -> str:
    if kind == b"zTXt":
        return _inflate(rest[1:], room).decode("latin-1")
    if kind == b"iTXt":
        is_packed, rest = rest[:1] == b"\x01", rest[2:]
        text = rest.split(b"\x00", 2)[-1]  # behind language and translated keyword
        return (_inflate(text, room) if is_packed else text).decode("utf-8", "replace")
    return rest.decode("latin-1") if kind == b"tEXt" else rest.decode("utf-8", "replace")


def _inflate(packed: bytes, room: int) -> bytes:
    """At most a byte more than there is room for: thirty kilobytes can become gigabytes."""
    return zlib.decompressobj().decompress(packed, room + 1)


def _jpeg_texts(file: BinaryIO) -> Texts:
    at, steps = 2, Steps()
    while True:
        steps.take()
        marker, kind, length = struct.unpack(">BBH", read_exactly(file, at, 4))
        if marker != 0xFF or kind in (0xD9, 0xDA):  # from here on come pixels
            return
        if kind == 0xFE:
            yield "comment", read_exactly(file, at + 4, length - 2).decode("utf-8", "replace")
        elif kind == 0xE1:
            yield from _exif_texts(read_exactly(file, at + 4, length - 2))
        at += 2 + length


def _webp_texts(file: BinaryIO) -> Texts:
    for kind, start, end in riff_chunks(file):
        if kind == b"EXIF":
            yield from _exif_texts(read_exactly(file, start + 8, end - start - 8))


def _gif_texts(file: BinaryIO) -> Texts:
    for comment in gif_comments(read_exactly(file, 0, min(MAX_TEXT_BYTES, size_of(file)))):
        yield "comment", comment.decode("utf-8", "replace")


def _avif_texts(file: BinaryIO) -> Texts:
    file.seek(0)
    with Image.open(file, formats=["AVIF"]) as image:
        blob = image.info.get("exif")
    if isinstance(blob, bytes):
        yield from _exif_texts(blob)


def _exif_texts(blob: bytes) -> Texts:
    """EXIF texts that begin with a key and a colon; custom nodes also use the user comment."""
    for tag, kind, value in tiff.entries(blob):
        if tag != tiff.USER_COMMENT and kind != tiff.ASCII:
            continue
        text = _exif_text(value) if tag == tiff.USER_COMMENT else value.decode("utf-8", "replace").strip("\x00")
        if text and (found := _PREFIXED.match(text)):
            yield found[1].lower(), text[found.end() :]
        elif text:
            yield "comment", text


def _exif_text(value: bytes) -> str:
    return value[8:].decode(_USER_COMMENT_ENCODINGS.get(value[:8], "utf-8"), "replace").strip("\x00")


def _stream_texts(file: BinaryIO, stream_format: str) -> Texts:
    with tempfile.TemporaryFile() as output:
        decoders.ask("tags", stream_format, file, output)
        written = output.read(MAX_TEXT_BYTES + 1)
    if len(written) > MAX_TEXT_BYTES:
        raise NoWorkflowError("This file carries more text than any workflow.")
    yield from json.loads(written)


def _safetensors_texts(file: BinaryIO) -> Texts:
    (length,) = struct.unpack("<Q", file.read(8))
    header = decode(file.read(length).decode("utf-8"), max_values=MAX_VALUES)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    for key, text in (metadata if isinstance(metadata, dict) else {}).items():
        if isinstance(text, str):
            yield key, text


def _glb_texts(file: BinaryIO) -> Texts:
    """The extras of the JSON chunk's asset; values are JSON texts, or objects already."""
    file.seek(12)
    length, kind = struct.unpack("<I4s", file.read(8))
    if kind != b"JSON" or length > MAX_TEXT_BYTES:
        return
    model = decode(file.read(length).decode("utf-8"), max_values=MAX_VALUES)
    asset = model.get("asset") if isinstance(model, dict) else None
    extras = asset.get("extras") if isinstance(asset, dict) else None
    for key, value in (extras if isinstance(extras, dict) else {}).items():
        yield key, value if isinstance(value, str) else json.dumps(value)


def _svg_texts(file: BinaryIO) -> Texts:
    """No XML parser: entities of a hostile file must not be expanded."""
    text = file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
    end = 0
    while (begin := text.find("<metadata", end)) >= 0:
        begin = text.find(">", begin) + 1
        end = text.find("</metadata>", begin)
        if not begin or end < 0:
            return
        yield "comment", text[begin:end].strip().removeprefix("<![CDATA[").removesuffix("]]>")
