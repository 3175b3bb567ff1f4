"""Files without a name, which last as long as they are open.

Small ones are kept in memory where the system can give such a file a descriptor: making one on a disk costs
more than what most of them hold.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import IO, cast

IN_MEMORY_BYTES = 8 * 1024 * 1024  # of a file that grows; then it moves to the disk


def small_file() -> IO[bytes]:
    """An empty file for reading and writing, for what certainly fits into memory."""
    if not hasattr(os, "memfd_create"):
        return cast("IO[bytes]", tempfile.TemporaryFile())
    return os.fdopen(os.memfd_create("scratch"), "w+b")


def grown(chunks: Iterable[bytes]) -> IO[bytes]:
    """A file of these bytes, in memory for as long as they are few. Its position is its end. `chunks` may raise."""
    file, size = small_file(), 0
    try:
        for chunk in chunks:
            if size <= IN_MEMORY_BYTES < size + len(chunk):
                file = _moved(file)
            size += file.write(chunk)
    except BaseException:
        file.close()
        raise
    return file


def _moved(small: IO[bytes]) -> IO[bytes]:
    """The same on the disk."""
    with small:
        small.seek(0)
        large = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115  (handed to the caller)
        large.write(small.read())
    return large
