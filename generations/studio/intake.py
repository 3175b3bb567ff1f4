"""An imported workflow becomes the draft of a template, with parameters and with notes on what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from generations.comfy.graph import Graph, node_title, paid_nodes
from generations.comfy.notes import Note
from generations.comfy.object_info import ObjectInfo
from generations.comfy.titles import presentable
from generations.models import TemplateDraft, WorkflowTemplate
from generations.parameters.roles import free_role, likely_safety_node
from generations.parameters.schema import Parameter, bound_inputs
from generations.scheduling import fitness
from generations.studio.definitions import Definition, definition_of, proposals
from generations.studio.drafts import change
from generations.studio.editing import is_constant
from generations.studio.importing import Imported

if TYPE_CHECKING:
    from accounts.models import User


def put(
    template: WorkflowTemplate,
    user: User | None,
    imported: Imported,
    *,
    object_info: ObjectInfo | None,
    source: str = "",
) -> tuple[TemplateDraft, list[Note]]:
    """Make an imported workflow the draft. Returns it with the notes on its import, which the draft keeps until the
    next one: they also say which parameters were lost, and where servers would run it differently.

    Parameters that come with the workflow are taken as they are. Otherwise the draft keeps those that the new graph has
    a place for, behind those that the author of the workflow chose; if there are neither, parameters are proposed.
    """
    differences = fitness.Fleet.now().differences(imported.graph)
    costs = cost_notes(imported.graph, object_info)
    notes = [*imported.notes, *costs, *(Note(each.note, each.node_id) for each in differences if each.is_risk)]

    def action(draft: TemplateDraft) -> None:
        draft.safety_node = _safety_node(draft, imported, object_info)
        draft.parameters, lost = _parameters(draft, imported, object_info)
        if lost:
            notes.append(Note(f"The new workflow has no place for {', '.join(lost)}: users can no longer set it."))
        draft.graph, draft.editor = imported.graph, imported.editor
        kept = imported.output_nodes or draft.output_nodes
        draft.output_nodes = [node_id for node_id in kept if node_id in draft.graph]
        draft.source = presentable(source)
        draft.take_notes(notes)

    with transaction.atomic():
        draft = change(template, user, action)
        template.model_sources = {**template.model_sources, **imported.sources}
        template.save(update_fields=["model_sources"])
    return draft, notes


def cost_notes(graph: Graph, object_info: ObjectInfo | None) -> list[Note]:
    """A note with the titles of the nodes that cost money for each run; none when the workflow has no such nodes."""
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
    """What comes with the workflow, else the draft's if the new graph has it; a likely one for a new template."""
    if imported.parameters is not None:
        return imported.safety_node
    if not draft.graph:
        return likely_safety_node(imported.graph, object_info)
    before, after = (graph.get(draft.safety_node, {}).get("class_type") for graph in (draft.graph, imported.graph))
    return draft.safety_node if before == after else ""


def _parameters(
    draft: TemplateDraft, imported: Imported, object_info: ObjectInfo | None
) -> tuple[list[Definition], list[str]]:
    """Those of the draft from now on, and the labels of those that the new graph has no place for."""
    if imported.parameters is not None:
        return imported.parameters, []
    kept, lost = _carried_over(draft.parameters, draft.graph, imported.graph)
    return _joined(imported.chosen, kept) or _proposed(imported, object_info), lost


def _carried_over(parameters: list[Definition], old: Graph, new: Graph) -> tuple[list[Definition], list[str]]:
    kept, lost = [], []
    for definition in parameters:
        bindings = [
            binding
            for binding in definition.get("bindings", ())
            if is_constant(new, (binding["node_id"], binding["input_name"]))
            and new[binding["node_id"]]["class_type"] == old.get(binding["node_id"], {}).get("class_type")
        ]
        if bindings:
            kept.append({**definition, "bindings": bindings})
        else:
            lost.append(definition.get("label") or definition.get("name", ""))
    return kept, lost


def _joined(chosen: Sequence[Parameter], kept: Sequence[Definition]) -> list[Definition]:
    """What the author chose, in that order and with the draft's settings where it has the same; then what else is
    kept.
    """
    joined: list[Definition] = []
    rest = list(kept)
    for wanted in map(definition_of, chosen):
        same = next((each for each in rest if bound_inputs([each]) & bound_inputs([wanted])), None)
        if same is None:
            joined.append(_beside([*joined, *rest], wanted))
        else:
            rest.remove(same)
            joined.append(_with_bindings_of([*joined, *rest], same, wanted))
    return [*joined, *rest]


def _with_bindings_of(others: Sequence[Definition], definition: Definition, wanted: Definition) -> Definition:
    """It also sets what the wanted one does, unless others set that."""
    keys = bound_inputs([*others, definition])
    more = [each for each in wanted["bindings"] if (each["node_id"], each["input_name"]) not in keys]
    return {**definition, "bindings": [*definition["bindings"], *more]}


def _beside(others: Sequence[Definition], wanted: Definition) -> Definition:
    """The wanted one, with a name and a role that none of the others has."""
    taken = {each["name"] for each in others}
    names = [wanted["name"], *(f"{wanted['name'][:60]}_{number}" for number in range(2, len(taken) + 3))]
    role = free_role(wanted["role"], {each.get("role", "") for each in others})
    return {**wanted, "name": next(name for name in names if name not in taken), "role": role}


def _proposed(imported: Imported, object_info: ObjectInfo | None) -> list[Definition]:
    if imported.proposed is None:
        return proposals(imported.graph, object_info)
    return [definition_of(parameter) for parameter in imported.proposed]
