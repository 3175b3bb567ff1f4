"""What fuzzing once found stays mended, and no input of its kind costs more than its size explains."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz import replaying
from tests.fuzz.targets import TARGETS
from tests.support.bombs import chunk

PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13))
SMALL, GROWTH, TRIES = 40_000, 4, 3
# Target, beginning, what is repeated, end.
GROWING = {
    "blanks in svg": ("embedded", b"<svg><metadata>", b" ", b""),
    "many svg metadata": ("embedded", b"<svg>", b"<metadata>", b""),
    "closed svg metadata": ("stripping", b"<svg>", b"<metadata></metadata>", b"</svg>"),
    "svg comments": ("stripping", b"<svg>", b"<!--", b""),
    "small png texts": ("embedded", PNG, chunk(b"tEXt", b"a\0{}"), b""),
    "small png chunks": ("stripping", PNG, chunk(b"tEXt", b"a\0{}"), b""),
    "gif comments": ("embedded", b"GIF89a" + bytes(7), b"\x21\xfe\x01a\0", b";"),
    "gif blocks": ("stripping", b"GIF89a" + bytes(7) + b"\x21\xfe", b"\x01a", b"\0;"),
    "jpeg comments": ("embedded", b"\xff\xd8", b"\xff\xfe\0\x03a", b"\xff\xd9"),
    "jpeg pixels": ("stripping", b"\xff\xd8\xff\xda\0\x02", b"\xff\0", b"\xff\xd9"),
    "jpeg fill bytes": ("stripping", b"\xff\xd8\xff\xda\0\x02", b"\xff", b"\0"),
    "webp chunks": ("stripping", b"RIFF\xff\xff\xff\x7fWEBP", b"abcd\0\0\0\0", b""),
    "mp4 boxes": ("stripping", b"\0\0\0\x10ftypisom\0\0\0\0", b"\0\0\0\x08free", b""),
    "matroska elements": ("stripping", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff", b"\xec\x80", b""),
    "flac blocks": ("stripping", b"fLaC", b"\x01\0\0\0", b"\x81\0\0\0"),
    "id3 tags": ("stripping", b"", b"ID3\4\0\0\0\0\0\0", b""),
    "ogg pages": ("stripping", b"", b"OggS" + bytes(23), b""),
    "marks": ("embedded", b"", b'generation": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5', b""),
    "telling words": ("stripping", b"", b"class_type", b""),
    "range": ("texts", b"\1bytes=0-", b"9", b""),
    "data address": ("texts", b"\3data:", b";base64", b""),
    "cursor": ("texts", b"\0", b"MjAy", b""),
    "digits": ("bodies", b'{"inputs": {"cfg": "', b"1", b'x"}}'),
    "open lists": ("bodies", b"", b"[", b""),
    "open objects": ("bodies", b"", b'{"a":', b""),
    "escaped quotes": ("bodies", b'["', b'\\"', b""),
    "open texts": ("bodies", b"", b'"\\', b""),
    "empty lists": ("bodies", b"[", b"[],", b"[]]"),
    "unknown inputs": ("bodies", b'{"inputs": {"a": "', b"a", b'"}}'),
    "editor nodes": ("import", b'{"nodes": [', b'{"id":1,"type":"Reroute"},', b"{}]}"),
    "editor links": ("import", b'{"nodes": [], "links": [', b"[1,2,3,4,5,6],", b"[]]}"),
}


@pytest.mark.parametrize(("name", "path"), replaying.corpus(), ids=lambda each: getattr(each, "stem", each))
def test_found_inputs_are_taken_or_refused(name: str, path: Path) -> None:
    replaying.run(name, path.read_bytes())
    replaying.run(name, path.read_bytes(), is_memory_watched=True)


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name: str) -> None:
    """Otherwise changing them would test nothing but the first lines."""
    taken = [replaying.run(name, content) for content in TARGETS[name].seeds()[::5]]
    assert any(taken)


@pytest.mark.parametrize("name", GROWING)
def test_time_grows_with_the_size_and_not_with_its_square(name: str) -> None:
    target, head, unit, tail = GROWING[name]
    number = SMALL // len(unit)

    def seconds(times: int) -> float:
        content, found = head + unit * times + tail, []
        for _ in range(TRIES):
            begin = time.process_time()
            replaying.run(target, content)
            found.append(time.process_time() - begin)
        return min(found)

    seconds(1)  # whatever is loaded with the first one
    # Four times the size: linear is 4, quadratic 16, cubic 64. The constant is for what is too quick to be measured.
    assert seconds(GROWTH * number) < 2.2 * GROWTH * seconds(number) + 0.1
