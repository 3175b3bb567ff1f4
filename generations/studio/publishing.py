"""Publishing: a draft is frozen into a version, and a version becomes what users run.

Every way to publish (the studio, the list of versions, the API, imports and starters) comes through `publish`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from generations.comfy.object_info import ObjectInfo
from generations.models import DraftNote, TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.parameters import demands
from generations.parameters.schema import Faults, in_sentences
from generations.scheduling import fitness
from generations.studio import checks
from generations.studio.drafts import draft_of

if TYPE_CHECKING:
    from accounts.models import User


class NotPublishableError(Exception):
    """Something keeps a template from being published; `str()` says what.

    Its kinds: DraftError and StaleDraftError (also of `freeze`), UnfitError, UncheckedError, NeverPublishedError.
    """


class DraftError(NotPublishableError):
    """The workflow or its parameters have faults. `faults`: by parameter name; "" for those of the workflow."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(in_sentences(faults))
        self.faults = faults


class StaleDraftError(NotPublishableError):
    """Somebody else changed the draft since the caller looked at it."""

    def __init__(self) -> None:
        super().__init__("Somebody else changed the draft meanwhile. Look at it again, then publish.")


class UnfitError(NotPublishableError):
    """No server can run it with its defaults: publishing it anyway needs a confirmation."""


class UncheckedError(NotPublishableError):
    """Its import raised `flags` that nobody checked yet: publishing it anyway needs a confirmation."""

    def __init__(self, flags: Sequence[DraftNote]) -> None:
        count = "is 1 thing" if len(flags) == 1 else f"are {len(flags)} things"
        super().__init__(f"There {count} to check in this workflow first.")
        self.flags = list(flags)


class NeverPublishedError(NotPublishableError):
    """The template has no version that users ever ran, so there is nothing to publish again."""

    def __init__(self) -> None:
        super().__init__("This template was never published. Publish its draft in the studio.")


def freeze(
    template: WorkflowTemplate,
    user: User | None,
    *,
    object_info: ObjectInfo | None,
    revision: int | None = None,
    note: str = "",
) -> TemplateVersion:
    """The draft as a version that can be run: the newest one if that is the same already.

    DraftError: something is wrong with it. StaleDraftError: the draft has another revision by now.
    """
    with transaction.atomic():
        locked = WorkflowTemplate.objects.select_for_update().get(pk=template.pk)
        draft = draft_of(locked)
        if revision is not None and revision != draft.revision:
            raise StaleDraftError
        _ensure_sound(draft, object_info)
        newest = locked.versions.first()
        resolved = checks.resolved_inputs(draft, newest, object_info)
        if newest is not None and draft.is_like(newest) and newest.resolved_inputs == resolved:
            return newest
        return locked.add_version(
            graph=draft.graph,
            parameters=draft.parameters,
            output_nodes=draft.output_nodes,
            safety_node=draft.safety_node,
            editor=draft.editor,
            resolved_inputs=resolved,
            created_by=user,
            note=note,
        )


def publish(
    template: WorkflowTemplate,
    version: TemplateVersion | None,
    *,
    user: User | None,
    object_info: ObjectInfo | None,
    revision: int | None = None,
    note: str = "",
    is_confirmed: bool = False,
    are_flags_accepted: bool = False,
) -> TemplateVersion:
    """Make this version what users run; None for the draft, which `freeze` makes a version of first and which is gone
    then. Returns the version.

    Refuses with DraftError; with StaleDraftError, as `freeze` does; with UnfitError unless `is_confirmed`; with
    UncheckedError unless `are_flags_accepted`. Nothing is changed then.
    """
    with transaction.atomic():
        is_draft = version is None
        if version is None:
            version = freeze(template, user, object_info=object_info, revision=revision, note=note)
        else:
            _ensure_sound(version, object_info)
        if not is_confirmed:
            _ensure_fit(version)
        if not are_flags_accepted:
            _ensure_checked(template, version)
        if note and version.note != note:
            TemplateVersion.objects.filter(pk=version.pk).update(note=note)
        template.set_published(version)
        if is_draft:
            TemplateDraft.objects.filter(template=template).delete()
    return version


def publish_again(
    template: WorkflowTemplate,
    *,
    user: User | None,
    object_info: ObjectInfo | None,
    is_confirmed: bool = False,
    are_flags_accepted: bool = False,
) -> TemplateVersion:
    """Give users back what they ran before the template was withdrawn: never a version that was only tried.

    A published template stays as it is, and nothing is asked. Refuses as `publish` does, and with NeverPublishedError.
    """
    if template.published_version is not None:
        return template.published_version
    latest = template.versions.all().latest_published()
    if latest is None:
        raise NeverPublishedError
    return publish(
        template,
        latest,
        user=user,
        object_info=object_info,
        is_confirmed=is_confirmed,
        are_flags_accepted=are_flags_accepted,
    )


def _ensure_sound(content: TemplateDraft | TemplateVersion, object_info: ObjectInfo | None) -> None:
    if found := checks.faults(content, object_info):
        raise DraftError(found)


def _ensure_fit(version: TemplateVersion) -> None:
    """UnfitError when no server can run it for users who leave its settings alone."""
    usual = demands.defaults(version.graph, version.parsed_parameters)
    if reason := fitness.Fleet.now().obstacle_as_it_is(version.needs, usual):
        raise UnfitError(reason)


def _ensure_checked(template: WorkflowTemplate, version: TemplateVersion) -> None:
    """UncheckedError when the draft has open flags and this version, which users never had, is of its workflow."""
    draft = TemplateDraft.objects.filter(template=template).first()
    if draft is not None and draft.open_flags and version.published_at is None and draft.graph == version.graph:
        raise UncheckedError(draft.open_flags)
