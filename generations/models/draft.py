"""What is being made of a template in the studio, and what the import of its workflow said."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from typing import Any, TypedDict

from django.conf import settings
from django.db import models

from generations.comfy.notes import Note
from generations.models.template import TemplateVersion, WorkflowTemplate
from generations.parameters.roles import with_roles


class DraftNote(TypedDict):
    """A `Note` as a draft keeps it. `id` is its own in every import; `is_checked`: an admin ticked it off."""

    id: str
    text: str
    node_id: str
    is_flag: bool
    is_checked: bool


class TemplateDraft(models.Model):
    """What is being made of a template in the studio. Users see nothing of it before it is published.

    It may be wrong in any way: whoever freezes it into a version checks it. `revision` counts the changes.
    """

    template = models.OneToOneField(WorkflowTemplate, on_delete=models.CASCADE, related_name="draft")
    graph = models.JSONField(default=dict)
    parameters = models.JSONField(default=list)
    output_nodes = models.JSONField(default=list)
    safety_node = models.CharField(max_length=200, blank=True, default="", db_default="")
    editor = models.JSONField(null=True, blank=True, help_text="What ComfyUI's editor keeps of the nodes.")
    source = models.CharField(max_length=200, blank=True, help_text="The file that the workflow came from.")
    notes = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="What its import said: [{id, text, node_id, is_flag, is_checked}].",
    )
    revision = models.PositiveIntegerField(default=0)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Draft of {self.template}"

    @property
    def flags(self) -> list[DraftNote]:
        """Notes that somebody should look at before users run the workflow."""
        return [note for note in self.notes if note["is_flag"]]

    @property
    def open_flags(self) -> list[DraftNote]:
        """Those that nobody ticked off yet."""
        return [note for note in self.flags if not note["is_checked"]]

    @property
    def remarks(self) -> list[DraftNote]:
        """The other notes, which are for information."""
        return [note for note in self.notes if not note["is_flag"]]

    def take_notes(self, notes: Iterable[Note]) -> None:
        """Those of a new import, none of them ticked off; the ones before are gone."""
        self.notes = [
            DraftNote(id=uuid.uuid4().hex, text=note, node_id=note.node_id, is_flag=note.is_flag, is_checked=False)
            for note in notes
        ]

    def tick_off(self, note_ids: Collection[str], *, is_checked: bool) -> None:
        """Whether somebody looked at what these flags say."""
        self.notes = [
            {**note, "is_checked": is_checked} if note["is_flag"] and note["id"] in note_ids else note
            for note in self.notes
        ]

    def is_like(self, version: TemplateVersion | None) -> bool:
        """True when freezing it would make that version once more."""
        return version is not None and _content(self) == _content(version)


def _content(each: TemplateDraft | TemplateVersion) -> tuple[Any, ...]:
    """What is compared. Versions from before there were roles are like drafts that spell them out."""
    return each.graph, list(with_roles(each.parameters)), each.output_nodes, each.safety_node, each.editor
