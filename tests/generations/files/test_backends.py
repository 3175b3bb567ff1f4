"""A disk keeps files whole."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from generations.files import spooling, storage


def test_a_file_on_disk_is_there_whole_or_not_at_all(media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(source: str, target: str) -> None:
        msg = "killed"
        raise OSError(msg)

    with closing(spooling.spool([b"new"])) as spooled:
        monkeypatch.setattr("generations.files.backends.os.replace", failing)
        with pytest.raises(OSError, match="killed"):
            storage.write("outputs/x/1.0", spooled)
    assert not [path for path in media_root.rglob("*") if path.is_file()]
