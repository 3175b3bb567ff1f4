"""What an admin drops on the studio becomes a graph: any workflow file, a picture made with ComfyUI, a package."""

from __future__ import annotations

import codecs
import copy
import io
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from generations.comfy import app_mode, editor_notes, input_nodes
from generations.comfy.asset_references import replace_references
from generations.comfy.convert import convert_flagged
from generations.comfy.editor import is_editor_format
from generations.comfy.embedded import Embedded, NothingInItError, NoWorkflowError, read_embedded
from generations.comfy.errors import ProtocolError
from generations.comfy.graph import Graph, GraphError, load_api_graph, needed_nodes, node_title, output_nodes
from generations.comfy.model_sources import Source, read_sources
from generations.comfy.notes import Note
from generations.comfy.object_info import ObjectInfo
from generations.comfy.sketch import kept_of
from generations.comfy.wire import MAX_VALUES, decode
from generations.models import Generation
from generations.origins import MARK, origin_of
from generations.parameters.bind import bind
from generations.parameters.chosen import chosen_parameters
from generations.parameters.propose import propose
from generations.parameters.schema import Parameter
from generations.studio import archives, packages
from generations.studio.definitions import Definition

if TYPE_CHECKING:
    from accounts.models import User

MAX_BYTES = 256 * 1024 * 1024
MAX_JSON_BYTES = 32 * 1024 * 1024
MOST_NAMED = 3
_OBJECT = re.compile(r'[ \t\r\n]*\{[ \t\r\n]*("|$)')  # how a workflow begins, however it goes on
_PARTS = frozenset({"prompt", "output", "workflow", "extra_data", "nodes"})
NO_SERVER = (
    "This workflow is in the format of ComfyUI's editor, which can only be read with the node types of a ComfyUI "
    "server, and no server has reported any yet. Add a server and use “Check now”, or export the workflow in the API "
    "format."
)
NOTHING_RUNS = "Nothing in this workflow would run: it is empty, or every node is muted or bypassed."
ZIP = (
    "This is a ZIP archive. To make a template of each workflow in it, drop it on the page for new templates. Here, "
    "choose one of its files."
)
NOT_UTF8 = (
    "This begins like a JSON file, but its text is not encoded in UTF-8, as JSON has to be. Open it in an editor and "
    "save it as UTF-8."
)
# The longer ones first: they begin like the others.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SENT_BY_ANOTHER = "Somebody else made this result with a workflow of their own. Ask them for the workflow."
NOT_OURS = "This result was not made here, or its history was deleted; it was read like any other picture."


class NoWorkflowFileError(GraphError):
    """The file is not meant to be a workflow: among many files, it is skipped."""


@dataclass(slots=True)
class Imported:
    """A graph, and what came along with it. `parameters` is None when nothing said what users may set; `chosen` is
    what the workflow's author chose for whoever uses it in the editor, `proposed` what users most probably want to set.
    """

    graph: Graph
    parameters: list[Definition] | None = None
    output_nodes: list[str] = field(default_factory=list)
    safety_node: str = ""
    details: dict[str, Any] = field(default_factory=dict)  # of the template: title, description, …
    editor: dict[str, Any] | None = None  # what the editor keeps of the nodes besides the graph
    notes: list[Note] = field(default_factory=list)
    chosen: list[Parameter] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)  # by model file: where it comes from
    proposed: list[Parameter] | None = None  # without such a choice; None: nobody has looked yet


def read(data: bytes, object_info: ObjectInfo | None, *, by: User | None = None) -> Imported:
    """The workflow in a file's bytes, whatever kind of file it is. Of a result of this site, only `by` whoever made it
    is shown the inputs of its run: others get the template alone, staff included.

    GraphError says what is wrong with it and what to do; for what cannot be converted it names the nodes.
    """
    if len(data) > MAX_BYTES:
        raise GraphError(f"This file is larger than {MAX_BYTES // 2**20} MB.")
    if not data or data.isspace():
        raise NoWorkflowFileError("This is empty. Choose a workflow, or a picture made with ComfyUI.")
    if archives.is_archive(data):
        raise GraphError(ZIP)
    text = _as_text(data)
    if text is not None:
        return _read_json(_decode(text), object_info)
    try:
        embedded = read_embedded(io.BytesIO(data))
    except NoWorkflowError as error:
        origin = origin_of(io.BytesIO(data))  # of ours, but made by a ComfyUI that writes nothing into files
        if origin is None:
            kind = NoWorkflowFileError if isinstance(error, NothingInItError) else GraphError
            raise kind(str(error)) from error
        return _read_own(origin, by)
    return _read_result(data, embedded, object_info, by)


def _as_text(data: bytes) -> str | None:
    """The text of what may be JSON; None for files of other kinds. GraphError when it cannot be read as a text."""
    mark, encoding = next((each for each in _MARKS if data.startswith(each[0])), (b"", "utf-8"))
    head = data[len(mark) : 4096].decode(encoding, "ignore") if mark else data[:4096].decode("latin-1")
    if head.lstrip(" \t\r\n")[:1] not in ("{", "[", '"'):
        return None
    if len(data) > MAX_JSON_BYTES:
        raise GraphError(f"This JSON file is larger than {MAX_JSON_BYTES // 2**20} MB.")
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in data[:4096] and not mark:
            return None  # no text at all: the first bytes look like JSON by chance
        raise _unreadable(head, NOT_UTF8) from error


def _decode(text: str) -> object:
    try:
        return decode(text, max_values=MAX_VALUES)
    except ProtocolError as error:
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        sentence = f"This begins like a JSON file, but it cannot be read as one{reason}. It may be cut off."
        raise _unreadable(text, sentence) from error


def _unreadable(text: str, sentence: str) -> GraphError:
    """Ordinary texts may begin with a bracket, too; workflows begin as objects do."""
    return GraphError(sentence) if _OBJECT.match(text) else NoWorkflowFileError(sentence)


def _read_json(value: object, object_info: ObjectInfo | None) -> Imported:
    if packages.is_package(value):
        return _read_package(value)
    if is_editor_format(value):
        return _convert(value, object_info)
    try:
        return _read_pair(value, _beside(value), object_info)
    except GraphError as refusal:
        if _is_other_json(value):
            raise NoWorkflowFileError(str(refusal)) from refusal
        raise


def _is_other_json(value: object) -> bool:
    """True for what nobody meant to be a workflow, such as a package.json: no part of it looks like one."""
    if not isinstance(value, dict):
        return True
    is_named = not _PARTS.isdisjoint(value)
    return not is_named and not any(isinstance(each, dict) and "class_type" in each for each in value.values())


def _beside(value: object) -> object:
    """The editor's workflow that the body of a request, or a file that holds both, has beside its prompt."""
    if not isinstance(value, dict):
        return None
    workflow = value.get("workflow")
    for name in ("extra_data", "extra_pnginfo", "workflow"):
        value = value.get(name) if isinstance(value, dict) else None
    found = workflow if workflow is not None else value
    if isinstance(found, str):  # JSON within JSON, as in the texts of pictures
        try:
            return decode(found, max_values=MAX_VALUES)
        except ProtocolError:
            return None
    return found


def _read_pair(prompt: object, workflow: object, object_info: ObjectInfo | None) -> Imported:
    """What ran, to the letter, where the prompt tells; else the editor's workflow, which has to be converted.

    Some nodes and tools write an empty prompt, or another thing under its name, beside a workflow that is whole.
    """
    try:
        graph = load_api_graph(prompt)
    except GraphError as refusal:
        if is_editor_format(workflow):
            return _convert(workflow, object_info)
        try:
            return _with_choice(_as_exported(load_api_graph(workflow)), None, object_info)  # under the other's name
        except GraphError:
            raise refusal from None
    return _with_choice(_as_exported(graph, editor=kept_of(workflow, graph)), workflow, object_info)


def _as_exported(graph: Graph, editor: dict[str, Any] | None = None) -> Imported:
    """A graph that the editor made: its texts were resolved then."""
    editor_notes.keep_literal(graph)
    return Imported(graph, editor=editor)


def _read_package(value: dict[str, Any]) -> Imported:
    package = packages.read(value)
    return Imported(
        package.graph, package.parameters, package.output_nodes, package.safety_node, details=package.details
    )


def _convert(value: Any, object_info: ObjectInfo | None) -> Imported:
    if object_info is None:
        raise GraphError(NO_SERVER)
    converted = convert_flagged(value, object_info)
    graph = converted.graph
    notes = [Note(f"{flag.title} (node {flag.node_id}): {flag.message}", flag.node_id) for flag in converted.flags]
    if not graph:
        raise GraphError("\n".join([NOTHING_RUNS, *notes]))
    needed = needed_nodes(graph, output_nodes(graph, object_info))
    left = [node_id for node_id in graph if node_id not in needed]
    if needed and left:
        left_out = f"Left out, because no result needs it: {len(left)} of {len(graph)} nodes."
        notes.append(Note(left_out, is_flag=False))
        graph = {node_id: node for node_id, node in graph.items() if node_id in needed}
    editor_notes.note_widgets(graph, value, object_info)
    imported = Imported(graph, notes=notes, editor=kept_of(value, graph))
    return _with_choice(imported, value, object_info)


def _with_choice(imported: Imported, workflow: object, object_info: ObjectInfo | None) -> Imported:
    """With what the author chose: in the editor's app mode, else by input nodes of other tools. A sentence says so.

    Without a choice, parameters are proposed: here, because whoever stores them holds locks.
    """
    choice = app_mode.read(workflow, imported.graph, object_info)
    said = []
    if choice.inputs or choice.outputs:
        said = [Note(f"Taken from the workflow's app mode: {_listed(choice, imported.graph)}.", is_flag=False)]
    notes = choice.notes
    if not choice.inputs:
        given, tools = input_nodes.read(imported.graph, object_info)
        if given.inputs:
            sentence = f"Taken from the workflow's input nodes ({', '.join(tools)}): {_listed(given, imported.graph)}."
            said.append(Note(sentence, is_flag=False))
        choice.inputs = given.inputs
        notes = [*notes, *given.notes]
    return replace(
        imported,
        chosen=chosen_parameters(imported.graph, choice.inputs, object_info),
        proposed=[] if choice.inputs else propose(imported.graph, object_info),
        output_nodes=choice.outputs,
        sources=read_sources(workflow, imported.graph),
        notes=[*imported.notes, *said, *notes],
    )


def _listed(choice: app_mode.Choice, graph: Graph) -> str:
    settings, results = len(choice.inputs), len(choice.outputs)
    nodes = (
        f"{results} nodes" if results > MOST_NAMED else ", ".join(node_title(graph, each) for each in choice.outputs)
    )
    return " and ".join(
        [
            *(["1 setting" if settings == 1 else f"{settings} settings"] if settings else []),
            *([f"the results of {nodes}"] if results else []),
        ]
    )


def _read_result(data: bytes, embedded: Embedded, object_info: ObjectInfo | None, by: User | None) -> Imported:
    origin = origin_of(io.BytesIO(data))
    if origin is not None:
        return _read_own(origin, by)
    imported = _read_pair(embedded.prompt, embedded.workflow, object_info)
    notes = [Note(NOT_OURS, is_flag=False)] if MARK in embedded.extra else []
    return replace(imported, notes=[*notes, *imported.notes])


def _read_own(origin: Generation, by: User | None) -> Imported:
    """The version that made it, with the inputs of that run as defaults; seeds and files stay open."""
    version, is_mine = origin.version, by is not None and origin.user_id == by.pk
    if version.template_id is None:
        if not is_mine:
            raise GraphError(SENT_BY_ANOTHER)
        blank = replace_references(version.graph, lambda _asset_id, _known: "")
        sentence = "This is a result of a workflow sent whole."
        return replace(_as_exported(blank), notes=[Note(sentence, is_flag=False)])
    parameters = version.parsed_parameters
    values = {each.name: origin.inputs.get(each.name) for each in parameters if is_mine and not each.is_media}
    definitions = copy.deepcopy(version.parameters)
    for definition in definitions:
        value = values.get(definition["name"])
        if value is not None and definition["type"] != "seed":
            definition["default"] = value
    graph = bind(version.graph, [each for each in parameters if each.name in values], values)
    what = "its parameters and inputs came along" if is_mine else "somebody else made it, so its inputs stay private"
    sentence = f"This is a result of “{version.template}”, version {version.number}: {what}."
    note = Note(sentence, is_flag=False)
    return Imported(
        graph, definitions, list(version.output_nodes), version.safety_node, notes=[note], editor=version.editor
    )
