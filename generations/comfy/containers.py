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
    from PIL import Image

HEAD_BYTES = 64
MAX_FRAME_PIXELS = 8192 * 4608  # 8K
POSTER_PIXELS = 512
MAX_TAGS = 10_000
TIMEOUT_SECONDS = 10.0
DEMUXERS = frozenset({"mov", "matroska", "flac", "mp3", "ogg", "wav"})
# Content types of containers that hold videos, or nothing but sound: then it is the second type.
VIDEO_TYPES = {
    "video/mp4": ("mov", "audio/mp4"),
    "video/quicktime": ("mov", "audio/mp4"),
    "video/webm": ("matroska", "audio/webm"),
    "video/x-matroska": ("matroska", "audio/x-matroska"),
}
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
    import av  # slow to load and large, and only needed for these

    av.logging.set_level(None)  # else it writes about damaged files to the log
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


def stream_kinds(file: BinaryIO, demuxer: str) -> list[str]:
    """Which of "video" and "audio" are in it. A cover picture of a sound does not count as video. av.FFmpegError."""
    import av

    with opened(file, demuxer) as container:
        cover = av.stream.Disposition.attached_pic
        return sorted({each.type for each in container.streams if not each.disposition & cover} & {"video", "audio"})


def poster(file: BinaryIO, demuxer: str) -> Image.Image:
    """The first frame, upright, at most POSTER_PIXELS wide and high. av.FFmpegError; EOFError when there is none."""
    with opened(file, demuxer) as container:
        for frame in container.decode(video=0):
            scale = min(1.0, POSTER_PIXELS / frame.width, POSTER_PIXELS / frame.height)
            width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
            small = frame.reformat(width=width, height=height, format="rgb24")
            picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it without types
            return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
    raise EOFError("There is no frame in it")


def tags(file: BinaryIO, demuxer: str) -> list[tuple[str, str]]:
    """(key in small letters, text) of the container and its streams, MAX_TAGS at most. av.FFmpegError."""
    with opened(file, demuxer) as container:
        each = [container.metadata, *(stream.metadata for stream in container.streams)]
    found = [(key.lower(), text) for tags_of_one in each for key, text in tags_of_one.items()]
    if len(found) > MAX_TAGS:
        raise ValueError(f"It has {len(found)} tags")
    return found


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"This file wants {url!r} to be opened")
