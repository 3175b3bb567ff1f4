"""`manage.py import_workflows PATH…`: makes a template of each workflow in files, folders and ZIP archives."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from generations.comfy.object_info import ObjectInfo
from generations.comfy.titles import presentable
from generations.models import ComfyServer
from generations.scheduling import catalogs
from generations.studio import archives, importing
from generations.studio.batches import Batch, Line, Options, Outcome, summary

WIDTHS = (13, 44, 36)  # of the table's columns: outcome, file, template


def _path(text: str) -> Path:
    shown, path = presentable(text), Path(text)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        msg = f"there is no file or folder {shown}"
        raise ArgumentTypeError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{shown} cannot be opened: {getattr(error, 'strerror', None) or error}"
        raise ArgumentTypeError(msg) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        msg = f"{shown} is neither a file nor a folder"
        raise ArgumentTypeError(msg)
    return path


class Command(BaseCommand):
    help = (
        "Make a template of each workflow in these files, folders and ZIP archives. A file that made a template "
        "already is passed over: running it again adds only what is new. Exits with 1 when a file was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=_path, metavar="PATH")
        parser.add_argument("--owner", metavar="EMAIL", help="Who made them, in the drafts' and versions' history.")
        parser.add_argument("--tags", default="", help="Words for all of them, separated by commas.")
        parser.add_argument("--category", default="", help="Their heading in the gallery.")
        parser.add_argument("--server", metavar="NAME", help="Read them with the node types of this server alone.")
        parser.add_argument(
            "--publish",
            action="store_true",
            help="Publish those that a server can run and that have nothing to check first; the others stay drafts.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what would become of each; keep nothing.")
        parser.add_argument("--report", type=Path, metavar="FILE", help="Write the report as JSON, too.")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = Options(
            is_published=options["publish"],
            is_rehearsal=options["dry_run"],
            tags=[word.strip()[:60] for word in options["tags"].split(",") if word.strip()],
            category=options["category"].strip()[:60],
        )
        batch = Batch(_owner(options["owner"]), _known_nodes(options["server"]), wanted)
        lines: list[Line] = []
        with _told_to_stop(), _report(options["report"], lines):
            self._import(batch, options["paths"], lines, options["report"])
        kept = " Nothing was kept: this was a dry run." if wanted.is_rehearsal else ""
        self.stdout.write(f"{summary(lines)}{kept}")
        if refused := sum(line.outcome == Outcome.REFUSED for line in lines):
            msg = f"{refused} of {len(lines)} files refused; the reasons are above."
            raise CommandError(msg)

    def _import(self, batch: Batch, paths: Iterable[Path], lines: list[Line], report: Path | None) -> None:
        self._row("", "File", "Template", "Settings for users")
        for line in itertools.chain.from_iterable(_lines(batch, path, report) for path in paths):
            lines.append(line)
            self._show(line)

    def _show(self, line: Line) -> None:
        title = f"{line.template.title} ({line.template.slug})" if line.template else ""
        self._row("Published" if line.is_published else line.label, line.source, title, ", ".join(line.parameters))
        for sentence in filter(None, [*line.reason.splitlines(), *line.notes]):
            self.stdout.write(f"{'':{WIDTHS[0]}} {_printable(sentence)}")

    def _row(self, outcome: str, *cells: str) -> None:
        *fixed, last = map(_printable, [outcome, *cells])
        padded = [f"{_brief(cell, width):{width}}" for cell, width in zip(fixed, WIDTHS, strict=True)]
        self.stdout.write(f"{' '.join(padded)} {last}".rstrip())


def _lines(batch: Batch, path: Path, report: Path | None) -> Iterator[Line]:
    """What becomes of each file at that path. Names of files in folders begin behind the folder's.

    The report that is being written is none of them.
    """
    if not path.is_dir():
        yield from _take(batch, path, path.name, is_chosen=True)
        return
    unread: list[OSError] = []
    own = os.path.realpath(report) if report else None
    for file in sorted(_files(path, unread)):
        if os.path.realpath(file) != own:
            yield from _take(batch, file, file.relative_to(path).as_posix(), is_chosen=False)
    for error in unread:
        folder = Path(error.filename).relative_to(path).as_posix()
        reason = f"This folder cannot be read: {error.strerror}."
        yield Line(presentable(path.name if folder == "." else folder), Outcome.REFUSED, reason=reason)


def _files(path: Path, unread: list[OSError]) -> Iterator[Path]:
    """What is in the folder and its folders, but for what is hidden. Folders that cannot be listed go to `unread`."""
    for folder, folders, names in os.walk(path, onerror=unread.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith(".") and _may_be_read(folder, name))


def _may_be_read(folder: str, name: str) -> bool:
    """False for pipes, devices and links that lead nowhere. Whatever cannot be known is tried, and refused then."""
    try:
        return stat.S_ISREG(Path(folder, name).stat().st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _take(batch: Batch, path: Path, name: str, *, is_chosen: bool) -> Iterator[Line]:
    shown = presentable(name)
    try:
        with path.open("rb") as file:
            if archives.is_archive(file.read(4)):
                yield from (line for _position, _total, line in batch.unpack(name, file))
                return
            file.seek(0)
            content = file.read(importing.MAX_BYTES + 1)
    except OSError as error:
        yield Line(shown, Outcome.REFUSED, reason=f"This file cannot be read: {error.strerror}.")
    except archives.ArchiveError as error:
        yield Line(shown, Outcome.REFUSED, reason=str(error))
    else:
        yield batch.take(name, content, is_chosen=is_chosen)


@contextmanager
def _report(path: Path | None, lines: list[Line]) -> Iterator[None]:
    """Writes the lines there when all is over, also after an interruption; nothing without a path.

    CommandError before anything is imported.
    """
    if path is None:
        yield
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        msg = f"The report cannot be written to {presentable(str(path))}: {error.strerror}."
        raise CommandError(msg) from error
    with file:
        try:
            yield
        finally:
            json.dump([_as_json(line) for line in lines], file, indent=2, ensure_ascii=False)


@contextmanager
def _told_to_stop() -> Iterator[None]:
    """SIGTERM ends it like Ctrl-C: what was read is in the report."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():  # others cannot set how signals are taken
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _owner(address: str | None) -> User | None:
    owner = User.objects.filter(email__iexact=address, is_active=True).first() if address else None
    if address and owner is None:
        msg = f"There is no active user with the address {address}."
        raise CommandError(msg)
    return owner


def _known_nodes(name: str | None) -> ObjectInfo | None:
    server = ComfyServer.objects.filter(name=name).first() if name else None
    if name and server is None:
        names = ", ".join(ComfyServer.objects.values_list("name", flat=True)) or "none"
        msg = f"There is no server of the name {name}. Known ones: {names}."
        raise CommandError(msg)
    return catalogs.known_nodes(server)


def _brief(text: str, width: int) -> str:
    """The end tells files apart."""
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _printable(text: str) -> str:
    """Names and titles are anybody's: none gets to steer the terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _as_json(line: Line) -> dict[str, Any]:
    template = line.template
    return {
        "file": line.source,
        "outcome": line.outcome.value,
        "template": {"slug": template.slug, "title": template.title} if template else None,
        "parameters": line.parameters,
        "is_published": line.is_published,
        "notes": line.notes,
        "reason": line.reason,
    }
