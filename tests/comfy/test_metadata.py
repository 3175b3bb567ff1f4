"""The parts that formats keep metadata in: what is changed in place, and what damaged or hostile files cost."""

from __future__ import annotations

import io
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.comfy.metadata import boxes, headers, tiff
from generations.comfy.metadata.edits import (
    MAX_PART_BYTES,
    MAX_PARTS,
    DamagedFileError,
    Edit,
    Steps,
    edited,
    read_exactly,
    unpack,
)


def bytes_after(content: bytes, edits: list[Edit]) -> bytes:
    return b"".join(edited(io.BytesIO(content), edits))


# ------------------------------------------------------------------------------------------------ edits
def test_edits_are_made_in_the_files_order_and_the_rest_stays() -> None:
    edits = [Edit(6, 8, zeros=3), Edit(2, 4, b"new"), Edit(9, 9, b"!")]
    assert bytes_after(b"0123456789", edits) == b"01new45\0\0\0" + b"8!9"
    assert bytes_after(b"0123456789", []) == b"0123456789"


def test_what_is_read_is_there_and_no_larger_than_any_text() -> None:
    file = io.BytesIO(b"\0\0\0\7rest")
    assert unpack(">I", file, 0) == (7,)
    assert read_exactly(file, 4, 4) == b"rest"
    with pytest.raises(DamagedFileError, match="ends too early"):
        read_exactly(file, 4, 5)
    with pytest.raises(DamagedFileError, match="too large"):
        read_exactly(file, 0, MAX_PART_BYTES + 1)


def test_a_walk_through_too_many_parts_ends() -> None:
    steps = Steps()
    for _ in range(MAX_PARTS):
        steps.take()
    with pytest.raises(DamagedFileError, match="too many parts"):
        steps.take()


# ------------------------------------------------------------------------------------------------ tiff
@pytest.mark.parametrize("turned", range(1, 9))
def test_the_orientation_and_the_text_of_a_block_are_read_back(turned: int) -> None:
    block = tiff.write(b"a mark", turned)
    for written in (block, b"Exif\0\0" + block):
        assert tiff.orientation(written) == turned
        assert (tiff.IMAGE_DESCRIPTION, tiff.ASCII, b"a mark\0") in list(tiff.entries(written))
    assert tiff.write(b"", 1) == b""


@pytest.mark.parametrize("turned", [0, 9, 65535])
def test_an_orientation_that_there_is_not_is_none(turned: int) -> None:
    assert tiff.orientation(tiff.write(b"", turned)) == 1


def test_entries_that_all_name_the_same_bytes_take_no_more_than_the_block() -> None:
    entry = struct.pack(">HHII", tiff.IMAGE_DESCRIPTION, tiff.ASCII, 100_000, 0)
    block = b"MM\0*\0\0\0\x08" + struct.pack(">H", 60_000) + entry * 60_000
    values = [value for _tag, _kind, value in tiff.entries(block)]
    assert values and sum(map(len, values)) <= len(block)


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_whatever_the_bytes_an_orientation_is_one_of_eight(rest: bytes, head: bytes) -> None:
    assert tiff.orientation(head + rest) in range(1, 9)


# ------------------------------------------------------------------------------------------------ headers
def safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + b"numbers"


def test_a_header_of_tensors_keeps_its_length_and_all_but_the_texts() -> None:
    header = json.dumps({"__metadata__": {"workflow": "x" * 100}, "latent": {"data_offsets": [0, 7]}}).encode()
    content = safetensors(header)
    found = bytes_after(content, list(headers.safetensors(io.BytesIO(content), b'{"generation": "1"}')))
    assert len(found) == len(content) and found.endswith(b"numbers")
    assert json.loads(found[8 : 8 + len(header)]) == {
        "__metadata__": {"comfysaas": '{"generation": "1"}'}, "latent": {"data_offsets": [0, 7]}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b'{"__metadata__": {}}', "no room"),
        (b"[1, 2]", "not an object"),
        (b"{nonsense", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
    ],
)
def test_headers_that_cannot_be_changed_are_refused(header: bytes, words: str) -> None:
    with pytest.raises(DamagedFileError, match=words):
        list(headers.safetensors(io.BytesIO(safetensors(header)), b'{"generation": "a long mark"}'))


def test_a_drawing_loses_comments_and_gets_the_mark_once() -> None:
    content = b"<svg><!-- prompt --><metadata>a</metadata><g/><metadata>b</metadata></svg>"
    found = bytes_after(content, list(headers.svg(io.BytesIO(content), b"7")))
    assert found == b'<svg><metadata>{"comfysaas": 7}</metadata><g/></svg>'
    with pytest.raises(DamagedFileError, match="within its metadata"):
        list(headers.svg(io.BytesIO(b"<svg><!-- never ends"), b""))


# ------------------------------------------------------------------------------------------------ boxes
@pytest.mark.parametrize("size", [4, 7, 1000])
def test_a_box_ends_where_its_surroundings_end(size: int) -> None:
    with pytest.raises(DamagedFileError, match="longer than its surroundings"):
        list(boxes.mp4(io.BytesIO(struct.pack(">I4s", size, b"ftyp") + bytes(8)), b""))
