"""ZIP archives of strangers: read within limits that are checked first, each entry or the reason why not."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import pytest

from generations.studio import archives
from generations.studio.archives import Archive, ArchiveError
from tests.support.archives import zipped


def entries(content: bytes, start: int = 0) -> list[archives.Entry]:
    return list(Archive(io.BytesIO(content)).entries(start))


def test_files_come_in_their_order_and_folders_and_clutter_do_not() -> None:
    content = zipped({"a/": b"", "a/one.json": b"{}", "__MACOSX/a/._one.json": b"x", "a/.DS_Store": b"x", "two": b"2"})
    assert [(each.position, each.name, each.content) for each in entries(content)] == [
        (0, "a/one.json", b"{}"),
        (1, "two", b"2"),
    ]
    assert [each.name for each in entries(content, start=1)] == ["two"]
    assert len(Archive(io.BytesIO(content))) == 2


def test_names_that_lead_out_of_the_archive_are_nothing_but_names(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../etc/x.json", "/abs.json", "C:\\x.json"]
    assert [each.content for each in entries(zipped(dict.fromkeys(names, b"{}")))] == [b"{}"] * 3
    assert list(tmp_path.iterdir()) == []


def test_encrypted_entry_is_named_and_the_others_are_read() -> None:
    content = bytearray(zipped({"secret.json": b"{}", "open.json": b"{}"}))
    for at in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[at] |= 1
    secret, open_one = entries(bytes(content))
    assert "encrypted" in secret.reason and not secret.content
    assert open_one.content == b"{}"


def test_unusual_packing_is_named() -> None:
    assert "unusual method" in entries(zipped({"a.json": b"{}"}, zipfile.ZIP_LZMA))[0].reason


def test_damaged_entry_is_named_and_the_others_are_read() -> None:
    content = zipped({"bad.json": b"A" * 100, "good.json": b"{}"}, zipfile.ZIP_STORED).replace(b"A" * 100, b"B" * 100)
    bad, good = entries(content)
    assert "damaged" in bad.reason
    assert good.content == b"{}"


def test_entry_that_unpacks_to_more_than_it_says_is_damaged() -> None:
    content = bytearray(zipped({"bomb": bytes(10_000_000)}))
    for at in (content.index(b"PK\x03\x04") + 22, content.index(b"PK\x01\x02") + 24):
        content[at : at + 4] = struct.pack("<I", 100)
    (bomb,) = entries(bytes(content))
    assert "damaged" in bomb.reason and not bomb.content


def test_entry_beyond_the_limit_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1000)
    big, small = entries(zipped({"big": bytes(1001), "small": bytes(1000)}))
    assert "larger than" in big.reason and not big.content
    assert len(small.content) == 1000


def test_archive_that_unpacks_to_too_much_is_refused_before_anything_is_unpacked(monkeypatch: Any) -> None:
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 1999)
    with pytest.raises(ArchiveError, match="unpacks to more"):
        Archive(io.BytesIO(zipped({"a": bytes(1000), "b": bytes(1000)})))


def test_thousands_of_files_are_refused_before_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    many = zipped({f"{number}.json": b"{}" for number in range(archives.MAX_ENTRIES + 1)}, zipfile.ZIP_STORED)
    with pytest.raises(ArchiveError, match=r"2,000 files at the most"):
        Archive(io.BytesIO(many))
    huge = bytearray(zipped({"a": b""}))
    monkeypatch.setattr(zipfile, "ZipFile", None)  # is not asked
    struct.pack_into("<I", huge, huge.rindex(b"PK\x05\x06") + 12, archives.MAX_DIRECTORY_BYTES + 1)
    sixty_four = bytes(huge[: huge.rindex(b"PK\x05\x06")]) + b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18)
    for content in (bytes(huge), sixty_four):
        with pytest.raises(ArchiveError, match="files at the most"):
            Archive(io.BytesIO(content))


@pytest.mark.parametrize("cut", [5, 40, -1, -22])
def test_archive_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ArchiveError, match="cut off"):
        Archive(io.BytesIO(zipped({"a.json": b"{}"})[:cut]))


def test_anything_else_is_no_archive() -> None:
    assert archives.is_archive(zipped({})) and archives.is_archive(zipped({"a": b""}))
    assert not archives.is_archive(b"PK") and not archives.is_archive(b'{"a": 1}')
