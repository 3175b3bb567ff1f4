"""Many workflow files at once: each becomes a template of its own, and a line in the report says what became of it."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from django.db import InterfaceError, OperationalError, models, transaction

from generations.comfy.graph import GraphError
from generations.comfy.object_info import ObjectInfo
from generations.comfy.titles import presentable
from generations.files import spooling
from generations.models import TemplateDraft, WorkflowTemplate
from generations.scheduling import fitness
from generations.studio import archives, checks, drafts, importing, making, publishing

if TYPE_CHECKING:
    from accounts.models import User

logger = logging.getLogger(__name__)
OUR_FAULT = (
    "This file could not be read because of a fault on our side, which is in the log. The others are not affected."
)
NESTED = "This is a ZIP inside a ZIP, which is not opened. Drop it by itself."


class Outcome(models.TextChoices):
    """What became of a file."""

    MADE = "made", "Made"
    KNOWN = "known", "Already here"
    SKIPPED = "skipped", "Skipped"
    REFUSED = "refused", "Refused"


@dataclass(frozen=True, slots=True)
class Options:
    """What all templates of a batch have in common.

    `is_published`: those that some server can run, and of which no note has to be looked at first, are published; the
    others stay drafts, and a note says why.
    `is_rehearsal`: nothing is kept.
    """

    is_published: bool = False
    is_rehearsal: bool = False
    tags: Sequence[str] = ()
    category: str = ""


@dataclass(slots=True)
class Line:
    """One file of the report. `template` is the one that it became, or that was made of the same file before."""

    source: str
    outcome: Outcome
    template: WorkflowTemplate | None = None
    parameters: list[str] = field(default_factory=list)  # their labels
    is_published: bool = False
    notes: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def label(self) -> str:
        """The outcome in words."""
        return str(self.outcome.label)


def summary(lines: Iterable[Line]) -> str:
    """“3 made, 1 refused.”"""
    counts = Counter(line.outcome for line in lines)
    told = [f"{counts[each]} {each.label.lower()}" for each in Outcome if counts[each]]
    return f"{', '.join(told) or 'No file'}."


class Batch:
    """Files that come in one after the other. No file stops those behind it."""

    def __init__(self, user: User | None, object_info: ObjectInfo | None, options: Options | None = None) -> None:
        self._user, self._object_info = user, object_info
        self._options = options or Options()
        self._rehearsed: dict[str, WorkflowTemplate] = {}  # by hash: a rehearsal leaves nothing to be found

    def take(self, name: str, content: bytes, *, is_chosen: bool = True) -> Line:
        """What becomes of one file. One that somebody chose is refused where others are skipped."""
        name = presentable(name)
        try:
            return self._import(name, content)
        except importing.NoWorkflowFileError as error:
            outcome = Outcome.REFUSED if is_chosen else Outcome.SKIPPED
            return Line(name, outcome, reason=str(error))
        except GraphError as error:
            return Line(name, Outcome.REFUSED, reason=str(error))
        except (OperationalError, InterfaceError):  # the database is gone: no other file would fare better
            raise
        except Exception:
            logger.exception("Importing %r failed", name)
            return Line(name, Outcome.REFUSED, reason=OUR_FAULT)

    def unpack(self, name: str, file: BinaryIO, *, start: int = 0) -> Iterator[tuple[int, int, Line]]:
        """For each file of a ZIP from that position on: its position, how many there are, what became of it.

        archives.ArchiveError: the ZIP is not read at all.
        """
        archive = archives.Archive(file)
        for entry in archive.entries(start):
            source = presentable(f"{name}/{entry.name}")
            if entry.reason:
                line = Line(source, Outcome.REFUSED, reason=entry.reason)
            elif archives.is_archive(entry.content):
                line = Line(source, Outcome.SKIPPED, reason=NESTED)
            else:
                line = self.take(source, entry.content, is_chosen=False)
            yield entry.position, len(archive), line

    def _import(self, name: str, content: bytes) -> Line:
        content_hash = spooling.hash_of(io.BytesIO(content))
        if (line := self._known(name, content_hash)) is not None:
            return line
        imported = importing.read(content, self._object_info, by=self._user)
        with transaction.atomic():
            WorkflowTemplate.objects.all().lock_making()
            if (line := self._known(name, content_hash)) is not None:  # another process was faster
                return line
            template, notes = making.create(
                self._user, imported, object_info=self._object_info, source=name, content_hash=content_hash
            )
            self._describe(template)
            draft = drafts.draft_of(template)
            labels = [each.get("label") or each["name"] for each in draft.parameters]
            line = Line(name, Outcome.MADE, template, labels, notes=[*notes])
            if self._options.is_published:
                self._publish(line, template)
            elif obstacle := _obstacle(draft):
                line.notes.append(obstacle)
            if self._options.is_rehearsal:
                self._rehearsed[content_hash] = template
                transaction.set_rollback(True)
        return line

    def _known(self, name: str, content_hash: str) -> Line | None:
        known = self._rehearsed.get(content_hash) or WorkflowTemplate.objects.all().made_from(content_hash)
        if known is None:
            return None
        return Line(name, Outcome.KNOWN, known, reason=f"“{known}” was made from the same file.")

    def _describe(self, template: WorkflowTemplate) -> None:
        tags = list(dict.fromkeys([*template.tags, *self._options.tags]))
        category = self._options.category or template.category
        if (tags, category) != (template.tags, template.category):
            template.tags, template.category = tags, category
            template.save(update_fields=["tags", "category", "updated_at"])

    def _publish(self, line: Line, template: WorkflowTemplate) -> None:
        try:
            publishing.publish(template, None, user=self._user, object_info=self._object_info)
            line.is_published = True
        except publishing.NotPublishableError as error:
            line.notes.append(f"Not published: {error}")


def _obstacle(draft: TemplateDraft) -> str:
    """Why none of the servers can run it; "" when one can, or while none has told what it has."""
    fleet, needs, usual = fitness.Fleet.now(), checks.needs_of(draft), checks.defaults_of(draft)
    if not any(report.is_known for report in fleet.report(needs)):
        return ""
    return fleet.obstacle_as_it_is(needs, usual)
