"""What lies in the storage."""

from __future__ import annotations

from contextlib import closing

from generations.files import spooling, storage


def stored(key: str) -> bytes:
    """The bytes under this key."""
    with storage.open_key(key) as file:
        return bytes(file.read())


def write(key: str, content: bytes) -> None:
    """Has them lie there."""
    with closing(spooling.spool([content])) as spooled:
        storage.write(key, spooled)
