"""`manage.py import_workflows`: files, folders and ZIP archives become templates, with a report."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from generations.models import WorkflowTemplate
from generations.studio.batches import Batch, Line
from tests.generations.studio.test_batches import graph
from tests.support.archives import zipped
from tests.support.factories import make_server
from tests.support.workflows import OBJECT_INFO, editor_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_server(object_info=OBJECT_INFO)
    found = tmp_path / "workflows"
    (found / "portraits").mkdir(parents=True)
    (found / ".git").mkdir()
    (found / ".git" / "x.json").write_bytes(graph("hidden"))
    (found / "portraits" / "cats.json").write_bytes(graph("cats"))
    (found / "editor.json").write_text(json.dumps(editor_workflow()))
    (found / "README.md").write_text("Read me.")
    (found / "more.zip").write_bytes(zipped({"dogs.json": graph("dogs"), "notes.txt": b"x"}))
    return found


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("import_workflows", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_folder_is_imported_with_a_report_and_again_adds_nothing(folder: Path, tmp_path: Path, staff: Any) -> None:
    report = tmp_path / "report.json"
    said = run(folder, "--owner", staff.email, "--tags", "a, b", "--category", "Ours", "--report", report)
    assert "3 made, 2 skipped." in said
    row = next(line for line in said.splitlines() if "portraits/cats.json" in line)
    assert row.startswith("Made") and "Cats (cats)" in row and "Prompt, Negative prompt" in row
    lines = json.loads(report.read_text())
    assert [(each["file"], each["outcome"]) for each in lines] == [
        ("README.md", "skipped"),
        ("editor.json", "made"),
        ("more.zip/dogs.json", "made"),
        ("more.zip/notes.txt", "skipped"),
        ("portraits/cats.json", "made"),
    ]
    assert lines[4]["template"] == {"slug": "cats", "title": "Cats"}
    assert lines[4]["parameters"][:2] == ["Prompt", "Negative prompt"] and "carries no workflow" in lines[0]["reason"]
    cats = WorkflowTemplate.objects.get(slug="cats")
    assert (cats.tags, cats.category, cats.draft.changed_by) == (["a", "b"], "Ours", staff)
    assert "3 already here, 2 skipped." in run(folder)
    assert WorkflowTemplate.objects.count() == 3


def test_dry_run_keeps_nothing(folder: Path) -> None:
    assert "3 made, 2 skipped. Nothing was kept: this was a dry run." in run(folder, "--dry-run")
    assert not WorkflowTemplate.objects.exists()


def test_publishing_is_said(folder: Path) -> None:
    said = run(folder / "editor.json", "--publish")
    assert "Published     editor.json" in said
    assert WorkflowTemplate.objects.published().count() == 1


def test_refused_files_make_it_fail_after_the_others_were_made(folder: Path) -> None:
    (folder / "broken.json").write_text('{"1": ')
    (folder / "broken.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(CommandError, match="2 of 7 files refused"):
        run(folder)
    assert WorkflowTemplate.objects.count() == 3
    with pytest.raises(CommandError, match="1 of 1 files refused"):
        run(folder / "README.md")  # somebody named it


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.json"], "there is no file or folder nowhere.json"),
        ([".", "--owner", "nobody@example.com"], "no active user"),
        ([".", "--report", "no/such/folder.json"], "cannot be written to no/such/folder.json: No such file"),
        ([".", "--server", "nothing"], "There is no server of the name nothing. Known ones: none."),
    ],
)
def test_what_is_missing_is_named_before_anything_is_read(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(*arguments)


def test_one_servers_node_types_can_be_chosen(folder: Path) -> None:
    make_server("bare", "http://127.0.0.1:2", object_info={"Nothing": {}})
    with pytest.raises(CommandError, match="1 of 1"):
        run(folder / "editor.json", "--server", "bare")
    assert "1 made." in run(folder / "editor.json", "--server", "one")


def test_no_name_steers_the_terminal_or_breaks_the_import(folder: Path) -> None:
    (folder / "a\x1b[31m\nb.json").write_bytes(graph("escaped"))
    (folder / os.fsdecode(b"\xff.json")).write_bytes(graph("not UTF-8"))
    said = run(folder)
    assert "5 made" in said and "\x1b" not in said


def test_what_may_not_be_read_is_a_refused_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "closed").mkdir()
    (folder / "no entry").mkdir()
    (folder / "no entry" / "x.json").write_bytes(graph("x"))
    real_scan, real_stat, real_open = os.scandir, Path.stat, Path.open

    def refuse(path: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    def is_within(path: Any) -> bool:
        return Path(path).parent.name == "no entry"

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) if Path(path).name == "closed" else real_scan(path))
    monkeypatch.setattr(Path, "stat", lambda path, **more: refuse(path) if is_within(path) else real_stat(path, **more))
    monkeypatch.setattr(Path, "open", lambda path, *more: refuse(path) if is_within(path) else real_open(path, *more))
    out = io.StringIO()
    with pytest.raises(CommandError, match="2 of 7 files refused"):
        call_command("import_workflows", str(folder), stdout=out)
    said = out.getvalue()
    assert "This folder cannot be read: Permission denied." in said and "closed" in said
    assert "This file cannot be read: Permission denied." in said and "no entry/x.json" in said


def test_names_that_are_not_utf8_are_in_the_report(folder: Path, tmp_path: Path) -> None:
    (folder / os.fsdecode(b"\xff.zip")).write_bytes(b"PK\x03\x04")
    report = tmp_path / "report.json"
    with pytest.raises(CommandError):
        run(folder, "--report", report)
    assert "\ufffd.zip" in [each["file"] for each in json.loads(report.read_text(encoding="utf-8"))]


def test_report_within_the_folder_is_left_out(folder: Path) -> None:
    for _ in range(2):
        said = run(folder, "--report", folder / "portraits" / ".." / "report.json")
        assert "report.json" not in said
    assert len(json.loads((folder / "report.json").read_text())) == 5


def test_being_told_to_stop_leaves_a_report(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Batch.take

    def take_and_stop(self: Batch, name: str, *args: Any, **options: Any) -> Line:
        if "cats" in name:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, name, *args, **options)

    monkeypatch.setattr(Batch, "take", take_and_stop)
    before = signal.getsignal(signal.SIGTERM)
    report = tmp_path / "report.json"
    with pytest.raises(SystemExit) as ended:
        run(folder, "--report", report)
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) == before
    assert [each["file"] for each in json.loads(report.read_text())][:2] == ["README.md", "editor.json"]


def test_pipes_and_endless_names_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CommandError, match="pipe is neither a file nor a folder"):
        run(tmp_path / "pipe")
    with pytest.raises(CommandError, match="cannot be opened: File name too long"):
        run("x" * 5000)
    assert "No file." in run(tmp_path)


def test_empty_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({}))
    with pytest.raises(CommandError, match="1 of 1 files refused"):
        run(tmp_path)
