"""Workflows inside of files: one test for each way in which ComfyUI or a well-known custom node writes them."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generations.comfy.embedded import NoWorkflowError, read_embedded
from tests.support.bombs import chunk

GRAPH = {"3": {"class_type": "KSampler", "inputs": {"seed": 2**64 - 1, "text": "Häuser am Meer 海"}}}
WORKFLOW = {"nodes": [{"id": 3, "type": "KSampler"}], "links": []}
MARK = {"generation": "x", "version": 2}
TEXTS = {"prompt": json.dumps(GRAPH), "workflow": json.dumps(WORKFLOW), "comfysaas": json.dumps(MARK)}


def picture() -> Image.Image:
    return Image.new("RGB", (8, 8), "red")


def png(**extra: Any) -> bytes:
    info = PngInfo()
    for key, text in TEXTS.items():
        info.add_text(key, text, **extra)
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def png_international() -> bytes:
    info = PngInfo()
    for key, text in TEXTS.items():
        info.add_itxt(key, json.dumps(json.loads(text), ensure_ascii=False), zip=True)
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def animated_png() -> bytes:
    """ComfyUI's own chunks come behind the first frame."""
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    plain = buffer.getvalue()
    end = plain.rindex(b"IEND") - 4
    chunks = b"".join(chunk(b"comf", f"{key}\0{text}".encode()) for key, text in TEXTS.items())
    return plain[:end] + chunks + plain[end:]


def with_exif(file_format: str) -> bytes:
    exif = Image.Exif()
    for tag, (key, text) in zip((0x0110, 0x010F, 0x010E), TEXTS.items(), strict=True):
        exif[tag] = f"{key}:{text}"
    buffer = io.BytesIO()
    picture().save(buffer, file_format, exif=exif)
    return buffer.getvalue()


def jpeg_comment() -> bytes:
    exif = Image.Exif()
    together = json.dumps({key: json.loads(text) for key, text in TEXTS.items()})
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + together.encode("utf-16-be")
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def gif() -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, "GIF", comment=json.dumps({key: json.loads(text) for key, text in TEXTS.items()}).encode())
    return buffer.getvalue()


def video(container_format: str, codec: str, tags: dict[str, str], options: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format, options=options) as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec, rate=4)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_image(Image.new("RGB", (32, 32), "red"))
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return buffer.getvalue()


def mp4() -> bytes:
    return video("mp4", "mpeg4", TEXTS, {"movflags": "use_metadata_tags"})


def webm() -> bytes:
    return video("webm", "libvpx-vp9", TEXTS, {})


def mp4_with_comment() -> bytes:
    """Values are JSON texts inside of JSON."""
    return video("mp4", "mpeg4", {"comment": json.dumps(TEXTS)}, {})


def sound(container_format: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        container.metadata.update(TEXTS)
        stream = container.add_stream(codec, rate=48000)
        kind = {"flac": "s16", "libmp3lame": "s16p", "libopus": "s16"}[codec]
        frame = av.AudioFrame(format=kind, layout="stereo", samples=1152)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return buffer.getvalue()


def latent() -> bytes:
    header = json.dumps({"__metadata__": TEXTS, "latent": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    return struct.pack("<Q", len(header)) + header.encode()


def glb() -> bytes:
    model = json.dumps({"asset": {"version": "2.0", "extras": TEXTS}}).encode()
    return b"glTF" + struct.pack("<II", 2, 20 + len(model)) + struct.pack("<I", len(model)) + b"JSON" + model


def svg() -> bytes:
    together = json.dumps({key: json.loads(text) for key, text in TEXTS.items()})
    return f"<svg xmlns='http://www.w3.org/2000/svg'><metadata><![CDATA[{together}]]></metadata></svg>".encode()


FILES: dict[str, Callable[[], bytes]] = {
    "png": png,
    "png, packed": lambda: png(zip=True),
    "png, international": png_international,
    "animated png": animated_png,
    "webp": lambda: with_exif("WEBP"),
    "jpeg": lambda: with_exif("JPEG"),
    "jpeg, comment": jpeg_comment,
    "gif": gif,
    "mp4": mp4,
    "mp4, comment": mp4_with_comment,
    "webm": webm,
    "flac": lambda: sound("flac", "flac"),
    "mp3": lambda: sound("mp3", "libmp3lame"),
    "opus": lambda: sound("ogg", "libopus"),
    "latent": latent,
    "glb": glb,
    "svg": svg,
}


@pytest.mark.parametrize("name", FILES)
def test_file_gives_back_what_was_written(name: str) -> None:
    found = read_embedded(io.BytesIO(FILES[name]()))
    assert (found.prompt, found.workflow, found.extra["comfysaas"]) == (GRAPH, WORKFLOW, MARK)


def test_not_a_number_in_a_workflow_does_not_hide_it() -> None:
    info = PngInfo()
    info.add_text("prompt", '{"1": {"class_type": "A", "inputs": {"x": NaN}}}')
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    assert read_embedded(buffer).prompt == {"1": {"class_type": "A", "inputs": {"x": None}}}


@pytest.mark.slow
def test_large_workflows_are_read() -> None:
    big = {str(number): {"class_type": "A", "inputs": {"text": "x" * 1000}} for number in range(5000)}
    info = PngInfo()
    info.add_text("prompt", json.dumps(big))
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=info)
    assert read_embedded(buffer).prompt == big


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "carries no workflow"),
        (b"plain text", "carries no workflow"),
        (b"%PDF-1.7 and more", "carries no workflow"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"x") + chunk(b"IEND", b""), "a PNG without a workflow"),
        (b"\xff\xd8\xff\xe0 cut off", "a picture, but it is damaged"),
        (b"\x00\x00\x00\x18ftypmp42 cut off", "a video, but it is damaged"),
    ],
)
def test_file_without_a_workflow_says_what_it_is(content: bytes, words: str) -> None:
    with pytest.raises(NoWorkflowError, match=words):
        read_embedded(io.BytesIO(content))


@pytest.mark.slow
def test_packed_text_does_not_explode() -> None:
    bomb = zlib.compress(b"[" * 300_000_000, 9)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"prompt\0\0" + bomb) + chunk(b"IEND", b"")
    with pytest.raises(NoWorkflowError, match="more text than any workflow"):
        read_embedded(io.BytesIO(content))


def test_playlists_are_not_followed() -> None:
    """A library that guesses formats would open what a playlist names."""
    with pytest.raises(NoWorkflowError):
        read_embedded(io.BytesIO(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.floats(0, 1), st.binary(min_size=1, max_size=6), st.booleans())
@example("png", 0.0, b"\xff", True)
def test_damaged_files_are_refused_and_nothing_worse(name: str, place: float, noise: bytes, is_cut: bool) -> None:
    content = CACHE.setdefault(name, FILES[name]())
    at = int(place * len(content))
    damaged = content[:at] if is_cut else content[:at] + noise + content[at + len(noise) :]
    try:
        read_embedded(io.BytesIO(damaged))
    except NoWorkflowError as refusal:
        assert str(refusal)


CACHE: dict[str, bytes] = {}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_nothing_worse(content: bytes) -> None:
    with pytest.raises(NoWorkflowError):
        read_embedded(io.BytesIO(content))
