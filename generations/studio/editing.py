"""What admins change in a draft: which inputs users set, in which order, and whose results count."""

from __future__ import annotations

from collections.abc import Sequence

from generations.comfy import editor_notes
from generations.comfy.graph import Graph, InputKey, with_own_options
from generations.comfy.object_info import ObjectInfo, input_spec, node_spec
from generations.comfy.titles import author_title
from generations.models import TemplateDraft
from generations.parameters.detect import suggest_parameter
from generations.parameters.propose import propose
from generations.parameters.roles import free_role
from generations.parameters.schema import Parameter, bound_inputs
from generations.studio.definitions import Definition, definition_of


def expose(draft: TemplateDraft, key: InputKey, object_info: ObjectInfo | None) -> str:
    """Let users set that input. Returns the name of its new parameter; "" when there is none, because the input has no
    constant or users set it already.
    """
    if not is_constant(draft.graph, key) or find(draft, key) is not None:
        return ""
    taken = {str(definition.get("name")) for definition in draft.parameters}
    exposed = bound_inputs(draft.parameters)
    # A proposal knows the part that an input plays in the graph.
    for proposed in propose(draft.graph, object_info):
        if any(each.input_key == key for each in proposed.bindings) and proposed.name not in taken:
            free = tuple(each for each in proposed.bindings if each.input_key not in exposed)
            return _add(draft, proposed.model_copy(update={"bindings": free}))
    return _add(draft, _parameter_of(draft, key, object_info))


def _parameter_of(draft: TemplateDraft, key: InputKey, object_info: ObjectInfo | None) -> Parameter:
    """A parameter for that input alone, with what its class says of it."""
    node_id, input_name = key
    node = draft.graph[node_id]
    spec = node_spec(object_info, node["class_type"])
    return suggest_parameter(
        node_id,
        input_name,
        node["inputs"][input_name],
        with_own_options(draft.graph, node_id, input_spec(object_info, node["class_type"], input_name)),
        title=author_title(draft.graph, node_id, spec),
        taken={str(definition.get("name")) for definition in draft.parameters},
        seed_mode=editor_notes.seed_mode_of(draft.graph, node_id, input_name),
    )


def _add(draft: TemplateDraft, parameter: Parameter) -> str:
    """Add it behind the others, with its role unless another parameter has that. Returns its name."""
    role = free_role(parameter.role, {each.get("role", "") for each in draft.parameters})
    draft.parameters = [*draft.parameters, definition_of(parameter.model_copy(update={"role": role}))]
    return parameter.name


def hide(draft: TemplateDraft, key: InputKey) -> None:
    """Stop users from setting that input. A parameter that sets no other input is gone."""
    parameters = []
    for definition in draft.parameters:
        left = [binding for binding in definition["bindings"] if (binding["node_id"], binding["input_name"]) != key]
        if left:
            parameters.append({**definition, "bindings": left})
    draft.parameters = parameters


def join(draft: TemplateDraft, key: InputKey, name: str) -> None:
    """Set that input together with what the parameter `name` sets already."""
    if not is_constant(draft.graph, key):
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
    """Replace the settings of a parameter; what it sets in the graph stays."""
    parameters = list(draft.parameters)
    if 0 <= position < len(parameters):
        parameters[position] = {**definition, "bindings": parameters[position]["bindings"]}
        draft.parameters = parameters


def move(draft: TemplateDraft, position: int, to: int) -> None:
    """Move a parameter up or down in the form."""
    parameters = list(draft.parameters)
    if 0 <= position < len(parameters):
        parameters.insert(max(0, min(to, len(parameters))), parameters.pop(position))
        draft.parameters = parameters


def remove(draft: TemplateDraft, position: int) -> None:
    """Take a parameter out of the form: users no longer set its inputs."""
    draft.parameters = [each for at, each in enumerate(draft.parameters) if at != position]


def keep_results(draft: TemplateDraft, node_id: str, is_kept: bool, outputs: Sequence[str]) -> None:
    """Set whether the results of that node count. `outputs`: every node that has some; when all count, the draft lists
    none.
    """
    kept = [each for each in (draft.output_nodes or outputs) if each in outputs and each != node_id]
    if is_kept and node_id in outputs:
        kept = [each for each in outputs if each in kept or each == node_id]
    draft.output_nodes = [] if set(kept) == set(outputs) else kept


def set_safety_node(draft: TemplateDraft, node_id: str, is_on: bool, outputs: Sequence[str]) -> None:
    """Set whether the result of that node tells if the others are safe; one node at most does. `outputs`: as above."""
    if is_on and node_id in outputs:
        draft.safety_node = node_id
    elif draft.safety_node == node_id:
        draft.safety_node = ""


def is_constant(graph: Graph, key: InputKey) -> bool:
    """True when the graph has that input and no other node feeds it."""
    node = graph.get(key[0])
    return node is not None and isinstance(node["inputs"].get(key[1]), str | int | float)
