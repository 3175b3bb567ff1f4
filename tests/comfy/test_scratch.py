"""Files without a name: whole whatever their size, in memory only while they are small, and none left open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from generations.comfy import scratch
from generations.comfy.scratch import grown, small_file

HERE = ("/memfd:", "/dev/shm")


def is_in_memory(file: IO[bytes]) -> bool:
    return str(Path(f"/proc/self/fd/{file.fileno()}").readlink()).startswith(HERE)


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"abc"], [b"abc", b"de"], [b"abcdefgh", b"i"], [b"abcdefghi"], [b"abc"] * 9]
)
def test_it_holds_all_bytes_and_leaves_the_memory_when_there_are_many(
    chunks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 8)
    whole = b"".join(chunks)
    with grown(chunks) as file:
        assert file.tell() == len(whole)
        file.seek(0)
        assert file.read() == whole
        assert is_in_memory(file) == (len(whole) <= 8)


def test_a_stream_that_breaks_off_leaves_nothing_open() -> None:
    def broken() -> Iterator[bytes]:
        yield b"abc"
        msg = "the server went away"
        raise OSError(msg)

    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names alone)
    with pytest.raises(OSError, match="went away"):
        grown(broken())
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_system_without_files_in_memory_has_them_on_its_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with small_file() as file:
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"abc" and not is_in_memory(file)
