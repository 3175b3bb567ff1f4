"""What users do with generations of templates: submit, cancel, delete. Pages and API call the same functions.

Whole workflows are submitted in `raw`; `rerunning` repeats either.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction

from generations.comfy.catalog import Value
from generations.comfy.graph import InputKey
from generations.files import accepting, naming
from generations.lifecycle import removal, run_values, transitions
from generations.live import publisher, snapshot
from generations.models import (
    Asset,
    Generation,
    IdempotencyKey,
    StorageUsage,
    TemplateVersion,
    Webhook,
    WorkflowTemplate,
)
from generations.parameters.bind import bind
from generations.parameters.schema import Parameter
from generations.parameters.validate import InvalidInputs, json_values, validate
from generations.scheduling import catalogs, demands, fitness, queue

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


def current_version(template: WorkflowTemplate) -> TemplateVersion:
    """The version that users run. ValueError when the template is not published."""
    if template.published_version is None:
        msg = f"{template} is not published"
        raise ValueError(msg)
    template.published_version.template = template  # known already
    return template.published_version


# ---------------------------------------------------------------------------------------------- submitting
def submit(
    *, user: User, version: TemplateVersion, inputs: Mapping[str, object], extras: Extras = NOTHING
) -> Generation:
    """A durable, queued generation.

    NotAllowedError: the user may not run this version; InvalidInputs names every field that is wrong; CannotRunError:
    no server has its nodes or models; queue.QueueFullError: the user's plan lets no more wait; StorageFullError: there
    is no room for results; KeyReuseError.
    """
    return submit_variations(user=user, version=version, inputs=inputs, count=1, extras=extras)[0]


def submit_variations(
    *,
    user: User,
    version: TemplateVersion,
    inputs: Mapping[str, object],
    count: int,
    extras: Extras = NOTHING,
    kept: Mapping[InputKey, str] | None = None,
) -> list[Generation]:
    """As many of them, all or none: with seeds and texts drawn for each, or seeds counting up from the given ones.

    `kept`: what texts became in the run that is repeated. Errors as of `submit`; InvalidInputs also for several of a
    template for which nothing is drawn: they would be all alike.
    """
    if not version.may_be_run_by(user):
        raise NotAllowedError(version)
    IdempotencyKey.objects.ensure_unused(user, extras.idempotency_key)
    prepared = _prepare(user, version, inputs, count)
    return enqueue(
        user, lambda: prepared.rows(count, kept, extras), {each.pk for each in prepared.files.values()}, extras
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all runs of one submission have in common. `files`: by parameter; `model_files`: see Generation."""

    user: User
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
                version=self.version,
                inputs=json_values(self.parameters, values),
                resolved=resolved,
                model_files=self.model_files,
                text=self.text,
                **extras.columns(),
            )
            for values, resolved in own.for_runs(count)
        ]


def _prepare(user: User, version: TemplateVersion, inputs: Mapping[str, object], count: int) -> Prepared:
    """Everything that can be known before the runs get in line. Nothing is written or locked for it.

    InvalidInputs, CannotRunError.
    """
    parameters = fitness.current_parameters(version)
    values = validate(parameters, inputs)
    naming.refuse_names(version.graph, version.parsed_parameters, values, catalogs.known_nodes())
    if count > 1 and run_values.draws_alike(version, parameters, values):
        raise InvalidInputs(
            {"count": ["Neither a seed nor one of {several|words} is drawn: all results would be alike."]}
        )
    files = _files_among(user, parameters, values)
    model_files = _model_files(version, parameters, values)
    texts = (str(values[each.name]) for each in parameters if each.type in {"text", "string"})
    return Prepared(user, version, parameters, values, files, model_files, searchable(texts))


def searchable(texts: Iterable[str]) -> str:
    """What `Generation.text` keeps of them."""
    return " ".join(texts).casefold()[:TEXT_LENGTH]


def _model_files(version: TemplateVersion, parameters: Sequence[Parameter], values: Mapping[str, Any]) -> list[Value]:
    """What this run demands of a server beyond its version. CannotRunError when no server has all that it needs."""
    media = {parameter.name: "upload" for parameter in parameters if parameter.is_media}
    others = {each.name: values[each.name] for each in parameters if each.type != "seed"}  # those have no number yet
    needed = demands.chosen_values(bind(version.graph, parameters, others, media=media), parameters)
    if reason := fitness.Fleet().why_not(version.needs.with_values(needed)):
        raise CannotRunError(reason)
    return needed


def _files_among(user: User, parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Asset]:
    """The files among the values, by parameter; InvalidInputs when one is not there or of the wrong kind."""
    wanted = {p.name: p.type for p in parameters if p.is_media and values.get(p.name)}
    if not wanted:
        return {}
    ids = {name: uuid.UUID(str(values[name])) for name in wanted}
    found = Asset.objects.for_user(user).in_bulk(list(ids.values()))
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


def enqueue(
    user: User, make: Callable[[], list[Generation]], file_ids: Collection[uuid.UUID], extras: Extras
) -> list[Generation]:
    """Make these generations, which need these files, and get all of them in line, or none.

    `make` returns rows that are not saved yet; it is called while nobody else submits anything for this user.
    StorageFullError: there is no room for results; InvalidInputs: a file was deleted meanwhile; queue.QueueFullError;
    KeyReuseError.
    """
    StorageUsage.objects.ensure_room(user)
    with transaction.atomic():
        IdempotencyKey.objects.claim(user, extras.idempotency_key)
        _lock_files(user, file_ids)
        line = queue.Line(user)
        rows = make()
        are_in_line = [line.enter(row) for row in rows]
        if any(are_in_line):
            publisher.wake_relays()
        uses = Generation.input_assets.through
        uses.objects.bulk_create([uses(generation=row, asset_id=pk) for row in rows for pk in file_ids])
        for row in rows:
            publisher.publish(row, snapshot.snapshot_event(row))
    return rows


def _lock_files(user: User, file_ids: Collection[uuid.UUID]) -> None:
    """Nobody deletes one of them until the transaction ends. InvalidInputs when one is gone already."""
    if file_ids:
        locked = Asset.objects.for_user(user).select_for_update(of=("self",)).filter(pk__in=file_ids)
        if len(locked) != len(file_ids):
            raise InvalidInputs({"": ["One of these files was deleted meanwhile. Choose another one."]})


# ---------------------------------------------------------------------------------------------- afterwards
def cancel(generation: Generation) -> Generation:
    """Ask for it to stop; already finished ones stay as they are. Returns its state afterwards."""
    changed = transitions.transition(lambda: Generation.objects.request_cancel(generation.pk), pk=generation.pk)
    generation.refresh_from_db()
    if changed:
        publisher.wake_relays()
    return generation


def delete(generation: Generation) -> None:
    """Remove it with its outputs and their files. NotFinishedError while it is active."""
    if not generation.is_terminal:
        raise NotFinishedError
    removal.remove(generation)
