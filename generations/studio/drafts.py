"""The draft of a template: what its studio shows, changes and forgets. Admin and API call the same functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from generations.models import TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.parameters.roles import with_roles

if TYPE_CHECKING:
    from accounts.models import User


def draft_of(template: WorkflowTemplate) -> TemplateDraft:
    """What the studio shows: the draft, or one like the current version that is not saved yet. Roles are spelt out."""
    draft = TemplateDraft.objects.filter(template=template).first() or _like(template, current_version(template))
    draft.parameters = list(with_roles(draft.parameters))
    return draft


def current_version(template: WorkflowTemplate) -> TemplateVersion | None:
    """The published version, else the newest one."""
    return template.published_version or template.versions.first()


def _like(template: WorkflowTemplate, version: TemplateVersion | None) -> TemplateDraft:
    if version is None:
        return TemplateDraft(template=template)
    return TemplateDraft(
        template=template,
        graph=version.graph,
        parameters=version.parameters,
        output_nodes=version.output_nodes,
        safety_node=version.safety_node,
        editor=version.editor,
    )


def change(template: WorkflowTemplate, user: User | None, action: Callable[[TemplateDraft], None]) -> TemplateDraft:
    """Apply a change to the draft as it is now: the template's row stays locked meanwhile. Returns the draft."""
    with transaction.atomic():
        locked = WorkflowTemplate.objects.select_for_update().get(pk=template.pk)
        draft = draft_of(locked)
        action(draft)
        draft.revision += 1
        draft.changed_by = user
        draft.save()
    return draft


def tick_off(template: WorkflowTemplate, note_ids: Sequence[str] | None, *, is_checked: bool) -> TemplateDraft | None:
    """Note whether somebody checked these flags; None for all of them. Returns the draft, or None when another import
    replaced one of the flags.

    The revision stays: what would be published is the same.
    """
    with transaction.atomic():
        # The same lock as in `change`, which writes the notes as well.
        WorkflowTemplate.objects.select_for_update().get(pk=template.pk)
        draft = TemplateDraft.objects.filter(template=template).first()
        known = {flag["id"] for flag in draft.flags} if draft else set()
        if draft is None or not known.issuperset(note_ids or ()):
            return None
        draft.tick_off(known if note_ids is None else note_ids, is_checked=is_checked)
        draft.save(update_fields=["notes"])
    return draft


def restore(template: WorkflowTemplate, user: User, version: TemplateVersion) -> TemplateDraft:
    """Make an old version the draft, so that admins can change it and publish it again."""

    def action(draft: TemplateDraft) -> None:
        if draft.graph != version.graph:
            draft.take_notes(())  # they are about another workflow
        draft.graph, draft.parameters, draft.output_nodes = version.graph, version.parameters, version.output_nodes
        draft.editor, draft.safety_node = version.editor, version.safety_node
        draft.source = f"Version {version.number}"

    return change(template, user, action)


def discard(template: WorkflowTemplate) -> None:
    """Forget the draft; versions stay."""
    TemplateDraft.objects.filter(template=template).delete()
