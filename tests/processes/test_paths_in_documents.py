"""ARCHITECTURE.md and CONTRIBUTING.md name files and rooms that there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import ROOT

FOLDERS = ("accounts", "comfysaas", "docs", "generations", "requirements", "static", "tests")
PATH = re.compile(r"`([\w./-]+(?:\.(?:py|html|js|css|md|toml|json)|/))`")
NAME_IN_FILE = re.compile(r"`(\w+)`\s+(?:of|in)\s+`([\w./]+\.(?:py|html|toml))`")
NOT_THERE = {"utils.py"}  # CONTRIBUTING says so
VIEWS = re.compile(r"`([\w/]+\.py)` ((?:`\w+`(?:, )?)+)")
PLACEHOLDER = re.compile(r"(^|/)[A-Z]+(/|$)")  # such as tests/generations/ROOM


def paths() -> set[str]:
    """Every file and folder of the repository, folders with a slash behind them, all with one before them."""
    found = {f"/{path.name}" for path in ROOT.iterdir() if path.is_file()}
    for folder in FOLDERS:
        for path in [ROOT / folder, *(ROOT / folder).rglob("*")]:
            found.add(f"/{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}")
    return found


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_path_that_a_document_names_exists(document: str) -> None:
    named = [path for path in PATH.findall((ROOT / document).read_text()) if not PLACEHOLDER.search(path)]
    named = [path for path in named if not path.startswith(("/", "build/", "."))]
    assert len(named) > 20
    known = paths()
    missing = [path for path in named if not any(each.endswith(f"/{path}") for each in known)]
    assert set(missing) <= NOT_THERE


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_name_is_in_the_file_where_a_document_says_it_is(document: str) -> None:
    named = NAME_IN_FILE.findall((ROOT / document).read_text())
    assert len(named) > 4
    files = {file: [ROOT / path[1:] for path in paths() if path.endswith(f"/{file}")] for _name, file in named}
    missing = [
        f"{name} in {file}"
        for name, file in named
        if not any(re.search(rf"\b{name}\b", path.read_text()) for path in files[file])
    ]
    assert missing == []


def test_the_table_of_rooms_has_the_floors_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each.get("exhaustive"))
    contract = {name: floor for floor, layer in enumerate(reversed(layers), 1) for name in layer.split(" | ")}
    table: dict[str, int] = {}
    floor = 0
    for number, names in re.findall(
        r"^\| (\d*) ?\| (`[^|]+`) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE
    ):
        floor = int(number or floor)
        table |= {Path(name).stem: floor for name in re.findall(r"`([\w.]+)/?`", names)}
    assert table == contract


def test_the_table_of_pages_names_views_that_there_are() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Pages")[2]
    missing = []
    for file, names in VIEWS.findall(table):
        path = next(each for each in (ROOT / "generations" / file, ROOT / file) if each.exists())
        missing += [f"{file}: {name}" for name in re.findall(r"\w+", names) if f"def {name}(" not in path.read_text()]
    assert missing == []


def test_decisions_are_numbered_one_after_the_other_and_their_headings_say_so() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    assert all(file.read_text().startswith(f"# {int(file.name[:4])}. ") for file in files)
