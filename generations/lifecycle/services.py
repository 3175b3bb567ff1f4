"""What users do with generations of templates: submit, cancel, delete. Pages and API call the same functions.

Whole workflows are submitted in `raw`; `rerunning` repeats either.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts.models import Workspace
from generations.comfy.catalog import Value
from generations.comfy.graph import InputKey
from generations.files import accepting, naming
from generations.lifecycle import removal, run_values, transitions
from generations.live import publisher, snapshot
from generations.models import (
    Asset,
    Generation,
    IdempotencyKey,
    TemplateVersion,
    Webhook,
    WorkflowTemplate,
)
from generations.parameters import demands
from generations.parameters.bind import bind
from generations.parameters.schema import Parameter
from generations.parameters.validate import InvalidInputs, json_values, validate
from generations.scheduling import queue
from generations.scheduling.fitness import Fleet

if TYPE_CHECKING:
    from accounts.models import User

TEXT_LENGTH = 4000


class NotFinishedError(Exception):
    """Only a finished generation can be deleted: cancel it first."""


class CannotRunError(Exception):
    """No server can run this; `str()` says why, and what the user can do."""


class NotAllowedError(Exception):
    """This user may not run this template, or not any more; `str()` says so."""

    def __init__(self, version: TemplateVersion) -> None:
        super().__init__(
            f"You cannot run “{version.title}” any more: it was withdrawn, or it is for other groups now. "
            "Choose another template, or ask the operator for access."
        )


@dataclass(frozen=True, slots=True)
class Extras:
    """What may come along with a job. An idempotency key is used up if, and only if, the job is made."""

    idempotency_key: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    webhook: Webhook | None = None
    partner_key: str = ""

    def columns(self) -> dict[str, Any]:
        """What a generation keeps of them."""
        return {
            "metadata": dict(self.metadata),
            "webhook": self.webhook,
            "partner_key": self.partner_key or None,
        }


NOTHING = Extras()


def extras_of(
    user: User,
    *,
    workspace: Workspace | None = None,
    webhook_id: uuid.UUID | None,
    metadata: Mapping[str, str],
    idempotency_key: str = "",
    partner_key: str = "",
) -> Extras:
    """What a client sent along; InvalidInputs for a webhook that the workspace does not have (by default the user's
    own one).
    """
    webhook = None
    if webhook_id is not None:
        webhook = Webhook.objects.in_workspace(workspace or _own(user)).filter(pk=webhook_id).first()
        if webhook is None:
            raise InvalidInputs({"webhook": ["You have no webhook with this id."]})
    return Extras(idempotency_key, metadata, webhook, partner_key)


def current_version(template: WorkflowTemplate) -> TemplateVersion:
    """The version that users run. ValueError when the template is not published."""
    if template.published_version_id is None:
        msg = f"{template} is not published"
        raise ValueError(msg)
    is_loaded = WorkflowTemplate.published_version.is_cached(template)  # lists load it
    loaded = template.published_version if is_loaded else None
    version = loaded or TemplateVersion.objects.kept(template.published_version_id)
    version.template = template  # known already
    return version


def _own(user: User) -> Workspace:
    return Workspace.objects.personal_of(user)


# ---------------------------------------------------------------------------------------------- submitting
def submit(
    *,
    user: User,
    workspace: Workspace | None = None,
    version: TemplateVersion,
    inputs: Mapping[str, object],
    extras: Extras = NOTHING,
) -> Generation:
    """A durable, queued generation.

    NotAllowedError: the user may not run this version; otherwise as `submit_current`.
    """
    return submit_variations(user=user, workspace=workspace, version=version, inputs=inputs, count=1, extras=extras)[0]


def submit_variations(
    *,
    user: User,
    workspace: Workspace | None = None,
    version: TemplateVersion,
    inputs: Mapping[str, object],
    count: int,
    extras: Extras = NOTHING,
    kept: Mapping[InputKey, str] | None = None,
) -> list[Generation]:
    """Several of them, as `submit_current`. `kept`: what texts became in the run that is repeated. NotAllowedError."""
    workspace = workspace or _own(user)
    if not version.may_be_run_by(user, workspace):
        raise NotAllowedError(version)
    return _submit(user, workspace, version, inputs, count, extras=extras, kept=kept)


def submit_current(
    *,
    user: User,
    workspace: Workspace | None = None,
    template: WorkflowTemplate,
    inputs: Mapping[str, object],
    count: int = 1,
    extras: Extras = NOTHING,
) -> list[Generation]:
    """As many durable, queued generations of what is published, all or none: with seeds and texts drawn for each, or
    seeds counting up from the given ones. `template` was found among those that the user may run (`visible_to`).
    They belong to the `workspace`, which is by default the user's own.

    InvalidInputs names every field that is wrong, and `count` for several of a template for which nothing is drawn:
    they would be all alike; CannotRunError: no server has its nodes or models; queue.QueueFullError: the user's plan
    lets no more wait; StorageFullError: there is no room for results; KeyReuseError.
    """
    return _submit(user, workspace or _own(user), current_version(template), inputs, count, extras=extras)


def _submit(
    user: User,
    workspace: Workspace,
    version: TemplateVersion,
    inputs: Mapping[str, object],
    count: int,
    *,
    extras: Extras,
    kept: Mapping[InputKey, str] | None = None,
) -> list[Generation]:
    ensure_unused(user, extras)
    fleet = Fleet.now()
    prepared = _prepare(user, workspace, version, inputs, count, fleet)
    file_ids = {each.pk for each in prepared.files.values()}
    return enqueue(user, workspace, lambda: prepared.rows(count, kept, extras), file_ids, extras, fleet)


def ensure_unused(user: User, extras: Extras) -> None:
    """KeyReuseError already now, before work is put into a request that would be refused at its end."""
    if extras.idempotency_key:
        IdempotencyKey.objects.ensure_unused(user, extras.idempotency_key)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all runs of one submission have in common. `files`: by parameter; `model_files`: see Generation."""

    user: User
    workspace: Workspace
    version: TemplateVersion
    parameters: Sequence[Parameter]
    values: Mapping[str, Any]
    files: Mapping[str, Asset]
    model_files: Sequence[Value]
    text: str

    def rows(self, count: int, kept: Mapping[InputKey, str] | None, extras: Extras) -> list[Generation]:
        """One for each run, not saved yet, with the seeds and texts that are drawn for it. See `RunValues.for_runs`."""
        names = {name: asset.name for name, asset in self.files.items()}
        own = run_values.RunValues(self.user, self.version, self.parameters, self.values, names, kept)
        return [
            Generation(
                user=self.user,
                workspace=self.workspace,
                version=self.version,
                inputs=json_values(self.parameters, values),
                resolved=resolved,
                model_files=self.model_files,
                text=self.text,
                **extras.columns(),
            )
            for values, resolved in own.for_runs(count)
        ]


def _prepare(  # noqa: PLR0917
    user: User,
    workspace: Workspace,
    version: TemplateVersion,
    inputs: Mapping[str, object],
    count: int,
    fleet: Fleet,
) -> Prepared:
    """Everything that can be known before the runs get in line. Nothing is written or locked for it.

    InvalidInputs, CannotRunError.
    """
    parameters = fleet.current_parameters(version)
    values = validate(parameters, inputs)
    if reading := fleet.once(("read as files", version.pk), lambda: _read_as_files(version, fleet)):
        naming.refuse_names(version.graph, reading, values)
    if count > 1 and run_values.draws_alike(version, parameters, values):
        raise InvalidInputs(
            {"count": ["Neither a seed nor one of {several|words} is drawn: all results would be alike."]}
        )
    files = _files_among(workspace, parameters, values)
    model_files = _model_files(version, parameters, values, fleet)
    texts = (str(values[each.name]) for each in parameters if each.type in {"text", "string"})
    return Prepared(user, workspace, version, parameters, values, files, model_files, searchable(texts))


def _read_as_files(version: TemplateVersion, fleet: Fleet) -> tuple[Parameter, ...]:
    return naming.read_as_files(version.graph, version.parsed_parameters, fleet.known_nodes())


def searchable(texts: Iterable[str]) -> str:
    """What `Generation.text` keeps of them."""
    return " ".join(texts).casefold()[:TEXT_LENGTH]


def _model_files(
    version: TemplateVersion, parameters: Sequence[Parameter], values: Mapping[str, Any], fleet: Fleet
) -> list[Value]:
    """What this run demands of a server beyond its version. CannotRunError when no server has all that it needs."""
    media = {parameter.name: "upload" for parameter in parameters if parameter.is_media}
    others = {each.name: values[each.name] for each in parameters if each.type != "seed"}  # those have no number yet
    needed = demands.chosen_values(bind(version.graph, parameters, others, media=media), parameters)
    if reason := fleet.verdict(version, needed).why_not:
        raise CannotRunError(reason)
    return needed


def _files_among(workspace: Workspace, parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Asset]:
    """The files among the values, by parameter; InvalidInputs when one is not there or of the wrong kind."""
    wanted = {p.name: p.type for p in parameters if p.is_media and values.get(p.name)}
    if not wanted:
        return {}
    ids = {name: uuid.UUID(str(values[name])) for name in wanted}
    found = Asset.objects.in_workspace(workspace).in_bulk(list(ids.values()))
    errors = {}
    for name, kind in wanted.items():
        asset = found.get(ids[name])
        if asset is None:
            errors[name] = ["You have no file with this id. Upload it again."]
        elif reason := accepting.why_not(asset, kind):
            errors[name] = [reason]
    if errors:
        raise InvalidInputs(errors)
    return {name: found[pk] for name, pk in ids.items()}


def enqueue(  # noqa: PLR0917
    user: User,
    workspace: Workspace,
    make: Callable[[], list[Generation]],
    file_ids: Collection[uuid.UUID],
    extras: Extras,
    fleet: Fleet,
) -> list[Generation]:
    """Make these generations, which need these files, and get all of them in line, or none.

    `make` returns rows that are not saved yet; it is called while nobody else submits anything in this workspace.
    StorageFullError: there is no room for results; InvalidInputs: a file was deleted meanwhile; queue.QueueFullError;
    KeyReuseError.
    """
    with transaction.atomic():
        if extras.idempotency_key:
            IdempotencyKey.objects.claim(user, extras.idempotency_key)
        if file_ids:
            _lock_files(workspace, file_ids)
        line = queue.Line(workspace, user)
        line.ensure_room_for_results()
        rows = make()
        is_in_line = line.enter(rows, fleet)
        if file_ids:
            uses = Generation.input_assets.through
            uses.objects.bulk_create([uses(generation=row, asset_id=pk) for row in rows for pk in file_ids])
        # Described after the commit, so that the user's line is locked for a shorter time. What fails there fails
        # nothing else: the rows are safe, and who watches asks again.
        transaction.on_commit(lambda: _announce(workspace, rows, line, is_in_line=is_in_line), robust=True)
    return rows


def _announce(workspace: Workspace, rows: Sequence[Generation], line: queue.Line, *, is_in_line: bool) -> None:
    """Tell those who watch before the relays hear of it: they may claim it at once."""
    for row in rows:
        publisher.publish(row, snapshot.snapshot_event(row))
    if line.is_short and any(row.tag is None for row in rows):
        # What it was held back for may have ended before others could see it, and then let nobody in.
        is_in_line = (queue.wants_admission(workspace.pk) and bool(queue.admit(workspace))) or is_in_line
    if is_in_line:
        publisher.wake_relays()


def _lock_files(workspace: Workspace, file_ids: Collection[uuid.UUID]) -> None:
    """Nobody deletes one of them until the transaction ends. InvalidInputs when one is gone already."""
    locked = Asset.objects.in_workspace(workspace).select_for_update(of=("self",)).filter(pk__in=file_ids)
    if len(locked) != len(file_ids):
        raise InvalidInputs({"": ["One of these files was deleted meanwhile. Choose another one."]})


# ---------------------------------------------------------------------------------------------- afterwards
def cancel(generation: Generation) -> Generation:
    """Ask for it to stop; already finished ones stay as they are. Returns its state afterwards."""
    changed = transitions.transition(lambda: Generation.objects.request_cancel(generation.pk), pk=generation.pk)
    generation.refresh_from_db(from_queryset=Generation.objects.select_related("workspace__plan"))  # its plan is shown
    if changed:
        publisher.wake_relays()
    return generation


def delete(generation: Generation) -> None:
    """Remove it with its outputs and their files. NotFinishedError while it is active."""
    if not generation.is_terminal:
        raise NotFinishedError
    removal.remove(generation)
