"""New templates: from an imported workflow, or as a copy of another template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.files import File
from django.db import transaction
from django.utils.text import slugify

from generations.comfy.notes import Note
from generations.comfy.object_info import ObjectInfo
from generations.comfy.titles import title_from_name, without_controls
from generations.models import TemplateDraft, WorkflowTemplate
from generations.studio import covers, drafts, intake
from generations.studio.importing import Imported

if TYPE_CHECKING:
    from accounts.models import User


def create(
    user: User | None,
    imported: Imported,
    *,
    object_info: ObjectInfo | None,
    title: str = "",
    source: str = "",
    content_hash: str = "",
) -> tuple[WorkflowTemplate, list[Note]]:
    """A new template with the imported workflow as its draft, not published. Notes as in `intake.put`.

    `content_hash` is that of the file: the same file is recognised when somebody imports it again.
    """
    details = _details(imported, title=title, source=source)
    with transaction.atomic():
        WorkflowTemplate.objects.all().lock_making()
        template = WorkflowTemplate.objects.create(
            slug=free_slug(details["title"]), imported_hash=content_hash, **details
        )
        _draft, notes = intake.put(template, user, imported, object_info=object_info, source=source)
        if (cover := imported.details.get("cover")) is not None:
            # Storing is slow: not inside a transaction, which may be the caller's. A template without its picture
            # is better than none.
            transaction.on_commit(lambda: covers.set_cover(template, cover), robust=True)
    return template, notes


def _details(imported: Imported, *, title: str, source: str) -> dict[str, Any]:
    """The template's columns: with the given title, else the file's own, else one made of its name."""
    details = {name: value for name, value in imported.details.items() if name != "cover"}
    own_title = details.pop("title", "")
    found = without_controls(title) or without_controls(own_title) or title_from_name(source) or "New template"
    if not details.get("time_limit_seconds"):
        details.pop("time_limit_seconds", None)
    return {**details, "title": found[:120], "category": details.get("category", "")[:60]}


def free_slug(title: str) -> str:
    """An address made of the title that no other template has."""
    wanted = slugify(title)[:70].strip("-") or "template"
    taken = set(WorkflowTemplate.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for slug in [wanted, *(f"{wanted}-{n}" for n in range(2, len(taken) + 3))] if slug not in taken)


def duplicate(template: WorkflowTemplate, user: User) -> WorkflowTemplate:
    """A copy whose draft is what the template's studio shows. It is not published, so only admins see it."""
    draft = drafts.draft_of(template)
    with transaction.atomic():
        WorkflowTemplate.objects.all().lock_making()
        copy = _copied(template)
        TemplateDraft.objects.create(
            template=copy,
            graph=draft.graph,
            parameters=draft.parameters,
            output_nodes=draft.output_nodes,
            safety_node=draft.safety_node,
            editor=draft.editor,
            source=f"Copy of {template.title}",
            notes=draft.notes,
            changed_by=user,
        )
    if template.cover:
        with template.cover.open("rb") as file:
            covers.set_cover(copy, File(file, name=template.cover.name))
    return copy


def _copied(template: WorkflowTemplate) -> WorkflowTemplate:
    """A new row for the same audience, with a title and address of its own."""
    copy = WorkflowTemplate.objects.get(pk=template.pk)
    copy.pk = None
    copy._state.adding = True
    copy.title = f"{template.title[:110]} (copy)"
    copy.slug, copy.published_version, copy.cover = free_slug(copy.title), None, ""
    copy.imported_hash = ""  # the file is the original's
    copy.save()
    copy.groups.set(template.groups.all())
    copy.workspaces.set(template.workspaces.all())
    return copy
