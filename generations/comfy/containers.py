"""Opening videos and sounds that others made. Everything that reads one with FFmpeg opens it here.

FFmpeg guesses a format from the bytes and follows what it finds: text in a ".flv" can be an SDP description, for which
it binds UDP ports, and playlists or reference movies name other files and addresses. So the demuxer is one of a few,
chosen by the first bytes, and it can open nothing but the bytes in hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NoReturn

if TYPE_CHECKING:
    from av.container import InputContainer

HEAD_BYTES = 64
MAX_FRAME_PIXELS = 8192 * 4608  # 8K
TIMEOUT_SECONDS = 10.0
DEMUXERS = frozenset({"mov", "matroska", "flac", "mp3", "ogg", "wav"})
# What ComfyUI, its video nodes, cameras, phones and browsers write. FFmpeg has hundreds more, made for other times.
_DECODERS = (
    "h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mpeg4", "prores", "ffv1", "mjpeg", "png",
    "aac", "alac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis", "pcm_s16le", "pcm_s24le", "pcm_s32le",
    "pcm_f32le", "pcm_s16be",
)  # fmt: skip


def demuxer_of(head: bytes) -> str | None:
    """FFmpeg's name of the demuxer for a file that begins with these HEAD_BYTES; None when there is none to use."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    is_mp3 = head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")
    starts = {b"\x1a\x45\xdf\xa3": "matroska", b"fLaC": "flac", b"OggS": "ogg"}
    return starts.get(head[:4]) or ("mp3" if is_mp3 else None)


@contextmanager
def opened(file: BinaryIO, demuxer: str) -> Iterator[InputContainer]:
    """The container in `file`, read by that demuxer alone. av.FFmpegError when it is damaged.

    To find out about its streams FFmpeg may decode a first frame, which happens here already: pictures beyond
    MAX_FRAME_PIXELS are not decoded then, nor by the codec contexts of the container's streams.
    """
    import av  # slow to load, and only needed for these

    if demuxer not in DEMUXERS:
        raise ValueError(f"{demuxer} is not among the demuxers that may be used")
    limits = {"max_pixels": str(MAX_FRAME_PIXELS), "codec_whitelist": ",".join(_DECODERS), "threads": "1"}
    file.seek(0)
    with av.open(
        file,
        mode="r",
        format=demuxer,
        options=limits,
        container_options={"protocol_whitelist": "", "format_whitelist": ",".join(sorted(DEMUXERS))},
        timeout=TIMEOUT_SECONDS,
        io_open=_refuse,
        metadata_errors="replace",
    ) as container:
        for stream in container.streams:
            if stream.codec_context is not None:
                stream.codec_context.options = limits
        yield container


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"This file wants {url!r} to be opened")
