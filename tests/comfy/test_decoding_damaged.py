"""Damaged files of every kind: decoders refuse them or make something of them, and nothing worse."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from generations.comfy import containers, decoders, pictures

MEDIA = Path(__file__).parent / "media"


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, kind)
    return buffer.getvalue()


FILES = {kind: picture(kind) for kind in pictures.FORMATS.values()} | {
    "mov": (MEDIA / "tiny.mp4").read_bytes(),
    "matroska": (MEDIA / "voice.mka").read_bytes(),
    "ogg": (MEDIA / "voice.opus").read_bytes(),
}


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
    st.floats(0.2, 1),
)
def test_damaged_files_are_refused_and_nothing_worse(kind: str, noise: list[tuple[float, bytes]], rest: float) -> None:
    content = bytearray(FILES[kind])
    for place, replacement in noise:
        # Headers are short, and what is wrong in them does the most.
        at = int(place**3 * len(content))
        content[at : at + len(replacement)] = replacement
    file = io.BytesIO(content[: int(rest * len(content))])
    for operation in (
        ("tags", "streams", "thumbnail") if kind in containers.DEMUXERS else ("measure", "picture", "thumbnail")
    ):
        with tempfile.TemporaryFile() as output:
            try:
                decoders.ask(operation, kind, file, output)
            except (decoders.UndecodableError, decoders.UnusableError):
                continue
            if operation == "thumbnail":
                with Image.open(output) as small:
                    assert max(small.size) <= 512


@pytest.mark.parametrize("kind", sorted(FILES))
def test_the_undamaged_files_are_read(kind: str) -> None:
    operation = "streams" if kind in containers.DEMUXERS else "measure"
    assert decoders.ask(operation, kind, io.BytesIO(FILES[kind]))
