"""Several workflow files at once: dropped, chosen, or in a ZIP. Each becomes a template, and a line in the report.

The page's script sends one file a request, so that the report grows as they are read; without it, all come in one form.
When a ZIP takes longer than a request should, the next request continues where this one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from generations.comfy.titles import presentable
from generations.models import ComfyServer
from generations.scheduling import catalogs
from generations.studio import archives, importing
from generations.studio.batches import Batch, Line, Outcome, summary

SERVER_GONE = "The server whose node types you chose is not in use any more. Reload the page and choose again."
NO_START = (
    f"“start”, the position in a ZIP to continue from, must be a number from 0 to {archives.MAX_ENTRIES:,}. "
    "Send the file again."
)
MAX_FILES = 50  # of one form
MAX_FILES_IN_ALL = 500  # that the page's script sends one after the other
SECONDS = 15.0
Upload = UploadedFile  # generic in its stubs alone


class SeveralForm(forms.Form):
    """The server whose node types the files are read with, and the position in a ZIP to continue from."""

    server = forms.ModelChoiceField(ComfyServer.objects.enabled(), required=False)
    start = forms.IntegerField(required=False, min_value=0, max_value=archives.MAX_ENTRIES)


@dataclass(slots=True)
class Report:
    """What became of the files. `read` of `total` files of the last ZIP are done: the script, which sends one file at a
    time, continues there. `left`: the names of ZIPs that took too long, and how many files of each are unread.
    """

    lines: list[Line] = field(default_factory=list)
    read: int = 0
    total: int = 0
    left: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """All in one sentence."""
        return summary(self.lines)


def are_several(request: HttpRequest) -> bool:
    """True for more than one file, for a ZIP, and for one of several that the page's script sends."""
    files = _files(request)
    return len(files) > 1 or (bool(files) and ("one_of_several" in request.POST or _is_archive(files[0])))


def read(request: HttpRequest) -> Report:
    """Make templates of all files of the request. Faults of the form itself are lines of the report, too."""
    form, files, report = SeveralForm(request.POST), _files(request), Report()
    if not form.is_valid():
        reason = SERVER_GONE if "server" in form.errors else NO_START
        report.lines += [Line(presentable(each.name or ""), Outcome.REFUSED, reason=reason) for each in files]
        return report
    if len(files) > MAX_FILES:
        reason = (
            f"You sent {len(files)} files, and at most {MAX_FILES} can be read at a time. Nothing was read: send a ZIP."
        )
        report.lines.append(Line("", Outcome.REFUSED, reason=reason))
        return report
    batch = Batch(cast("Any", request.user), catalogs.known_nodes(form.cleaned_data["server"]))
    until = time.monotonic() + SECONDS
    for file in files:
        if _is_archive(file):
            _unpack(batch, file, report, start=form.cleaned_data["start"] or 0, until=until)
        else:
            report.lines.append(batch.take(file.name or "", file.read(importing.MAX_BYTES + 1)))
    return report


def _unpack(batch: Batch, file: Upload[Any], report: Report, *, start: int, until: float) -> None:
    name = presentable(file.name or "")
    report.read = report.total = 0
    try:
        for position, total, line in batch.unpack(name, cast("BinaryIO", file.file), start=start):
            report.lines.append(line)
            report.read, report.total = position + 1, total
            if time.monotonic() >= until and total > report.read:
                report.left[name] = report.left.get(name, 0) + total - report.read
                return
    except archives.ArchiveError as error:
        report.lines.append(Line(name, Outcome.REFUSED, reason=str(error)))


def part(request: HttpRequest, report: Report) -> HttpResponse:
    """The report's new lines alone, for the page's script."""
    response = render(request, "admin/generations/_lines.html", {"lines": report.lines})
    response["X-Files-Read"], response["X-Files-Total"] = str(report.read), str(report.total)
    return response


def _files(request: HttpRequest) -> Sequence[Upload[Any]]:
    return request.FILES.getlist("file")


def _is_archive(file: Upload[Any]) -> bool:
    head = file.read(4)
    file.seek(0)
    return archives.is_archive(head)
