"""Which widgets a node has in ComfyUI's editor, in the order in which it stores their values.

Most are inputs of the node's class; some come from the editor's own extensions (src/extensions/core of
ComfyUI_frontend), and some from values: the option of a dynamic combo, the texts of a CustomCombo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from generations.comfy.editor import EditorNode, Slot
from generations.comfy.graph import as_constant
from generations.comfy.kinds import ABSENT, AUTOGROW, CHOSEN_NUMBER, DYNAMIC_GROUP, MATCH, SENT_PLAYER, TYPED_OPTION
from generations.comfy.object_info import InputSpec, NodeSpec

MAX_ROWS = 1_000
_PLAYERS = frozenset({"LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"})


def widgets_of(spec: NodeSpec, node: EditorNode) -> list[InputSpec]:
    """The widgets that a node of this class has before any value is read."""
    shown = {slot.widget for slot in node.inputs if slot.widget}
    own = [each for each in spec.inputs if each.is_widget or (each.name in shown and not each.is_forced_link)]
    if spec.class_type == "CustomCombo":
        return [*own, InputSpec("index", CHOSEN_NUMBER), InputSpec("option1", TYPED_OPTION)]
    added = _added(spec)
    if spec.is_ordered:
        return [*own, *added]
    return [*(each for each in own if each.required), *added, *(each for each in own if not each.required)]


def _added(spec: NodeSpec) -> list[InputSpec]:
    """Widgets that extensions of the editor's core add to the class."""
    required = {each.name: each for each in spec.inputs if each.required}
    added: list[InputSpec] = []
    if spec.class_type in _PLAYERS:
        added.append(InputSpec("audioUI", SENT_PLAYER if spec.is_old else "AUDIO_UI"))
    if spec.class_type == "PreviewAny" and spec.is_old:
        added.append(InputSpec("preview", "STRING"))
    if spec.class_type in {"SaveGLB", "Preview3D"}:
        added.append(InputSpec("image", "PREVIEW_3D"))
    if "audio" in required and required["audio"].upload == "audio":
        added.append(InputSpec("upload", "AUDIOUPLOAD"))
    elif any(each.upload in {"image", "video"} for each in required.values()):
        added.append(InputSpec("upload", "IMAGEUPLOAD"))
    return added


def helpers_of(spec: InputSpec) -> int:
    """Places that hidden widgets take behind this one: the switch and button of a remote list among them."""
    return (spec.kind.helpers if spec.kind else 0) + int(spec.is_remote) + int(spec.has_refresh_button)


def places_of(spec: InputSpec) -> int:
    """Places that this widget takes among a node's stored values, with its control words and hidden widgets."""
    return 1 + spec.control_values + helpers_of(spec) if spec.is_kept else 0


def brought_along(spec: InputSpec, value: object) -> list[InputSpec]:
    """Widgets that stand behind this one because of its value."""
    if spec.sub_inputs:
        return [each for each in spec.sub_inputs.get(value, ()) if each.is_widget] if isinstance(value, str) else []
    if spec.type == DYNAMIC_GROUP and isinstance(value, int | float):
        rows = range(max(int(spec.min or 0), min(int(value), MAX_ROWS)))
        fields = [each for each in spec.members if each.is_widget]
        return [replace(each, name=f"{spec.name}.{row}.{each.name}") for row in rows for each in fields]
    if spec.type == TYPED_OPTION and value:
        return [replace(spec, name=f"option{int(spec.name.removeprefix('option')) + 1}")]
    return []


def chosen_number(choice: object, values: Mapping[str, Any]) -> int:
    """The place of the choice among a CustomCombo's options, from 0; -1 when it is none of them."""
    options = [values[name] for name in values if name.startswith("option")]
    return next((at for at, each in enumerate(options) if type(each) is type(choice) and each == choice), -1)


def default_of(spec: InputSpec) -> Any:
    """What the widget holds in a node that nothing was typed into; ABSENT for nothing at all."""
    kind = spec.kind
    if spec.sub_inputs and spec.type != "COMBO":
        return next(iter(spec.sub_inputs))
    if spec.type == DYNAMIC_GROUP:
        return int(spec.min or 0)
    if spec.type == "COMBO":
        if spec.is_multiple:
            return []
        first = spec.choices[0] if spec.choices else "Loading..." if spec.is_remote else ABSENT
        return spec.default or first
    if spec.default is not None and not (kind and kind.has_own_default):
        return spec.default
    return kind.default if kind else ""


def as_held(value: Any, spec: InputSpec, *, is_old: bool) -> Any:
    """A stored value as the widget has it: a combo is never empty, and one of several lines holds numbers as text."""
    if value is None and not is_old and not spec.is_multiple and (spec.choices or spec.sub_inputs):
        return spec.choices[0] if spec.choices else next(iter(spec.sub_inputs))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and spec.type == "STRING" and spec.multiline and not spec.widget_type:
        return str(int(value) if float(value).is_integer() else value)
    return value


# ------------------------------------------------------------------------------------------ slots
def slots_of(spec: NodeSpec, node: EditorNode) -> list[Slot]:
    """The node's inputs in the editor's order: sockets of the class, its widgets, and what only the file has."""
    saved = {slot.name: slot for slot in node.inputs}
    found: list[Slot] = []
    for each in [
        *(each for each in spec.inputs if not each.is_widget),
        *(each for each in spec.inputs if each.is_widget),
    ]:
        if each.type not in {AUTOGROW, DYNAMIC_GROUP}:
            own = saved.pop(each.name, Slot(each.name, each.type))
            found.append(own if each.type == MATCH else replace(own, type=each.type))
        if each.members or each.sub_inputs:
            below = [name for name in saved if name.startswith(f"{each.name}.")]
            found += [saved.pop(name) for name in below]
    return [*found, *saved.values()]


def has_slot(spec: NodeSpec, slot: Slot, values: Mapping[str, Any]) -> bool:
    """False for an input in the file that the editor takes away: one of an option that is not chosen, or of a widget
    that the class has no longer.
    """
    known = _place(spec.inputs, slot.name, values)
    return known if known is not None else not slot.widget


def _place(inputs: Iterable[InputSpec], name: str, values: Mapping[str, Any]) -> bool | None:
    """True for an input that is there with these values, False for one that is not, None for one unheard of."""
    for each in inputs:
        if each.name == name:
            return True
        if name.startswith(f"{each.name}."):
            if each.members:
                return True
            if each.sub_inputs:
                chosen = values.get(each.name)
                return bool(_place(each.sub_inputs.get(chosen, ()) if isinstance(chosen, str) else (), name, values))
    return None


def with_shown(spec: NodeSpec, values: dict[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """The node's values with those that the instance of its sub-graph holds."""
    values |= {name: as_sent(value, spec.input(name)) for name, value in shown.items()}
    if spec.class_type == "CustomCombo" and "choice" in shown:
        values["index"] = chosen_number(shown["choice"], values)
    return {name: value for name, value in values.items() if value is not ABSENT}


def as_sent(value: Any, spec: InputSpec | None) -> Any:
    """The value as the graph has it; curves say what they are, wherever they are held."""
    if spec is not None and spec.type == "CURVE" and value is not None:
        return {"__type__": "CURVE", "__value__": value}
    return as_constant(value)
