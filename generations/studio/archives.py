"""Files in a ZIP archive that somebody sends, one at a time and in memory: nothing is unpacked to disk.

Source of the format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 and 4.4.4.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_ENTRIES = 2000
MAX_DIRECTORY_BYTES = MAX_ENTRIES * 512  # names, extra fields and comments of so many
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 512 * 1024 * 1024  # unpacked
_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")  # an archive, and one without any file
_END, _ZIP64 = b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES, _LONGEST_COMMENT = 22, 20, 65535
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_DAMAGED = "This entry of the archive is damaged or cut off."


class ArchiveError(ValueError):
    """The archive as a whole is not read; `str()` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive: its bytes, or the reason why they were not read. `position` counts from 0.

    `name` is data, whatever it looks like: "../x" leads nowhere, because nothing is written under it.
    """

    position: int
    name: str
    content: bytes = b""
    reason: str = ""


def is_archive(head: bytes) -> bool:
    """True for the first bytes of a ZIP."""
    return head.startswith(_SIGNATURES)


class Archive:
    """A ZIP whose limits were checked before anything was unpacked. ArchiveError."""

    def __init__(self, file: BinaryIO) -> None:
        _check_directory(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise ArchiveError("This ZIP archive is damaged or cut off. Make it again.") from error
        self._files = [each for each in self._zip.infolist() if not each.is_dir() and not _is_clutter(each.filename)]
        if not self._files:
            raise ArchiveError("There is no file in this ZIP archive.")
        if len(self._files) > MAX_ENTRIES:
            raise ArchiveError(_too_many())
        if sum(each.file_size for each in self._files) > MAX_TOTAL_BYTES:
            raise ArchiveError(_too_large())

    def __len__(self) -> int:
        return len(self._files)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """The files from that position on."""
        for position, info in enumerate(self._files[start:], start):
            name = info.filename
            if reason := _why_not(info):
                yield Entry(position, name, reason=reason)
                continue
            try:
                content = self._zip.read(info)  # never more than the size that was checked
            except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, struct.error):
                yield Entry(position, name, reason=_DAMAGED)
                continue
            yield Entry(position, name, content)


def _is_clutter(name: str) -> bool:
    """True for files that operating systems put into archives by themselves."""
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1] in {".DS_Store", "Thumbs.db", "desktop.ini"}


def _why_not(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 0x1:
        return "This entry is encrypted. Make the archive without a password."
    if info.compress_type not in _METHODS:
        return "This entry is packed by an unusual method. Make the archive with the usual one, Deflate."
    if info.file_size > MAX_FILE_BYTES:
        return f"This entry is larger than {MAX_FILE_BYTES // 2**20} MB. Drop the file itself."
    return ""


def _check_directory(file: BinaryIO) -> None:
    """The list of entries is read at once, and each becomes an object: its size is known before."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES - _LOCATOR_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise ArchiveError("This ZIP archive is cut off: its end is missing. Send it again.")
    entries, directory_bytes = struct.unpack_from("<HI", tail, at + 10)
    is_zip64 = tail[max(0, at - _LOCATOR_BYTES) :].startswith(_ZIP64)
    if is_zip64 or entries > 2 * MAX_ENTRIES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise ArchiveError(_too_many())


def _too_many() -> str:
    return f"This ZIP archive holds too much: {MAX_ENTRIES:,} files at the most. Make several archives of it."


def _too_large() -> str:
    return f"This ZIP archive unpacks to more than {MAX_TOTAL_BYTES // 2**20} MB. Make several archives of it."
