"""Input nodes of other tools that turn workflows into apps: each says what users set, and much about how.

Facts about the classes: BennyKok/comfyui-deploy (comfy-nodes), myshell-ai/ComfyUI-ShellAgent-Plugin (comfy-nodes),
tuyenhm68/ComfyUI-HMT-Suite (nodes/komfy), SwarmUI (SwarmComfyCommon/SwarmInputNodes.py), bentoml/comfy-pack
(nodes/nodes.py), Acly/comfyui-tooling-nodes (krita.py), get-salt-AI/SaltAI, badayvedat/ComfyUI-fal-Connector
(nodes/io.py) and nilor-corp/nilor-nodes (user_input.py).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generations.comfy.app_mode import MAX_ENTRIES, Choice, ChosenInput
from generations.comfy.graph import Graph, InputKey, Node, is_link, node_title
from generations.comfy.notes import Note
from generations.comfy.object_info import ObjectInfo, input_spec

_LONGEST_LIST = 20_000
_MOST_CHOICES = 1000


@dataclass(frozen=True, slots=True)
class _Kind:
    """One class. The fields are names of its inputs; `type` is the parameter's where the node's schema may not tell.

    `overrides`: inputs that win over the value when they are filled. `is_picture`: it comes by link or address.
    """

    tool: str
    value: str
    type: str = ""
    name: str = ""
    label: str = ""
    help: str = ""
    minimum: str = ""
    maximum: str = ""
    step: str = ""
    choices: str = ""
    types: tuple[str, Mapping[str, str]] | None = None  # the input that says the type, and what its values mean
    overrides: tuple[str, ...] = ()
    is_picture: bool = False


def _deploy(value: str = "default_value", type: str = "", **fields: Any) -> _Kind:
    return _Kind("ComfyDeploy", value, type, "input_id", "display_name", "description", **fields)


def _shell_agent(type: str, **fields: Any) -> _Kind:
    return _Kind("ShellAgent", "default_value", type, name="input_name", help="description", **fields)


def _swarm(type: str, **fields: Any) -> _Kind:
    return _Kind("SwarmUI", "value", type, name="raw_id", label="title", help="description", **fields)


_KRITA_TYPES = {
    "number": "number",
    "number (integer)": "integer",
    "text": "text",
    "prompt (positive)": "text",
    "prompt (negative)": "text",
}
_SALT_TYPES = {"STRING": "text", "INT": "integer", "FLOAT": "number", "BOOLEAN": "boolean"}
_BOUNDS: dict[str, Any] = {"minimum": "min_value", "maximum": "max_value"}
_LIMITS: dict[str, Any] = {"minimum": "minimum", "maximum": "maximum"}
_RANGE: dict[str, Any] = {"minimum": "min", "maximum": "max", "step": "step"}
_KINDS: dict[str, _Kind] = {
    "ComfyUIDeployExternalText": _deploy(type="text"),
    "ComfyUIDeployExternalTextAny": _deploy(type="text"),
    "ComfyUIDeployExternalNumber": _deploy(type="number", overrides=("input_id",)),
    "ComfyUIDeployExternalNumberInt": _deploy(type="integer", overrides=("input_id",)),
    "ComfyUIDeployExternalNumberSlider": _deploy(type="number", overrides=("input_id",), **_BOUNDS),
    "ComfyUIDeployExternalNumberSliderInt": _deploy(type="integer", overrides=("input_id",), **_BOUNDS),
    "ComfyUIDeployExternalBoolean": _deploy(type="boolean"),
    "ComfyUIDeployExternalEnum": _deploy(type="choice", choices="options"),
    "ComfyUIDeployExternalSeed": _deploy(type="seed", **_BOUNDS),
    "ComfyUIDeployExternalLora": _deploy("default_lora_name", overrides=("lora_url",)),
    "ComfyUIDeployExternalCheckpoint": _deploy(),
    "ComfyUIDeployExternalVideo": _deploy(type="video", overrides=("input_id",)),
    "ComfyUIDeployExternalVid": _deploy(type="video", overrides=("input_id",)),
    "ComfyUIDeployExternalAudio": _deploy("audio_file", "audio"),
    "ComfyUIDeployExternalImage": _deploy(is_picture=True, overrides=("input_id", "default_value_url")),
    "ComfyUIDeployExternalImageAlpha": _deploy(is_picture=True, overrides=("input_id",)),
    "ComfyUIDeployExternalImageBatch": _deploy(is_picture=True),
    "ShellAgentPluginInputText": _shell_agent("text", choices="choices"),
    "ShellAgentPluginInputInteger": _shell_agent("integer", choices="choices", step="step", **_LIMITS),
    "ShellAgentPluginInputFloat": _shell_agent("number", choices="choices", **_LIMITS),
    "ShellAgentPluginInputBoolean": _shell_agent("boolean"),
    "ShellAgentPluginInputImage": _shell_agent("image"),
    "ShellAgentPluginInputVideo": _shell_agent("video"),
    "ShellAgentPluginInputAudio": _shell_agent("audio"),
    "Komfy_Integer": _Kind("Komfy", "value", "integer"),
    "Komfy_Float": _Kind("Komfy", "value", "number"),
    "Komfy_String": _Kind("Komfy", "value", "text"),
    "Komfy_Boolean": _Kind("Komfy", "value", "boolean"),
    "Komfy_AspectRatio": _Kind("Komfy", "ratio"),
    "SwarmInputInteger": _swarm("integer", **_RANGE),
    "SwarmInputFloat": _swarm("number", **_RANGE),
    "SwarmInputText": _swarm("text"),
    "SwarmInputBoolean": _swarm("boolean"),
    "SwarmInputDropdown": _swarm("choice", choices="values"),
    "SwarmInputCheckpoint": _swarm(""),
    "CPackInputImage": _Kind("comfy-pack", "image", "image"),
    "CPackInputString": _Kind("comfy-pack", "value", "text"),
    "CPackInputInt": _Kind("comfy-pack", "value", "integer", minimum="min", maximum="max"),
    "BentoInputImage": _Kind("comfy-pack", "image", "image"),
    "BentoInputString": _Kind("comfy-pack", "value", "text"),
    "BentoInputInteger": _Kind("comfy-pack", "value", "integer"),
    "BentoInputFloat": _Kind("comfy-pack", "value", "number"),
    "BentoInputBoolean": _Kind("comfy-pack", "value", "boolean"),
    "BentoInputSelection": _Kind("comfy-pack", "selected", "choice", choices="options"),
    "ETN_Parameter": _Kind("Krita", "default", name="name", types=("type", _KRITA_TYPES)),
    "SaltInput": _Kind("Salt", "input_value", name="input_name", help="input_desc", types=("input_type", _SALT_TYPES)),
    "IntegerInput_fal": _Kind("fal", "number", "integer", name="name", **_RANGE),
    "FloatInput_fal": _Kind("fal", "number", "number", name="name", **_RANGE),
    "BooleanInput_fal": _Kind("fal", "value", "boolean", name="name"),
    "StringInput_fal": _Kind("fal", "value", "text", name="name"),
    "NilorUserInput_String": _Kind("Nilor", "value", "text", name="input_name"),
    "NilorUserInput_Int": _Kind("Nilor", "value", "integer", name="input_name"),
    "NilorUserInput_Float": _Kind("Nilor", "value", "number", name="input_name"),
    "NilorUserInput_Boolean": _Kind("Nilor", "value", "boolean", name="input_name"),
}
# Classes of these tools that take what a form here cannot give: addresses, paths, pictures as text.
_OTHERS = re.compile(
    r"ComfyUIDeployExternal|ComfyDeployWebscoketImageInput|ShellAgentPluginInput|Komfy_|SwarmInput(?!Group$)"
    r"|[CB](Pack|ento)Input|ETN_Krita(Canvas|Selection|ImageLayer|MaskLayer|Style)|NilorUserInput_"
)


def read(graph: Graph, object_info: ObjectInfo | None) -> tuple[Choice, list[str]]:
    """What the input nodes of a graph let users set, and the names of the tools that they belong to.

    Without such nodes, or with ones that only take what no form can give, there are no inputs; notes name the latter.
    """
    choice = Choice()
    found: list[tuple[float, ChosenInput]] = []
    tools: dict[str, None] = {}
    for node_id, node in graph.items():
        kind = _KINDS.get(node["class_type"])
        if kind is None:
            if _OTHERS.match(node["class_type"]):
                sentence = f"{_called(graph, node_id)} takes what no form can give, such as an address."
                choice.notes.append(Note(sentence, node_id))
            continue
        result = _read_node(graph, node_id, kind, object_info)
        if isinstance(result, str):
            choice.notes.append(Note(result, node_id))
        else:
            tools[kind.tool] = None
            found.append((_number(node["inputs"].get("order_priority")) or 0, result))
    choice.inputs = [one for _order, one in sorted(found, key=lambda pair: pair[0])][:MAX_ENTRIES]
    if len(found) > MAX_ENTRIES:
        choice.notes.append(
            Note(f"The workflow has {len(found):,} input nodes; only the first {MAX_ENTRIES} become settings.")
        )
    return choice, list(tools)


def _read_node(graph: Graph, node_id: str, kind: _Kind, object_info: ObjectInfo | None) -> ChosenInput | str:
    """The setting, or a sentence about why there is none."""
    inputs, called = graph[node_id]["inputs"], _called(graph, node_id)
    filled = next((name for name in kind.overrides if _is_filled(name, inputs.get(name))), None)
    if filled is not None:
        return f"{called} uses its “{filled}” instead of what users set. Empty that input."
    if kind.is_picture:
        key = _picture(graph, node_id, kind.value, object_info)
        without = f"{called} reads addresses only. Connect a Load Image node to its “{kind.value}”."
        return _described(inputs, kind, key, "image") if key else without
    value = inputs.get(kind.value)
    if is_link(value):
        return f"{called} gets its value from the node {_called(graph, value[0])}."
    type_name = kind.types[1].get(str(inputs.get(kind.types[0]))) if kind.types else kind.type
    if type_name is None or not isinstance(value, str | int | float):
        return f"{called} has no value that a form can set."
    return _described(inputs, kind, (node_id, kind.value), type_name)


def _described(inputs: dict[str, Any], kind: _Kind, key: InputKey, type_name: str) -> ChosenInput:
    name = _text(inputs.get(kind.name))
    choices = tuple(_choices(inputs.get(kind.choices)))[:_MOST_CHOICES]
    if type_name == "choice" and not choices:
        type_name = "string"
    low, high = _number(inputs.get(kind.minimum)), _number(inputs.get(kind.maximum))
    if low is not None and high is not None and low >= high:  # both 0: not set
        low = high = None
    step = _number(inputs.get(kind.step))
    return ChosenInput(
        (key,),
        label=_text(inputs.get(kind.label)) or re.sub(r"[_\s]+", " ", name).strip().capitalize(),
        name=name,
        help=_text(inputs.get(kind.help)),
        minimum=low,
        maximum=high,
        step=step if step and step > 0 else None,
        choices=choices,
        type="choice" if choices else type_name,
        is_advanced=inputs.get("is_advanced") is True,
    )


def _picture(graph: Graph, node_id: str, name: str, object_info: ObjectInfo | None) -> InputKey | None:
    """The input of the loader that gives the picture to use where no address is given."""
    value = graph[node_id]["inputs"].get(name)
    source = graph.get(value[0]) if isinstance(value, list) and is_link(value) else None
    for each in source["inputs"] if source else ():
        spec = input_spec(object_info, source["class_type"], each) if source else None
        if spec is not None and spec.upload == "image" and isinstance(value, list):
            return value[0], each
    return None


def _is_filled(name: str, value: object) -> bool:
    """True for a value that the node takes before any other; ids count only as numbers and addresses."""
    if not isinstance(value, str) or not value.strip():
        return False
    if name != "input_id":
        return True
    return value.startswith(("http", "data:")) or re.fullmatch(r"\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*", value) is not None


def _choices(value: object) -> Iterator[str | int | float]:
    """A list as JSON or as Python writes it; else a choice a line, or between commas."""
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_LIST:
        return
    try:
        parsed = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        parsed = None
    if not isinstance(parsed, list | tuple):
        parsed = value.split("\n" if "\n" in value else ",")
    seen: set[str] = set()
    for one in parsed:
        choice = one.strip() if isinstance(one, str) else one
        if type(choice) in {str, int, float} and choice != "" and str(choice) not in seen:
            seen.add(str(choice))
            yield choice


def _text(value: object) -> str:
    return value.strip()[:2000] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return value if is_number and isinstance(value, int | float) else None


def _called(graph: Graph, node_id: str) -> str:
    node: Node | None = graph.get(node_id)
    return f"“{node_title(graph, node_id)}” ({node_id})" if node else node_id
