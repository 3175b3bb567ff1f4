"""The workflow goes, the mark stays, and not one pixel, frame or sample changes."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from generations.comfy import stripping
from generations.comfy.embedded import NoWorkflowError, read_embedded
from generations.comfy.metadata.edits import COPY_BYTES
from generations.comfy.stripping import DamagedFileError
from tests.comfy.test_embedded import FILES, TEXTS, picture, png, video
from tests.support.bombs import chunk

PK = uuid.UUID("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
MARK = {"generation": str(PK), "template": "text-to-image", "version": 3}
SOUNDS = {"flac", "mp3", "opus", "vorbis", "wav", "wav with id3", "mp3 with old tags"}
VIDEOS = {"mp4", "mp4, comment", "webm", "mp4, fast start", "mp4, fragmented", "mov", "webm, live", "mkv, titles"}
PICTURES = {name for name in FILES if "png" in name} | {"webp", "jpeg", "jpeg, comment", "gif", "webp, animated"}


def stripped(content: bytes, mark: Any = MARK) -> bytes:
    file = io.BytesIO(content)
    return b"".join(stripping.edited(file, stripping.edits_of(file, mark)))


def titled_matroska() -> bytes:
    return video("matroska", "mpeg4", {**TEXTS, "title": TEXTS["prompt"]}, {})


def moov_first() -> bytes:
    """With the boxes in the order that lets players begin at once; FFmpeg needs a file to do that."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", options={"movflags": "use_metadata_tags+faststart"}) as container:
            container.metadata.update(TEXTS)
            stream = container.add_stream("mpeg4", rate=4)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_image(Image.new("RGB", (32, 32), "red"))
            for packet in [*stream.encode(frame), *stream.encode()]:
                container.mux(packet)
        return Path(file.name).read_bytes()


def animated_webp() -> bytes:
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{TEXTS['prompt']}"
    buffer = io.BytesIO()
    other = Image.new("RGB", (8, 8), "blue")
    picture().save(buffer, "WEBP", save_all=True, append_images=[other], exif=exif)
    return buffer.getvalue()


def sound(container_format: str, codec: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        container.metadata.update({"comment": json.dumps(TEXTS), **TEXTS})
        stream = container.add_stream(codec, rate=48000, options={"strict": "experimental"})
        frame = av.AudioFrame(format=kind, layout="stereo", samples=1152)
        for plane in frame.planes:
            plane.update(bytes(range(256)) * (plane.buffer_size // 256))
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return buffer.getvalue()


def with_id3_chunk() -> bytes:
    plain = sound("wav", "pcm_s16le", "s16")
    tag = b"id3 " + struct.pack("<I", 400) + b"ID3\4" + json.dumps(TEXTS).encode().ljust(396)[:396]
    return plain[:4] + struct.pack("<I", len(plain) - 8 + len(tag)) + plain[8:] + tag


def with_old_tags() -> bytes:
    ape = b'prompt\0{"class_type"'.ljust(64)
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(ape) + 32, 1, 0) + bytes(8)
    return FILES["mp3"]() + ape + footer + b"TAG" + b'{"class_type"'.ljust(125)


MORE: dict[str, Callable[[], bytes]] = {
    **FILES,
    "mp4, fast start": moov_first,
    "mp4, fragmented": lambda: video("mp4", "mpeg4", TEXTS, {"movflags": "use_metadata_tags+frag_keyframe+empty_moov"}),
    "mov": lambda: video("mov", "mpeg4", TEXTS, {"movflags": "use_metadata_tags"}),
    "webm, live": lambda: video("webm", "libvpx-vp9", TEXTS, {"live": "1"}),
    "mkv, titles": titled_matroska,
    "webp, animated": animated_webp,
    "vorbis": lambda: sound("ogg", "vorbis", "fltp"),
    "wav": lambda: sound("wav", "pcm_s16le", "s16"),
    "wav with id3": with_id3_chunk,
    "mp3 with old tags": with_old_tags,
}
CACHE: dict[str, bytes] = {}


def content_of(name: str) -> bytes:
    return CACHE.setdefault(name, MORE[name]())


def decoded(name: str, content: bytes) -> Any:
    """Everything that is seen or heard."""
    if name in PICTURES:
        with Image.open(io.BytesIO(content)) as image:
            frames = []
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                frames.append((image.size, image.convert("RGBA").tobytes()))
            return frames
    if name in VIDEOS | SOUNDS:
        with av.open(io.BytesIO(content), "r") as container:
            packets = [(packet.pts, packet.duration, bytes(packet)) for packet in container.demux() if packet.size]
        assert packets
        with av.open(io.BytesIO(content), "r") as container:
            shown = [bytes(plane) for frame in container.decode(container.streams[0]) for plane in frame.planes]
        assert shown
        return packets, shown
    return None


@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize("mark", [MARK, None], ids=["with a mark", "without"])
def test_workflow_goes_and_everything_else_stays(name: str, mark: Any) -> None:
    before = content_of(name)
    assert stripping.carries_workflow(io.BytesIO(before))
    after = stripped(before, mark)
    assert not stripping.carries_workflow(io.BytesIO(after))
    # FFmpeg takes old tags behind the sound for sound.
    assert decoded(name, after) == decoded(name, content_of("mp3") if name == "mp3 with old tags" else before)
    assert stripping.find_marks(io.BytesIO(after)) == ([PK] if mark else [])
    assert stripped(stripped(after, None), None) == stripped(after, None)


@pytest.mark.parametrize("name", [name for name in MORE if name not in {"wav with id3"}])
def test_mark_is_read_by_whatever_reads_workflows(name: str) -> None:
    """Put beside a workflow again, it is found under its name."""
    after = stripped(content_of(name))
    with pytest.raises(NoWorkflowError, match="without a workflow"):
        read_embedded(io.BytesIO(after))


MARKED = {name: make for name, make in FILES.items() if name not in {"png, packed", "png, international", "gif"}}


@pytest.mark.parametrize("name", MARKED)
def test_mark_of_comfyui_is_found_in_one_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ComfyUI wrote itself, in files that nobody stripped. Packed texts and a GIF's blocks are not put together:
    there the hash leads back."""
    monkeypatch.setitem(TEXTS, "comfysaas", json.dumps(MARK))
    assert stripping.find_marks(io.BytesIO(MARKED[name]())) == [PK]


def test_orientation_and_colours_of_a_photograph_stay() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = f"prompt:{TEXTS['prompt']}"
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 8)).convert("RGB").save(buffer, "JPEG", exif=exif, icc_profile=b"colours")
    with Image.open(io.BytesIO(stripped(buffer.getvalue(), None))) as image:
        assert image.info["icc_profile"] == b"colours"
        assert ImageOps.exif_transpose(image).size == (8, 16)
        assert dict(image.getexif()) == {0x0112: 6}


def test_what_follows_the_end_of_a_picture_goes() -> None:
    tail = b'PK\3\4 {"class_type": 1}'
    for name in ("png", "webp", "jpeg", "gif"):
        assert stripped(content_of(name) + tail) == stripped(content_of(name))


def test_unknown_chunks_go_and_those_that_matter_stay() -> None:
    plain = png()
    at = plain.index(b"IDAT") - 4
    odd = plain[:at] + chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"xxXx", b"secret") + plain[at:]
    after = stripped(odd)
    assert b"gAMA" in after
    assert b"secret" not in after


def test_file_without_metadata_is_left_as_it_is() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    assert stripped(buffer.getvalue()) == buffer.getvalue()
    assert stripped(b"plain text") == b"plain text"


def test_workflow_in_an_unknown_format_is_noticed() -> None:
    for content in (
        b'anything "class_type" anything',
        json.dumps({"x": '{"class_type": "A"}'}).encode(),
        '"widgets_values"'.encode("utf-16-le"),
        b"x" * (COPY_BYTES - 5) + b'"class_type"',
    ):
        assert stripping.carries_workflow(io.BytesIO(content))
    assert not stripping.carries_workflow(io.BytesIO(b"the class_type of a node"))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(MORE)), st.floats(0, 1), st.binary(min_size=1, max_size=6), st.booleans())
def test_damaged_files_are_refused_and_nothing_worse(name: str, place: float, noise: bytes, is_cut: bool) -> None:
    content = content_of(name)
    at = int(place * len(content))
    damaged = content[:at] if is_cut else content[:at] + noise + content[at + len(noise) :]
    try:
        stripped(damaged)
    except DamagedFileError as refusal:
        assert str(refusal)
