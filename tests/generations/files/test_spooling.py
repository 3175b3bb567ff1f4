"""Bytes on their way: whole, measured and sniffed, or refused."""

from __future__ import annotations

import io
from contextlib import closing
from typing import Any

import pytest
from PIL import Image

from generations.comfy import decoders
from generations.files import spooling
from tests.support.pictures import png


def test_a_copy_that_was_cut_off_is_refused() -> None:
    with pytest.raises(spooling.IncompleteCopyError, match="5 bytes arrived where 9 were announced"):
        spooling.spool([b"12345"], expected_bytes=9)


def test_a_picture_is_measured_and_made_small_in_one_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask = [], decoders.ask
    monkeypatch.setattr(decoders, "ask", lambda do, *rest: (asked.append(do), ask(do, *rest))[1])
    with closing(spooling.spool([png(size=(900, 600))], with_thumbnail=True)) as spooled:
        assert (spooled.look.is_readable, spooled.look.width, spooled.look.height) == (True, 900, 600)
        with Image.open(io.BytesIO(spooled.thumbnail or b"")) as small:
            assert (small.format, small.size) == ("WEBP", (512, 341))
    assert asked == ["picture"]


def test_a_picture_that_breaks_off_has_its_size_and_no_thumbnail(caplog: pytest.LogCaptureFixture) -> None:
    content = png(size=(900, 600))
    with closing(spooling.spool([content[: len(content) // 2]], with_thumbnail=True)) as spooled:
        assert (spooled.look.width, spooled.look.height, spooled.thumbnail) == (900, 600, b"")
    assert "No thumbnail" in caplog.text


def test_a_decoder_that_dies_of_the_thumbnail_has_measured_the_picture_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = decoders.ask

    def dies(do: str, *rest: Any) -> Any:
        if do == "picture":
            raise decoders.UndecodableError("The decoder died of this file")
        return ask(do, *rest)

    monkeypatch.setattr(decoders, "ask", dies)
    with closing(spooling.spool([png()], with_thumbnail=True)) as spooled:
        assert (spooled.look.width, spooled.thumbnail) == (16, None)


@pytest.mark.parametrize("content", [b"text", b"\x89PNG\r\n\x1a\nnot really"])
def test_what_is_no_picture_has_none(content: bytes) -> None:
    with closing(spooling.spool([content], with_thumbnail=True)) as spooled:
        assert not spooled.thumbnail and not spooled.look.is_readable
