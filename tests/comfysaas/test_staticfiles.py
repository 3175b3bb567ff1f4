"""What `collectstatic` makes of our scripts and styles."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage

from comfysaas.staticfiles import HashedStaticFiles
from tests.support.processes import ROOT

REFERENCE = re.compile(r"""(?:from|import|url\()\s*["'](\.{0,2}/?[\w./-]+)["']""")


@pytest.fixture
def collected(tmp_path: Path, settings: object) -> Path:
    """Our own static files, under their hashed names."""
    settings.STATIC_ROOT = tmp_path  # type: ignore[attr-defined]
    shutil.copytree(ROOT / "static", tmp_path, dirs_exist_ok=True)
    source = FileSystemStorage(location=ROOT / "static")
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")]
    storage = HashedStaticFiles(location=tmp_path, base_url="/static/")
    for name, _, outcome in storage.post_process({name: (source, name) for name in names}):
        assert not isinstance(outcome, Exception), name
    return tmp_path


def test_modules_and_sheets_name_each_other_by_hashes_so_that_an_upgrade_renews_them_together(collected: Path) -> None:
    found = 0
    for path in collected.rglob("*.*"):
        if not re.search(r"\.[0-9a-f]{12}\.(js|css)$", path.name):
            continue
        for reference in REFERENCE.findall(path.read_text()):
            found += 1
            assert re.search(r"\.[0-9a-f]{12}\.(js|css)$", reference), f"{path.name}: {reference}"
            assert (path.parent / reference).exists(), f"{path.name}: {reference}"
    assert found > 10
