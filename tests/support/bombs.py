"""Small files that unfold into hundreds of megabytes, or ask for something else to be opened."""

from __future__ import annotations

import io
import struct
import zlib

import av

SDP = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=video %d RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, colors: int = 3) -> bytes:
    """A black PNG of that many pixels, in about a thousandth of its bytes; `colors` 1, 3 or 4 to a pixel."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width * colors)
    packed = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[colors], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def icon(picture: bytes) -> bytes:
    """An ICO that says it holds 16 x 16 pixels, with this PNG in it."""
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22) + picture


def movie(picture: bytes, width: int, height: int) -> bytes:
    """A MOV whose only frame is this PNG, and which says that it has that many pixels."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        packet = av.Packet(picture)
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        container.mux(packet)
    return buffer.getvalue()


def session_as_flv(port: int) -> bytes:
    """A session description that passes for a Flash video, and asks for UDP from that port on."""
    return b"FLV\x01" + SDP % port
