"""Videos and sounds of others: few demuxers, nothing but the bytes in hand, no picture that is too large."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import av
import pytest

from generations.comfy.containers import HEAD_BYTES, demuxer_of, opened
from tests.support import bombs

FILES = Path(__file__).parent / "media"


@pytest.mark.parametrize(
    ("name", "demuxer", "kinds"),
    [
        ("tiny.mp4", "mov", {"video"}),
        ("voice_isom.m4a", "mov", {"audio"}),
        ("voice_M4A_brand.m4a", "mov", {"audio"}),
        ("recorded_in_browser.webm", "matroska", {"audio"}),
        ("voice.mka", "matroska", {"audio"}),
        ("voice.opus", "ogg", {"audio"}),
    ],
)
def test_the_first_bytes_choose_the_demuxer(name: str, demuxer: str, kinds: set[str]) -> None:
    content = (FILES / name).read_bytes()
    assert demuxer_of(content[:HEAD_BYTES]) == demuxer
    with opened(io.BytesIO(content), demuxer) as container:
        assert {stream.type for stream in container.streams} == kinds


@pytest.mark.parametrize(
    "content", [bombs.session_as_flv(45678), bombs.SDP % 45678, b"#EXTM3U\n", b"ffconcat version 1.0\n", b"FLV\x01\x05"]
)
def test_formats_that_name_other_addresses_have_no_demuxer(content: bytes) -> None:
    assert demuxer_of(content[:HEAD_BYTES]) is None


@pytest.mark.parametrize("demuxer", ["sdp", "hls", "concat", "flv", "rtsp", ""])
def test_no_other_demuxer_is_used_even_by_name(demuxer: str) -> None:
    with pytest.raises(ValueError, match="not among the demuxers"), opened(io.BytesIO(bombs.SDP % 45678), demuxer):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("said", [(64, 64), (9000, 9000)])
def test_a_frame_that_is_too_large_is_not_decoded_whatever_the_header_says(said: tuple[int, int]) -> None:
    movie = bombs.movie(bombs.png(9000, 9000), *said)  # 243 MB of pixels
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(io.BytesIO(movie), "mov") as container, pytest.raises(av.FFmpegError):
        next(container.decode(video=0))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_frame_of_usual_size_is_decoded() -> None:
    with opened(io.BytesIO(bombs.movie(bombs.png(640, 480), 640, 480)), "mov") as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (640, 480)


def test_a_decoder_that_nobody_needs_is_not_used() -> None:
    """FFmpeg has hundreds of decoders for old formats, and most of its faults are in them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("qtrle", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        for packet in [*stream.encode(av.VideoFrame(64, 64, "rgb24")), *stream.encode()]:
            container.mux(packet)
    with opened(buffer, "mov") as container, pytest.raises(av.FFmpegError):
        next(container.decode(video=0))
