"""Workflows in API format: node id -> {class_type, inputs}.

Errors are written for people who export workflows from ComfyUI, not for programmers. The format is that of
execution.py (validate_prompt) and comfy_execution/graph_utils.py (is_link) of ComfyUI.
"""

import graphlib
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from generations.comfy.errors import ProtocolError
from generations.comfy.fitting import Fit, fit
from generations.comfy.kinds import DYNAMIC_COMBO
from generations.comfy.object_info import InputSpec, NodeSpec, ObjectInfo, node_spec
from generations.comfy.wire import decode

Node: TypeAlias = dict[str, Any]
Graph: TypeAlias = dict[str, Node]
InputKey: TypeAlias = tuple[str, str]  # node id, input name
ClassInput: TypeAlias = tuple[str, str]  # node class, input name

_MODEL_EXTENSIONS = {".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".gguf", ".onnx"}
MAX_NODES = 20_000
_LONGEST_CHOICE = 255
OWN_OPTIONS = "CustomCombo"  # its choice is one of its own texts, of which the server knows none (nodes_logic.py)
_NUMBERS: dict[str, Callable[[Any], int | float]] = {"INT": int, "FLOAT": float}
_EXPORT_HINT = (
    "In ComfyUI, open the Workflow menu and choose “Export (API)”. (Older versions: switch on "
    "“Enable dev mode options” in the settings, then use “Save (API format)”.)"
)


class GraphError(ValueError):
    """The text is not a usable workflow; `str()` says what to do about it."""


@dataclass(frozen=True, slots=True)
class GraphProblem:
    """Why a server cannot run the graph. `node_id` is "" when the graph as a whole is at fault.

    `reason` is a word for programs, `field` the input that is at fault, if it is one.
    """

    node_id: str
    title: str
    message: str
    reason: str = "invalid"
    field: str = ""


def load_api_graph(source: str | bytes | object) -> Graph:
    """The workflow in a JSON text or an already parsed value; wrappers are taken off and missing `inputs`
    added.

    Integers keep all their digits. Raises GraphError.
    """
    value = _unwrap(_parse(source))
    if not isinstance(value, dict) or not value:
        raise GraphError(f"This file holds no workflow. {_EXPORT_HINT}")
    if isinstance(value.get("nodes"), list):
        raise GraphError(f"This is a workflow in ComfyUI's editor format, which cannot be run as it is. {_EXPORT_HINT}")
    if len(value) > MAX_NODES:
        raise GraphError(f"This workflow has {len(value):,} nodes; at most {MAX_NODES:,} can be read.")
    graph = {str(node_id): _load_node(str(node_id), node) for node_id, node in value.items()}
    for node_id, name, source_id in links(graph):
        if source_id not in graph:
            raise GraphError(
                f"{_name(graph, node_id)} takes its input “{name}” from node {source_id}, which is not "
                "in the file. Reconnect that input in ComfyUI and export the workflow again."
            )
    return graph


def _parse(source: str | bytes | object) -> object:
    if not isinstance(source, str | bytes):
        return source
    try:
        return decode(source.decode("utf-8-sig") if isinstance(source, bytes) else source.removeprefix("\ufeff"))
    except (UnicodeDecodeError, ProtocolError) as error:
        raise GraphError(f"This is not a JSON file, so it cannot be a workflow. {_EXPORT_HINT}") from error


def _unwrap(value: object) -> object:
    """Takes off the `{"prompt": …}` of request bodies and file metadata; its value may be JSON text."""
    for key in ("prompt", "output"):
        if isinstance(value, dict) and key in value and not _is_node(value[key]):
            return _parse(value[key])
    return value


def _is_node(value: object) -> bool:
    return isinstance(value, dict) and "class_type" in value


def _load_node(node_id: str, node: object) -> Node:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str) or not node["class_type"]:
        raise GraphError(f"The entry “{node_id[:80]}” is not a node: it has no “class_type”. {_EXPORT_HINT}")
    inputs = node.get("inputs")
    if inputs is not None and not isinstance(inputs, dict):
        raise GraphError(f"The “inputs” of node {node_id} ({node['class_type']}) are not an object. {_EXPORT_HINT}")
    # A node without inputs that no output reaches passes the server's validation and then kills its only
    # worker.
    return {**node, "inputs": inputs or {}}


def is_link(value: object) -> bool:
    """True for `[node id, output index]`: a list of exactly two, a string and a number (graph_utils.py,
    is_link).
    """
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
        and not isinstance(value[1], bool)
    )


def as_constant(value: object) -> object:
    """ComfyUI takes a bare list of two for a link, so lists are wrapped (execution.py, get_input_data)."""
    return {"__value__": value} if isinstance(value, list) else value


def links(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Every link as (node id, input name, id of the node it comes from)."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            if is_link(value):
                yield node_id, name, value[0]


def node_title(graph: Graph, node_id: str) -> str:
    """The title given in the editor, else the class, else the id. Ids of expanded nodes resolve to their
    outer node.
    """
    node = graph.get(node_id) or graph.get(node_id.partition(".")[0])
    if node is None:
        return node_id
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title.strip() if isinstance(title, str) and title.strip() else str(node["class_type"])


def own_title(graph: Graph, node_id: str, spec: NodeSpec | None = None) -> str:
    """The title, if somebody gave the node one of its own; "" for the class or its display name."""
    title = node_title(graph, node_id)
    return "" if title in {graph[node_id]["class_type"], spec.display_name if spec else ""} else title


def node_classes(graph: Graph) -> frozenset[str]:
    return frozenset(str(node["class_type"]) for node in graph.values())


def model_choices(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Every model file that the graph names, as (node class, input, file)."""
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, str) and is_model_file(value):
                yield str(node["class_type"]), name, value


def constant_texts(graph: Graph, *, leaving_out: Container[InputKey] = ()) -> Iterator[tuple[str, str, str]]:
    """Every short text in the graph, as (node class, input, text), but for the inputs `leaving_out`.

    Where the input is a choice, a server must offer that text.
    """
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            is_short = isinstance(value, str) and "\n" not in value and len(value) <= _LONGEST_CHOICE
            if is_short and (node_id, name) not in leaving_out:
                yield str(node["class_type"]), name, value


def output_nodes(graph: Graph, object_info: ObjectInfo) -> tuple[str, ...]:
    """Ids of the nodes that produce results on that server."""
    specs = {class_type: node_spec(object_info, class_type) for class_type in node_classes(graph)}
    return tuple(node_id for node_id, node in graph.items() if _is_output(specs[node["class_type"]]))


def paid_nodes(graph: Graph, object_info: ObjectInfo | None) -> tuple[str, ...]:
    """Ids of the nodes that call a paid service."""
    specs = {class_type: node_spec(object_info, class_type) for class_type in node_classes(graph)}
    return tuple(node_id for node_id, node in graph.items() if (spec := specs[node["class_type"]]) and spec.is_paid)


def sending_nodes(graph: Graph) -> list[str]:
    """The nodes that send their results: those at an end of the graph whose class says so, such as SaveImageWebsocket
    of ComfyUI and ETN_SendImageWebSocket of comfyui-tooling-nodes.
    """
    feeding = {source_id for _node_id, _name, source_id in links(graph)}
    return [
        node_id
        for node_id, node in graph.items()
        if node_id not in feeding and "websocket" in str(node["class_type"]).lower()
    ]


def with_own_options(graph: Graph, node_id: str, spec: InputSpec | None) -> InputSpec | None:
    """What the input takes at this node, where its class alone does not tell.

    A CustomCombo's options are written into the node. Those of a dynamic combo bring inputs of their own along: it can
    become what the node has all inputs for.
    """
    node = graph[node_id]
    if spec is not None and spec.type == DYNAMIC_COMBO:
        now = node["inputs"].get(spec.name)
        complete = (name for name in spec.sub_inputs if name == now or _is_complete(spec, name, node["inputs"]))
        return replace(spec, type="COMBO", choices=tuple(complete))
    if spec is None or node["class_type"] != OWN_OPTIONS or spec.name != "choice":
        return spec
    options = (value for name, value in node["inputs"].items() if re.fullmatch(r"option[0-9]+", name))
    return replace(spec, choices=tuple(dict.fromkeys(value for value in options if isinstance(value, str) and value)))


def _is_complete(spec: InputSpec, option: object, inputs: Mapping[str, object]) -> bool:
    """True when these inputs hold, with values that fit, all that this option of a dynamic combo requires."""
    for each in spec.sub_inputs.get(option, ()) if isinstance(option, str) else ():
        value = inputs.get(each.name)
        if each.name not in inputs:
            if each.required and not each.type.startswith("COMFY_"):
                return False
        elif each.type == DYNAMIC_COMBO:
            if not _is_complete(each, value, inputs):
                return False
        elif not is_link(value) and fit(value, each) is not Fit.YES:
            return False
    return isinstance(option, str) and option in spec.sub_inputs


def is_numbered_choice(graph: Graph, key: InputKey) -> bool:
    """True for a choice whose position another node takes, too: whoever sets it would have to set both."""
    node_id, name = key
    return name == "choice" and graph[node_id]["class_type"] == OWN_OPTIONS and node_id in numbered_choices(graph)


def numbered_choices(graph: Graph) -> frozenset[str]:
    """Ids of the nodes with a choice of that sort, or of another class whose second output is taken."""
    values = (value for node in graph.values() for value in node["inputs"].values())
    return frozenset(value[0] for value in values if is_link(value) and value[1] == 1)


def needed_nodes(graph: Graph, outputs: Iterable[str]) -> frozenset[str]:
    """Ids of these nodes and of all that feed them: what ComfyUI checks and runs."""
    found: set[str] = set()
    pending = [node_id for node_id in outputs if node_id in graph]
    while pending:
        node_id = pending.pop()
        if node_id not in found:
            found.add(node_id)
            values = graph[node_id]["inputs"].values()
            pending += [value[0] for value in values if is_link(value) and value[0] in graph]
    return frozenset(found)


def check_graph(graph: Graph, object_info: ObjectInfo) -> list[GraphProblem]:
    """What keeps that server from running the graph; empty when nothing was found.

    Of nodes that no output needs, only the class matters.
    """
    problems = list(_unknown_classes(graph, object_info))
    outputs = output_nodes(graph, object_info)
    if not problems and not outputs:
        message = "No node of this workflow saves or shows a result; add a Save Image node."
        problems.append(GraphProblem("", "", message, "no_output"))
    needed = needed_nodes(graph, outputs)
    graph = {node_id: node for node_id, node in graph.items() if node_id in needed}
    problems += _missing_inputs(graph, object_info)
    problems += _missing_outputs(graph, object_info)
    problems += _wrong_values(graph, object_info)
    problems += _missing_models(graph, object_info)
    return problems + _loops(graph)


def _unknown_classes(graph: Graph, object_info: ObjectInfo) -> Iterator[GraphProblem]:
    for node_id, node in graph.items():
        if node["class_type"] not in object_info:
            yield GraphProblem(
                node_id,
                node_title(graph, node_id),
                f"The server does not know the node type {node['class_type']}; install the custom node it comes from.",
                "unknown_class",
            )


def _missing_inputs(graph: Graph, object_info: ObjectInfo) -> Iterator[GraphProblem]:
    for node_id, node in graph.items():
        spec = node_spec(object_info, node["class_type"])
        for wanted in spec.inputs if spec else ():
            if wanted.required and not is_given(wanted, node["inputs"]):
                message = f"The required input “{wanted.name}” is not connected and has no value."
                yield GraphProblem(node_id, node_title(graph, node_id), message, "missing_input", wanted.name)


def _missing_outputs(graph: Graph, object_info: ObjectInfo) -> Iterator[GraphProblem]:
    """Links to outputs that a class lacks. A class with an output of any type may have more than it lists."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            if not is_link(value) or value[0] not in graph:
                continue
            info = object_info.get(graph[value[0]]["class_type"])
            outputs = info.get("output") if isinstance(info, dict) else None
            if isinstance(outputs, list) and value[1] >= len(outputs) and "*" not in outputs:
                source = node_title(graph, value[0])
                message = f"The input “{name}” takes output {value[1] + 1} of “{source}”, which has {len(outputs)}."
                yield GraphProblem(node_id, node_title(graph, node_id), message, "bad_linked_input", name)


def is_given(spec: InputSpec, inputs: Iterable[str]) -> bool:
    """Whether a node with these inputs has one for it.

    Inputs of newer servers' dynamic types (COMFY_…) appear under dotted names, or not at all.
    """
    return spec.type.startswith("COMFY_") or any(
        name == spec.name or name.startswith(f"{spec.name}.") for name in inputs
    )


def _wrong_values(graph: Graph, object_info: ObjectInfo) -> Iterator[GraphProblem]:
    """Constants that the server refuses: lists that are not links, texts for numbers, numbers out of range.

    As execution.py (validate_inputs) has it, which converts before it judges: "7", 7.9 and True are integers.
    """
    for node_id, node in graph.items():
        description = node_spec(object_info, node["class_type"])
        for name, value in node["inputs"].items():
            wanted = description.input(name) if description else None
            if wanted is not None and not is_link(value) and (fault := _value_fault(wanted, value)):
                message, reason = fault
                yield GraphProblem(node_id, node_title(graph, node_id), message, reason, name)


def _value_fault(wanted: InputSpec, value: object) -> tuple[str, str] | None:
    """(sentence, reason) for a value that is not a link."""
    if isinstance(value, list):
        return (
            f'The input “{wanted.name}” holds a list that is not a link; write {{"__value__": […]}}.',
            "bad_linked_input",
        )
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    if wanted.type not in _NUMBERS:
        return None
    try:
        number = _NUMBERS[wanted.type](value)
    except (ValueError, TypeError, OverflowError):
        return f"The input “{wanted.name}” holds “{str(value)[:60]}”, where a number belongs.", "invalid_value"
    if wanted.min is not None and number < wanted.min:
        return f"The input “{wanted.name}” is {number}; it must be at least {wanted.min}.", "value_smaller_than_min"
    if wanted.max is not None and number > wanted.max:
        return f"The input “{wanted.name}” is {number}; it must be at most {wanted.max}.", "value_bigger_than_max"
    return None


def _missing_models(graph: Graph, object_info: ObjectInfo) -> Iterator[GraphProblem]:
    for node_id, spec, value in _models(graph, object_info):
        if spec and spec.choices is not None and value not in spec.choices:
            yield GraphProblem(
                node_id,
                node_title(graph, node_id),
                f"The server has no file {value} to choose as “{spec.name}”; put it into the server's models folder.",
                "missing_model",
                spec.name,
            )


def _models(graph: Graph, object_info: ObjectInfo | None) -> Iterator[tuple[str, InputSpec | None, str]]:
    for node_id, node in graph.items():
        node_description = node_spec(object_info, node["class_type"])
        for name, value in node["inputs"].items():
            spec = node_description.input(name) if node_description else None
            is_choice = spec is None or (spec.type == "COMBO" and not spec.upload)
            if is_choice and isinstance(value, str) and is_model_file(value):
                yield node_id, spec, value


def is_model_file(value: str) -> bool:
    """True for what looks like the name of a model file."""
    return "\n" not in value and PurePosixPath(value.replace("\\", "/")).suffix.lower() in _MODEL_EXTENSIONS


def _is_output(spec: NodeSpec | None) -> bool:
    return spec is not None and spec.is_output_node


def _loops(graph: Graph) -> list[GraphProblem]:
    sources: dict[str, set[str]] = {node_id: set() for node_id in graph}
    for node_id, _input_name, source_id in links(graph):
        sources[node_id].add(source_id)
    try:
        graphlib.TopologicalSorter(sources).prepare()
    except graphlib.CycleError as error:
        ring = " → ".join(node_title(graph, node_id) for node_id in error.args[1])
        first = str(error.args[1][0])
        return [
            GraphProblem(first, node_title(graph, first), f"These nodes feed each other in a loop: {ring}.", "loop")
        ]
    return []


def _name(graph: Graph, node_id: str) -> str:
    return f"The node “{node_title(graph, node_id)}” ({node_id})"
