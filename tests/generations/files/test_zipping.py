"""Archives as streams: whole, of any size, and never in memory as a whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.storage import default_storage

from generations.files.zipping import CHUNK_BYTES, Streamed, stream
from tests.support.s3 import BUCKET, running_s3, storage_settings


def numbers(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * 1000


def test_an_archive_holds_what_went_in() -> None:
    members = [("a.json", [b"{}"]), ("files/b", numbers(2000)), ("empty", [])]
    whole = b"".join(stream(members))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.json", "files/b", "empty"]
        assert archive.read("files/b") == b"".join(numbers(2000))


def test_it_is_made_while_it_is_read() -> None:
    made = 0

    def counted() -> Iterator[bytes]:
        nonlocal made
        for chunk in numbers(10_000):
            made += len(chunk)
            yield chunk

    chunks = stream([("large", counted())])
    largest = max(len(next(chunks)) for _ in range(3))
    assert largest < 2 * CHUNK_BYTES
    assert made < 4 * CHUNK_BYTES


def test_a_storage_saves_it_bit_by_bit() -> None:
    archive = Streamed(stream([("a", numbers(3000))]), name="k", content_type="application/zip")
    key = default_storage.save("exports/k", archive)
    assert default_storage.size(key) == archive.written > 3_000_000
    with default_storage.open(key) as file, zipfile.ZipFile(file) as found:
        assert found.testzip() is None


@pytest.mark.s3
def test_s3_gets_it_in_parts(settings: Any) -> None:
    with running_s3() as url:
        settings.STORAGES = {**settings.STORAGES, **storage_settings(url)}
        settings.S3_BUCKET = BUCKET
        archive = Streamed(stream([("large", numbers(20_000))]), name="k", content_type="application/zip")
        key = default_storage.save("exports/k", archive)
        assert default_storage.size(key) == archive.written > 20_000_000
        with default_storage.open(key) as file, zipfile.ZipFile(file) as found:
            assert found.testzip() is None

        def failing() -> Iterator[bytes]:
            yield from numbers(20_000)
            raise LookupError

        with pytest.raises(LookupError):
            default_storage.save("exports/l", Streamed(failing(), name="l", content_type="application/zip"))
        assert not default_storage.exists("exports/l")


def test_it_reads_like_a_file_and_only_once() -> None:
    file = Streamed(iter([b"abc", b"", b"defg"]), name="k", content_type="x/y")
    assert file.read(2) == b"ab"
    assert file.read(3) == b"cde"
    assert file.read() == b"fg"
    assert file.read(5) == b""
    assert file.written == 7
    assert not file.seekable()
    for refused in (lambda: file.seek(0), file.tell):
        with pytest.raises(io.UnsupportedOperation):
            refused()
