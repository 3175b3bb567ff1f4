"""What users do with generations. Pages and API call the same functions."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction

from generations.comfy.catalog import Needs, Value
from generations.comfy.editor import is_editor_format
from generations.comfy.graph import Graph, GraphProblem, InputKey, check_graph, load_api_graph
from generations.comfy.object_info import node_spec
from generations.comfy.sketch import editor_workflow, kept_of
from generations.files import accepting, naming
from generations.lifecycle import drawing, removal, transitions
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
from generations.parameters.schema import MAX_SEED, Parameter
from generations.parameters.validate import InvalidInputs, json_values, validate
from generations.scheduling import fitness, queue

if TYPE_CHECKING:
    from accounts.models import User

RAW_PERMISSION = "generations.submit_raw_workflow"
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


class RawNotAllowedError(Exception):
    """This user may not submit whole workflows; `str()` says so."""

    def __init__(self) -> None:
        super().__init__("Your account may not submit whole workflows. Run a template.")


class EditorFormatError(Exception):
    """The workflow is in the format of ComfyUI's editor, which is not what runs."""


class InvalidWorkflowError(Exception):
    """A whole workflow that no server can run. `problems` name the nodes; `str()` tells of the first."""

    def __init__(self, problems: Sequence[GraphProblem]) -> None:
        super().__init__(problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        first = self.problems[0]
        more = f" ({len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return (f"Node {first.node_id} ({first.title}): " if first.node_id else "") + first.message + more


@dataclass(frozen=True, slots=True)
class Extras:
    """What may come along with a job. An idempotency key is used up if, and only if, the job is made."""

    idempotency_key: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    webhook: Webhook | None = None
    partner_key: str = ""


NOTHING = Extras()


def current_version(template: WorkflowTemplate) -> TemplateVersion:
    """The version that users run. ValueError when the template is not published."""
    if template.published_version is None:
        msg = f"{template} is not published"
        raise ValueError(msg)
    template.published_version.template = template  # known already
    return template.published_version


def submit(
    *, user: User, version: TemplateVersion, inputs: Mapping[str, object], extras: Extras = NOTHING
) -> Generation:
    """A durable, queued generation.

    NotAllowedError: the user may not run this version; InvalidInputs names every field that is wrong; CannotRunError:
    no server has its nodes or models; queue.QueueFullError: the user's plan lets no more wait; KeyReuseError.
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
    parameters = fitness.current_parameters(version)
    values = validate(parameters, inputs)
    naming.refuse_names(version.graph, version.parsed_parameters, values, fitness.known_nodes())
    if count > 1 and drawing.draws_alike(version, parameters, values):
        raise InvalidInputs(
            {"count": ["Neither a seed nor one of {several|words} is drawn: all results would be alike."]}
        )
    files = _media_of(user, parameters, values)
    needed = _needed_values(version, parameters, values)
    text = _searchable(str(values[each.name]) for each in parameters if each.type in {"text", "string"})
    names = {name: asset.name for name, asset in files.items()}
    runs = drawing.Drawing(user, version, parameters, values, names, kept)

    def rows() -> list[Generation]:
        return [
            Generation(
                user=user,
                version=version,
                inputs=json_values(parameters, own),
                resolved=resolved,
                model_files=needed,
                text=text,
            )
            for own, resolved in runs.runs(count)
        ]

    return _enqueue(user, rows, [asset.pk for asset in files.values()], extras)


def _searchable(texts: Iterable[str]) -> str:
    return " ".join(texts).casefold()[:TEXT_LENGTH]


def _enqueue(
    user: User, make: Callable[[], list[Generation]], assets: Iterable[uuid.UUID], extras: Extras
) -> list[Generation]:
    """Make them all and get them in line, or none at all. StorageFullError: there is no room for results.

    `make` is called while nobody else submits anything for this user.
    """
    StorageUsage.objects.ensure_room(user)
    wanted = set(assets)
    with transaction.atomic():
        IdempotencyKey.objects.claim(user, extras.idempotency_key)
        if wanted:
            # Locked, so that nobody deletes one of them meanwhile.
            locked = Asset.objects.for_user(user).select_for_update(of=("self",)).filter(pk__in=wanted)
            if len(locked) != len(wanted):
                raise InvalidInputs({"": ["A file of these inputs was deleted meanwhile."]})
        line = queue.Line(user)
        rows = make()
        for generation in rows:
            generation.metadata = dict(extras.metadata)
            generation.webhook = extras.webhook
            generation.partner_key = extras.partner_key or None
            if generation.version.pk is None:
                generation.version.save()
            if line.enter(generation):
                publisher.wake_relays()
            if wanted:
                generation.input_assets.set(locked)
            publisher.publish(generation, snapshot.snapshot_event(generation))
    return rows


def _needed_values(
    version: TemplateVersion, parameters: tuple[Parameter, ...], values: Mapping[str, Any]
) -> list[Value]:
    """What this run demands of a server beyond its version. CannotRunError when no server has all that it needs."""
    media = {parameter.name: "upload" for parameter in parameters if parameter.is_media}
    others = {each.name: values[each.name] for each in parameters if each.type != "seed"}  # those have no number yet
    needed = fitness.chosen_values(bind(version.graph, parameters, others, media=media), parameters)
    if reason := fitness.Fleet().why_not(version.needs.with_values(needed)):
        raise CannotRunError(reason)
    return needed


def _media_of(user: User, parameters: tuple[Parameter, ...], values: Mapping[str, Any]) -> dict[str, Asset]:
    """The files among the values; InvalidInputs when one is not there or of the wrong kind."""
    wanted = {p.name: p.type for p in parameters if p.is_media and values.get(p.name)}
    if not wanted:
        return {}
    ids = {name: uuid.UUID(str(values[name])) for name in wanted}
    found = Asset.objects.for_user(user).in_bulk(list(ids.values()))
    errors = {}
    for name, kind in wanted.items():
        asset = found.get(ids[name])
        if asset is None:
            errors[name] = ["There is no such file of yours."]
        elif reason := accepting.why_not(asset, kind):
            errors[name] = [reason]
    if errors:
        raise InvalidInputs(errors)
    return {name: found[pk] for name, pk in ids.items()}


# ---------------------------------------------------------------------------------------------- whole workflows
def submit_raw(
    *, user: User, workflow: object, editor: Mapping[str, Any] | None = None, extras: Extras = NOTHING
) -> Generation:
    """A durable, queued generation of a whole graph in the API format, which runs as it is. `editor`: the same workflow
    in the editor's format, for nodes that look it up.

    RawNotAllowedError; EditorFormatError; GraphError or InvalidWorkflowError say what is wrong with it,
    naming.MissingAssetError which file is not the user's; KeyReuseError; queue.QueueFullError.
    """
    if not user.has_perm(RAW_PERMISSION):
        raise RawNotAllowedError
    IdempotencyKey.objects.ensure_unused(user, extras.idempotency_key)
    if is_editor_format(workflow):
        raise EditorFormatError
    graph = load_api_graph(workflow)
    object_info = fitness.known_nodes()
    if object_info is None:
        raise CannotRunError(fitness.Fleet().why_not(Needs(())))
    if problems := check_graph(graph, object_info):
        raise InvalidWorkflowError(problems)
    graph, assets = naming.resolve(user, graph, object_info)
    version = TemplateVersion.raw(graph=graph, created_by=user, editor=kept_of(editor, graph))
    if obstacle := fitness.Fleet().obstacle(version.needs):
        message = f"No single server can run all of it. {obstacle}"
        raise InvalidWorkflowError([GraphProblem("", "", message, "no_server")])
    texts = (value for node in graph.values() for value in node["inputs"].values() if isinstance(value, str))
    files = fitness.model_files(graph)
    generation = Generation(user=user, version=version, inputs={}, model_files=files, text=_searchable(texts))
    return _enqueue(user, lambda: [generation], assets, extras)[0]


def _reseeded(graph: Graph) -> Graph:
    """A copy with a fresh number in every input that is a seed."""
    object_info = fitness.known_nodes()
    fresh: Graph = {}
    for node_id, node in graph.items():
        spec = node_spec(object_info, node["class_type"])
        inputs = {}
        for name, value in node["inputs"].items():
            known = spec.input(name) if spec else None
            is_seed = known.is_seed if known else name in {"seed", "noise_seed"}
            highest = int(known.max) if known and known.max else MAX_SEED
            is_number = isinstance(value, int) and not isinstance(value, bool)
            inputs[name] = secrets.randbelow(min(highest, MAX_SEED) + 1) if is_seed and is_number else value
        fresh[node_id] = {**node, "inputs": inputs}
    return fresh


# ---------------------------------------------------------------------------------------------- afterwards
def cancel(generation: Generation) -> Generation:
    """Ask for it to stop; already finished ones stay as they are. Returns its state afterwards."""
    changed = transitions.transition(lambda: Generation.objects.request_cancel(generation.pk), pk=generation.pk)
    generation.refresh_from_db()
    if changed:
        publisher.wake_relays()
    return generation


def rerun(
    generation: Generation,
    *,
    is_new_seed: bool,
    changes: Mapping[str, object] | None = None,
    extras: Extras = NOTHING,
) -> Generation:
    """The same version and inputs again: exactly, or with seeds and texts drawn anew, and with `changes` to the inputs.

    Errors as of `submit`, for whole workflows as of `submit_raw`; those have no inputs to change.
    """
    version, user = generation.version, generation.user
    if version.template_id is None:
        if changes:
            raise InvalidInputs({name: ["This job is a whole workflow: send the changed one."] for name in changes})
        graph = _reseeded(version.graph) if is_new_seed else version.graph
        editor = version.editor and editor_workflow(graph, kept=version.editor, before=version.graph)
        return submit_raw(user=user, workflow=graph, editor=editor, extras=extras)
    changes = changes or {}
    inputs = drawing.unseeded(version.parsed_parameters, generation.inputs) if is_new_seed else generation.inputs
    kept = None if is_new_seed else drawing.kept_texts(generation, changes)
    return submit_variations(
        user=user, version=version, inputs={**inputs, **changes}, count=1, extras=extras, kept=kept
    )[0]


def delete(generation: Generation) -> None:
    """Remove it with its outputs and their files. NotFinishedError while it is active."""
    if not generation.is_terminal:
        raise NotFinishedError
    removal.remove(generation)
