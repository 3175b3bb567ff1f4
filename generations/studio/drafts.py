"""Making templates: a draft is imported, changed, tried and published. Admin and API call the same functions."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.core.files import File
from django.db import transaction
from django.utils.text import slugify

from generations.comfy import queued
from generations.comfy.catalog import Needs, graph_needs
from generations.comfy.graph import Graph, GraphProblem, InputKey, check_graph, node_title, paid_nodes, with_own_options
from generations.comfy.notes import Note
from generations.comfy.object_info import ObjectInfo, input_spec, node_spec
from generations.comfy.stripping import WorkflowLeftError, without_workflow
from generations.comfy.titles import author_title, presentable, title_from_name, without_controls
from generations.files import storage
from generations.models import Asset, DraftNote, TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.parameters.bounds import check_bounds
from generations.parameters.detect import suggest_parameter
from generations.parameters.propose import propose
from generations.parameters.roles import free_role, likely_safety_node, with_roles
from generations.parameters.schema import (
    DefinitionError,
    Fault,
    Faults,
    Parameter,
    bound_inputs,
    check_bindings,
    in_sentences,
    parse_parameters,
)
from generations.scheduling import demands, fitness
from generations.studio import packages
from generations.studio.importing import Imported
from generations.studio.packages import Definition

if TYPE_CHECKING:
    from accounts.models import User


class DraftError(Exception):
    """The draft cannot become a version. `faults`: by parameter name; "" for those of the draft as a whole."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(in_sentences(faults))
        self.faults = faults


class StaleDraftError(Exception):
    """Somebody else changed the draft since it was looked at."""


class UnfitError(Exception):
    """No server can run the draft with its defaults: publishing it anyway needs a confirmation. `str()` says what is
    missing.
    """


class UncheckedError(Exception):
    """Nobody ticked off some `flags` of the import: publishing all the same needs a confirmation."""

    def __init__(self, flags: Sequence[DraftNote]) -> None:
        count = "1 thing" if len(flags) == 1 else f"{len(flags)} things"
        super().__init__(f"There {'is' if len(flags) == 1 else 'are'} {count} to check in this workflow first.")
        self.flags = list(flags)


# ------------------------------------------------------------------------------------------- the draft
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
    """Apply a change to the draft as it is now, with nobody else at it meanwhile."""
    with transaction.atomic():
        locked = WorkflowTemplate.objects.select_for_update().get(pk=template.pk)
        draft = draft_of(locked)
        action(draft)
        draft.revision += 1
        draft.changed_by = user
        draft.save()
    return draft


def put(
    template: WorkflowTemplate,
    user: User | None,
    imported: Imported,
    *,
    object_info: ObjectInfo | None,
    source: str = "",
) -> tuple[TemplateDraft, list[Note]]:
    """Make an imported workflow the draft. Returns it with what its import says: also about what became of the
    parameters, and about servers that would not run it alike. The draft keeps these notes until the next import.

    What came along is taken; else what the draft exposes is kept as far as the new graph has it, behind what the
    author of the workflow chose; else parameters are proposed.
    """
    differences = fitness.Fleet().differences(imported.graph)
    costs = cost_notes(imported.graph, object_info)
    notes = [*imported.notes, *costs, *(Note(each.note, each.node_id) for each in differences if each.is_risk)]

    def action(draft: TemplateDraft) -> None:
        draft.safety_node = _safety_node(draft, imported, object_info)
        if imported.parameters is not None:
            draft.parameters = imported.parameters
        else:
            kept, lost = _carried_over(draft.parameters, draft.graph, imported.graph)
            if lost:
                sentence = f"The new workflow has no place for {', '.join(lost)}: users can no longer set it."
                notes.append(Note(sentence))
            draft.parameters = _joined(imported.chosen, kept) or _proposed(imported, object_info)
        draft.graph, draft.editor = imported.graph, imported.editor
        draft.output_nodes = [
            node_id for node_id in imported.output_nodes or draft.output_nodes if node_id in draft.graph
        ]
        draft.source = presentable(source)
        draft.take_notes(notes)

    with transaction.atomic():
        draft = change(template, user, action)
        template.model_sources = {**template.model_sources, **imported.sources}
        template.save(update_fields=["model_sources"])
    return draft, notes


def cost_notes(graph: Graph, object_info: ObjectInfo | None) -> list[Note]:
    """A note when running it costs money, with the titles of the nodes that do."""
    paid = paid_nodes(graph, object_info)
    if not paid:
        return []
    titles = ", ".join(dict.fromkeys(node_title(graph, node_id) for node_id in paid))
    sentence = (
        f"This workflow calls a paid service ({titles}). "
        "Each run costs credits of the Comfy account that the server is signed in with; without one, it fails."
    )
    return [Note(sentence, paid[0])]


def _safety_node(draft: TemplateDraft, imported: Imported, object_info: ObjectInfo | None) -> str:
    """The one that came along, else the draft's as far as the new graph has it; for a new template, a likely one."""
    if imported.parameters is not None:
        return imported.safety_node
    if not draft.graph:
        return likely_safety_node(imported.graph, object_info)
    before, after = (graph.get(draft.safety_node, {}).get("class_type") for graph in (draft.graph, imported.graph))
    return draft.safety_node if before == after else ""


def _carried_over(parameters: list[Definition], old: Graph, new: Graph) -> tuple[list[Definition], list[str]]:
    kept, lost = [], []
    for definition in parameters:
        bindings = [
            binding
            for binding in definition.get("bindings", ())
            if _is_constant(new, (binding["node_id"], binding["input_name"]))
            and new[binding["node_id"]]["class_type"] == old.get(binding["node_id"], {}).get("class_type")
        ]
        if bindings:
            kept.append({**definition, "bindings": bindings})
        else:
            lost.append(definition.get("label") or definition.get("name", ""))
    return kept, lost


def _joined(chosen: Sequence[Parameter], kept: Sequence[Definition]) -> list[Definition]:
    """What the author chose, in that order, as the draft has it already where it does; then what else is kept."""
    joined: list[Definition] = []
    rest = list(kept)
    for wanted in map(describe, chosen):
        same = next((each for each in rest if bound_inputs([each]) & bound_inputs([wanted])), None)
        if same is not None:
            rest.remove(same)
            keys = bound_inputs([*joined, *rest, same])
            more = [each for each in wanted["bindings"] if (each["node_id"], each["input_name"]) not in keys]
            joined.append({**same, "bindings": [*same["bindings"], *more]})
            continue
        taken = {each["name"] for each in [*joined, *rest]}
        names = [wanted["name"], *(f"{wanted['name'][:60]}_{number}" for number in range(2, len(taken) + 3))]
        role = free_role(wanted["role"], {each.get("role", "") for each in [*joined, *rest]})
        joined.append({**wanted, "name": next(name for name in names if name not in taken), "role": role})
    return [*joined, *rest]


def _is_constant(graph: Graph, key: InputKey) -> bool:
    node = graph.get(key[0])
    return node is not None and isinstance(node["inputs"].get(key[1]), str | int | float)


def _proposed(imported: Imported, object_info: ObjectInfo | None) -> list[Definition]:
    if imported.proposed is None:
        return proposals(imported.graph, object_info)
    return [describe(parameter) for parameter in imported.proposed]


def proposals(graph: Graph, object_info: ObjectInfo | None) -> list[Definition]:
    """What users most probably should be able to set."""
    return [describe(parameter) for parameter in propose(graph, object_info)]


def describe(parameter: Parameter) -> Definition:
    """A parameter as it is stored."""
    always = {"name", "type", "label", "bindings", "role"}
    full = parameter.model_dump(mode="json")
    brief = parameter.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in full.items() if name in always or name in brief}


def tick_off(template: WorkflowTemplate, note_ids: Sequence[str] | None, *, is_checked: bool) -> TemplateDraft | None:
    """Whether somebody looked at what these flags say; None for all of them. Returns None when one is not the draft's
    any more.

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


# -------------------------------------------------------------------------------------- its parameters
def expose(draft: TemplateDraft, key: InputKey, object_info: ObjectInfo | None) -> str:
    """Let users set that input, with what its class says of it; "" when nobody can. Returns the new name."""
    if not _is_constant(draft.graph, key) or find(draft, key) is not None:
        return ""
    taken = {str(definition.get("name")) for definition in draft.parameters}
    exposed = bound_inputs(draft.parameters)
    # A proposal knows the part that an input plays in the graph.
    for proposed in propose(draft.graph, object_info):
        if any(each.input_key == key for each in proposed.bindings) and proposed.name not in taken:
            free = tuple(each for each in proposed.bindings if each.input_key not in exposed)
            return _add(draft, proposed.model_copy(update={"bindings": free}))
    node_id, input_name = key
    node = draft.graph[node_id]
    spec = node_spec(object_info, node["class_type"])
    parameter = suggest_parameter(
        node_id,
        input_name,
        node["inputs"][input_name],
        with_own_options(draft.graph, node_id, input_spec(object_info, node["class_type"], input_name)),
        title=author_title(draft.graph, node_id, spec),
        taken=taken,
        seed_mode=queued.seed_mode_of(draft.graph, node_id, input_name),
    )
    return _add(draft, parameter)


def _add(draft: TemplateDraft, parameter: Parameter) -> str:
    """As the last one, with its role unless another parameter has that. Returns its name."""
    role = free_role(parameter.role, {each.get("role", "") for each in draft.parameters})
    draft.parameters = [*draft.parameters, describe(parameter.model_copy(update={"role": role}))]
    return parameter.name


def hide(draft: TemplateDraft, key: InputKey) -> None:
    """Users no longer set that input; a parameter without any is gone."""
    parameters = []
    for definition in draft.parameters:
        left = [binding for binding in definition["bindings"] if (binding["node_id"], binding["input_name"]) != key]
        if left:
            parameters.append({**definition, "bindings": left})
    draft.parameters = parameters


def join(draft: TemplateDraft, key: InputKey, name: str) -> None:
    """Set that input together with what the parameter `name` sets already."""
    if not _is_constant(draft.graph, key):
        return
    hide(draft, key)
    binding = {"node_id": key[0], "input_name": key[1]}
    draft.parameters = [
        {**each, "bindings": [*each["bindings"], binding]} if each.get("name") == name else each
        for each in draft.parameters
    ]


def find(draft: TemplateDraft, key: InputKey) -> Definition | None:
    """The parameter that sets that input."""
    return next(
        (definition for definition in draft.parameters if key in bound_inputs([definition])),
        None,
    )


def redefine(draft: TemplateDraft, position: int, definition: Definition) -> None:
    """Put other settings in the place of a parameter's; what it sets in the graph stays."""
    parameters = list(draft.parameters)
    if 0 <= position < len(parameters):
        parameters[position] = {**definition, "bindings": parameters[position]["bindings"]}
        draft.parameters = parameters


def move(draft: TemplateDraft, position: int, to: int) -> None:
    """Change a parameter's place in the form."""
    parameters = list(draft.parameters)
    if 0 <= position < len(parameters):
        parameters.insert(max(0, min(to, len(parameters))), parameters.pop(position))
        draft.parameters = parameters


def remove(draft: TemplateDraft, position: int) -> None:
    """Users no longer set any of its inputs."""
    draft.parameters = [each for at, each in enumerate(draft.parameters) if at != position]


def keep_results(draft: TemplateDraft, node_id: str, is_kept: bool, outputs: Sequence[str]) -> None:
    """Whether the results of that node count. `outputs`: every node that has some; when all count, none is listed."""
    kept = [each for each in (draft.output_nodes or outputs) if each in outputs and each != node_id]
    if is_kept and node_id in outputs:
        kept = [each for each in outputs if each in kept or each == node_id]
    draft.output_nodes = [] if set(kept) == set(outputs) else kept


def set_safety_node(draft: TemplateDraft, node_id: str, is_on: bool, outputs: Sequence[str]) -> None:
    """Whether the result of that node tells if the others are safe; one node at most does. `outputs`: as above."""
    if is_on and node_id in outputs:
        draft.safety_node = node_id
    elif draft.safety_node == node_id:
        draft.safety_node = ""


# ------------------------------------------------------------------------------------------- its state
def faults(draft: TemplateDraft, object_info: ObjectInfo | None) -> Faults:
    """What is wrong with each parameter, and with the draft as a whole (""); empty when it may become a version."""
    if not draft.graph:
        return {"": [Fault("", "There is no workflow yet.")]}
    try:
        parameters = parse_parameters(draft.parameters)
        check_bindings(parameters, draft.graph)
        check_bounds(parameters, draft.graph, object_info or {})
    except DefinitionError as error:
        return error.faults
    return {}


def valid_parameters(draft: TemplateDraft) -> tuple[Parameter, ...]:
    """Those that make sense, for a preview of the form while others do not yet."""
    found: list[Parameter] = []
    for definition in draft.parameters:
        try:
            found = list(parse_parameters([*(describe(each) for each in found), definition]))
        except DefinitionError:
            continue
    return tuple(found)


def fitness_of(draft: TemplateDraft, fleet: fitness.Fleet | None = None) -> list[fitness.Report]:
    """What each enabled server lacks for it, and for the defaults of what users may set."""
    return (fleet or fitness.Fleet()).report(needs_of(draft), defaults_of(draft))


def needs_of(draft: TemplateDraft) -> Needs:
    """What a server must have to run it, without what users choose."""
    return graph_needs(draft.graph, leaving_out=bound_inputs(draft.parameters))


def defaults_of(draft: TemplateDraft) -> list[demands.Default]:
    """What a server must have besides for users who choose nothing."""
    return demands.defaults(draft.graph, valid_parameters(draft))


def problems(draft: TemplateDraft, object_info: ObjectInfo | None) -> list[GraphProblem]:
    """What keeps the graph from running, by node, as far as the known node classes tell."""
    return check_graph(draft.graph, object_info) if object_info is not None and draft.graph else []


def resolved_inputs(
    draft: TemplateDraft, newest: TemplateVersion | None, object_info: ObjectInfo | None
) -> list[list[str]]:
    """Its texts that are resolved for each run, as a version keeps them. `newest`: knows of classes that no server
    has at the moment.
    """
    known = queued.prompts_of(newest.graph, newest.resolved_inputs) if newest else ()
    return [list(each) for each in queued.inputs_to_resolve(draft.graph, object_info, known)]


# -------------------------------------------------------------------------------------------- versions
def freeze(
    template: WorkflowTemplate,
    user: User | None,
    *,
    object_info: ObjectInfo | None,
    revision: int | None = None,
    note: str = "",
) -> TemplateVersion:
    """The draft as a version that can be run: the newest one if that is the same already.

    DraftError: something is wrong with it. StaleDraftError: `revision` is not the draft's any more.
    """
    with transaction.atomic():
        locked = WorkflowTemplate.objects.select_for_update().get(pk=template.pk)
        draft = draft_of(locked)
        if revision is not None and revision != draft.revision:
            raise StaleDraftError
        if found := faults(draft, object_info):
            raise DraftError(found)
        newest = locked.versions.first()
        resolved = resolved_inputs(draft, newest, object_info)
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
    user: User | None,
    *,
    object_info: ObjectInfo | None,
    revision: int | None = None,
    note: str = "",
    is_confirmed: bool = False,
    are_flags_accepted: bool = False,
) -> TemplateVersion:
    """Make the draft the version that users run; see `freeze`.

    UnfitError when no server can run it with its defaults, and UncheckedError when flags are open, unless somebody
    confirmed that.
    """
    with transaction.atomic():
        version = freeze(template, user, object_info=object_info, revision=revision, note=note)
        if not is_confirmed and (reason := obstacle(version)):
            raise UnfitError(reason)
        if not are_flags_accepted:
            ensure_checked(template, version)
        if note and version.note != note:
            TemplateVersion.objects.filter(pk=version.pk).update(note=note)
        template.publish(version)
        TemplateDraft.objects.filter(template=template).delete()
    return version


def obstacle(version: TemplateVersion) -> str:
    """Why users who leave its settings alone could not run it; "" when a server can."""
    usual = demands.defaults(version.graph, version.parsed_parameters)
    return fitness.Fleet().obstacle_as_it_is(version.needs, usual)


def ensure_checked(template: WorkflowTemplate, version: TemplateVersion) -> None:
    """UncheckedError when the draft has open flags and this version, which users never had, is of its workflow."""
    draft = TemplateDraft.objects.filter(template=template).first()
    if draft is not None and draft.open_flags and version.published_at is None and draft.graph == version.graph:
        raise UncheckedError(draft.open_flags)


def restore(template: WorkflowTemplate, user: User, version: TemplateVersion) -> TemplateDraft:
    """Make an old version the draft, to be looked at, changed and published again."""

    def action(draft: TemplateDraft) -> None:
        if draft.graph != version.graph:
            draft.take_notes(())  # they speak of another workflow
        draft.graph, draft.parameters, draft.output_nodes = version.graph, version.parameters, version.output_nodes
        draft.editor, draft.safety_node = version.editor, version.safety_node
        draft.source = f"Version {version.number}"

    return change(template, user, action)


def discard(template: WorkflowTemplate) -> None:
    """Forget the draft; versions stay."""
    TemplateDraft.objects.filter(template=template).delete()


# ------------------------------------------------------------------------------------------- templates
def create(
    user: User | None,
    imported: Imported,
    *,
    object_info: ObjectInfo | None,
    title: str = "",
    source: str = "",
    content_hash: str = "",
) -> tuple[WorkflowTemplate, list[Note]]:
    """A new template with the imported workflow as its draft, not published. Notes as in `put`.

    `content_hash` is that of the file, by which it is known when it comes again.
    """
    details = dict(imported.details)
    cover = details.pop("cover", None)
    own_name = details.pop("title", "")
    title = (without_controls(title) or without_controls(own_name) or title_from_name(source) or "New template")[:120]
    details["category"] = details.get("category", "")[:60]
    if not details.get("time_limit_seconds"):
        details.pop("time_limit_seconds", None)
    with transaction.atomic():
        WorkflowTemplate.objects.all().lock_making()
        template = WorkflowTemplate.objects.create(
            title=title, slug=free_slug(title), imported_hash=content_hash, **details
        )
        _draft, notes = put(template, user, imported, object_info=object_info, source=source)
        if cover is not None:
            # Storing is slow: not inside of a transaction, which may be the caller's. A template without its picture
            # is better than none.
            transaction.on_commit(lambda: set_cover(template, cover), robust=True)
    return template, notes


def free_slug(title: str) -> str:
    """An address that no template has yet."""
    wanted = slugify(title)[:70].strip("-") or "template"
    taken = set(WorkflowTemplate.objects.filter(slug__startswith=wanted).values_list("slug", flat=True))
    return next(slug for slug in [wanted, *(f"{wanted}-{n}" for n in range(2, len(taken) + 3))] if slug not in taken)


def duplicate(template: WorkflowTemplate, user: User) -> WorkflowTemplate:
    """A copy with what the studio shows as its draft, not published, for nobody but the admins to see yet."""
    draft = draft_of(template)
    with transaction.atomic():
        WorkflowTemplate.objects.all().lock_making()
        copy = WorkflowTemplate.objects.get(pk=template.pk)
        copy.pk = None
        copy._state.adding = True
        copy.title = f"{template.title[:110]} (copy)"
        copy.slug, copy.published_version, copy.cover = free_slug(copy.title), None, ""
        copy.imported_hash = ""  # the file is the original's
        copy.save()
        copy.groups.set(template.groups.all())
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
            set_cover(copy, File(file, name=template.cover.name))
    return copy


def set_cover(template: WorkflowTemplate, picture: File[Any]) -> None:
    """Store the picture under a name of ours, without a workflow in it; the one before goes.

    WorkflowLeftError when it cannot be taken out.
    """
    old = template.cover.name if template.cover else ""
    extension = (picture.name or "").rsplit(".", 1)[-1].lower()
    picture.seek(0)
    with without_workflow(io.BytesIO(picture.read())) as bare:
        template.cover.save(f"{uuid.uuid4().hex}.{extension}", File(bare), save=False)
    template.save(update_fields=["cover"])
    if old:
        transaction.on_commit(lambda: template.cover.storage.delete(old))


def set_cover_from(template: WorkflowTemplate, asset: Asset) -> None:
    """Make a result the cover. ValueError when it is no picture that a browser shows, or its workflow stays in it."""
    extensions = {f"image/{each}": each for each in packages.COVER_FORMATS.values()}
    if asset.content_type not in extensions:
        msg = f"A cover must be a PNG, JPEG, WebP or GIF picture; this is {asset.content_type}."
        raise ValueError(msg)
    try:
        with storage.open_key(asset.key) as file:
            set_cover(template, File(file, name=f"cover.{extensions[asset.content_type]}"))
    except WorkflowLeftError as error:
        msg = "The workflow cannot be taken out of this picture. Save it anew with another program, and upload it."
        raise ValueError(msg) from error
