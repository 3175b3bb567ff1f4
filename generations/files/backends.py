"""Where files can lie: on a local disk, or in an S3 bucket (`buckets.py`), each with what housekeeping needs of it.

Both are Django storages. Beyond that interface they list what lies under a prefix, however much that is, and remove
what a killed process left half done.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from accounts.concurrency import aside
from generations import database

PART_SUFFIX = ".part"


class ReleasesConnections:
    """Reading and writing files is slow: who does it keeps neither a database connection nor a turn meanwhile."""

    def open(self, name: Any, mode: str = "rb") -> Any:
        """The file under this name. FileNotFoundError, and what the storage raises."""
        database.release()
        with aside():
            return super().open(name, mode)  # type: ignore[misc]  # of Django's Storage, beside which this stands

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:
        """The name that it has now."""
        database.release()
        with aside():
            return str(super().save(name, content, max_length))  # type: ignore[misc]

    def delete(self, name: str) -> None:
        """It need not be there."""
        database.release()
        with aside():
            super().delete(name)  # type: ignore[misc]


class DiskStorage(ReleasesConnections, FileSystemStorage):
    """Files appear under their name whole or not at all, also when the process is killed or the power fails."""

    checks_uploads = False

    def _save(self, name: str, content: File[Any]) -> str:
        path = Path(self.path(name))
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PART_SUFFIX}")
        try:
            with self._new(part) as file:
                for chunk in content.chunks():
                    file.write(chunk)
                file.flush()
                if self.file_permissions_mode is not None:
                    os.fchmod(file.fileno(), self.file_permissions_mode)
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        _sync(path.parent)
        return name

    def _new(self, path: Path) -> IO[bytes]:
        """A new file, opened for writing; its folder is made if need be."""
        try:
            return path.open("xb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")

    def walk(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Key and time of last change of each file whose key begins with `prefix`; unordered, constant memory."""
        folder, _, start = prefix.rpartition("/")
        yield from self._walk(folder, start)

    def _walk(self, folder: str, start: str = "") -> Iterator[tuple[str, datetime]]:
        with suppress(FileNotFoundError), os.scandir(self.path(folder)) as entries:
            for entry in entries:
                key = f"{folder}/{entry.name}"
                if not entry.name.startswith(start):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(key)
                    continue
                with suppress(FileNotFoundError):  # somebody else deleted it just now
                    yield key, datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_mtime, UTC)

    def clear(self, prefix: str, *, before: datetime) -> int:
        """Remove empty folders that nothing was written to since `before`. Returns their number."""
        folder, _, start = prefix.rpartition("/")
        cleared = 0
        with suppress(FileNotFoundError), os.scandir(self.path(folder)) as entries:
            for entry in entries:
                if not entry.name.startswith(start) or not entry.is_dir(follow_symlinks=False):
                    continue
                with suppress(OSError):  # it is not empty, or already gone
                    if entry.stat().st_mtime < before.timestamp():
                        Path(entry.path).rmdir()
                        cleared += 1
        return cleared


def _sync(path: Path) -> None:
    """Have the disk keep which names a folder holds."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
