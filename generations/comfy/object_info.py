"""Typed reading of /object_info: which inputs a node class has, and what they accept.

Tolerates what custom nodes make of the format: missing or non-object options, infinite bounds, unknown keys.
Source: server.py (node_info), comfy/comfy_types/node_typing.py and comfy_api/latest/_io.py of ComfyUI.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from generations.comfy.file_inputs import FileInput, Upload, known_file, read_file_input
from generations.comfy.kinds import AUTOGROW, DYNAMIC_COMBO, DYNAMIC_GROUP, KINDS, VIEW, Kind
from generations.comfy.view3d import VIEWS

ObjectInfo: TypeAlias = Mapping[str, object]
Choice: TypeAlias = str | int | float | bool
CONSTANT_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})

# Our own entries among an input's options, made by `merge`; no server's answer has them.
_ONLY_ON, _REQUIRED_BY = "comfysaas_only_on", "comfysaas_required_by"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a node class. `type` is INT, FLOAT, STRING, BOOLEAN, COMBO, or the name of a link type.

    `choices` is None when the input is not a combo, or one whose options the server does not list. `file` says that the
    value names a file on the server. Where servers were merged that differ, `only_on` names those that have this input,
    and `required_by` those that require it.
    """

    name: str
    type: str
    required: bool = True
    default: object = None
    min: float | None = None
    max: float | None = None
    step: float | None = None
    choices: tuple[Choice, ...] | None = None
    multiline: bool = False
    tooltip: str = ""
    display_name: str = ""
    file: FileInput | None = None
    is_seed: bool = False
    is_advanced: bool = False
    is_forced_link: bool = False
    has_dynamic_prompts: bool = False
    widget_type: str = ""
    is_multiple: bool = False  # a combo of which several can be chosen
    is_remote: bool = False  # its choices come from another address of the server
    has_refresh_button: bool = False
    control_values: int = 0  # positions that the editor keeps behind this value: its control word, and a filter
    sub_inputs: Mapping[str, tuple["InputSpec", ...]] = field(default_factory=dict)  # by option of a dynamic combo
    members: tuple["InputSpec", ...] = ()  # of a group that grows: what each of its rows has, or one of its sockets
    only_on: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()

    @property
    def upload(self) -> Upload:
        """Which kind of file users upload there; "" for all that is not made for uploads."""
        return self.file.kind if self.file is not None and not self.file.is_path else ""

    @property
    def kind(self) -> Kind | None:
        """The kind of widget that the editor has for it (frontend: widgetStore); None for a socket."""
        return None if self.is_forced_link else KINDS.get(self.widget_type or self.type)

    @property
    def is_widget(self) -> bool:
        """True when the editor shows a widget for it."""
        return self.kind is not None

    @property
    def is_kept(self) -> bool:
        """True when its value takes a place among a node's stored values, if it is stored at all."""
        return self.kind is None or self.kind.is_kept

    @property
    def is_sent(self) -> bool:
        """True when its value goes to the server."""
        return self.kind is None or self.kind.is_sent

    @property
    def is_captured(self) -> bool:
        """True when only a browser can give the value: webcam, microphone, 3D view."""
        return self.kind is not None and self.kind.is_captured


@dataclass(frozen=True, slots=True)
class NodeSpec:
    class_type: str
    display_name: str
    inputs: tuple[InputSpec, ...] = ()
    is_output_node: bool = False
    category: str = ""
    description: str = ""
    is_ordered: bool = True  # the server tells the order of its inputs, as all do since 2024
    is_custom: bool = False  # of a custom node, whose scripts may add widgets
    is_old: bool = False  # see `is_old`
    is_paid: bool = False  # it calls a paid service (api_node of /object_info; comfy_api/latest/_io.py)

    def input(self, name: str) -> InputSpec | None:
        """Its input of that name; dotted names are those that an option of a dynamic combo brings along."""
        return next((spec for spec in _with_sub_inputs(self.inputs, name) if spec.name == name), None)


def _with_sub_inputs(specs: Iterable[InputSpec], name: str) -> Iterator[InputSpec]:
    for spec in specs:
        yield spec
        if name.startswith(f"{spec.name}.") or spec.type == "COMBO":
            for each in spec.sub_inputs.values():
                yield from _with_sub_inputs(each, name)
            yield from (row for member in spec.members if (row := _member(spec, member, name)))


def _member(spec: InputSpec, member: InputSpec, name: str) -> InputSpec | None:
    """The socket or field of that name in a group that grows."""
    if spec.type == AUTOGROW:
        return replace(member, name=name) if "." not in name[len(spec.name) + 1 :] else None
    row, _dot, own = name[len(spec.name) + 1 :].partition(".")
    return replace(member, name=name) if row.isdecimal() and own == member.name else None


MAX_READ = 1000  # of one workflow: 200 at the most
# By class and the identity of its description, which is kept beside what was read of it, so that it stays one.
_READ: dict[tuple[str, int], tuple[object, NodeSpec]] = {}


def node_spec(object_info: ObjectInfo | None, class_type: str) -> NodeSpec | None:
    """The class as this server describes it; None when it does not know the class or nothing is known of the
    server.
    """
    info = (object_info or {}).get(class_type)
    if info is None:
        return None
    # Every step of an import asks for the classes of all nodes, and reading one again costs more than all else.
    key = class_type, id(info)
    known = _READ.get(key)
    if known is None or known[0] is not info:
        if len(_READ) >= MAX_READ:
            _READ.clear()
        known = _READ[key] = (info, read_node_spec(class_type, info))
    return known[1]


def input_spec(object_info: ObjectInfo | None, class_type: str, name: str) -> InputSpec | None:
    """One input as `node_spec` has it; of well-known loaders, what is known while no server has told their class."""
    node = node_spec(object_info, class_type)
    found = node.input(name) if node else None
    known = known_file(class_type, name) if node is None else None
    return InputSpec(name=name, type="COMBO", file=known) if known else found


def read_node_spec(class_type: str, info: object) -> NodeSpec:
    """The description of one class; whatever is malformed in it is left out. Never raises."""
    data = info if isinstance(info, dict) else {}
    return NodeSpec(
        class_type=class_type,
        display_name=_text(data.get("display_name")) or class_type,
        inputs=tuple(_read_inputs(class_type, data)),
        is_output_node=data.get("output_node") is True,
        category=_text(data.get("category")),
        description=_text(data.get("description")),
        is_ordered=bool(_mapping(data.get("input_order"))),
        is_custom=_text(data.get("python_module")).startswith("custom_nodes"),
        is_old=_is_old(data),
        is_paid=data.get("api_node") is True,
    )


def is_old(object_info: ObjectInfo) -> bool:
    """True for what a server of 2025 or before told, whose own editor differs from today's here and there."""
    first = next((_mapping(info) for info in object_info.values()), {})
    return _is_old(first)


def _is_old(info: Mapping[str, object]) -> bool:
    return "is_input_list" not in info and "output_is_list" in info


def _read_inputs(class_type: str, info: Mapping[str, object]) -> Iterator[InputSpec]:
    return _read_groups(class_type, _mapping(info.get("input")), _mapping(info.get("input_order")))


def _read_groups(
    class_type: str, groups: Mapping[str, object], order: Mapping[str, object], prefix: str = ""
) -> Iterator[InputSpec]:
    for group in ("required", "optional"):
        specs = _mapping(groups.get(group))
        for name in _in_order(specs, order.get(group)):
            yield _read_input(class_type, prefix, name, specs[name], required=group == "required")


def _in_order(specs: Mapping[str, object], order: object) -> list[str]:
    wanted = order if isinstance(order, list) else []
    first = [name for name in wanted if isinstance(name, str) and name in specs]
    return list(dict.fromkeys([*first, *specs]))


def _read_input(class_type: str, prefix: str, name: str, spec: object, *, required: bool) -> InputSpec:
    full_name = f"{prefix}{name}"
    parts = spec if isinstance(spec, list | tuple) else [spec]
    kind = parts[0] if parts else "*"
    options = _mapping(parts[1]) if len(parts) > 1 else {}
    # The older form of a combo has the list of options in the place of the type.
    raw_choices = kind if isinstance(kind, list | tuple) else options.get("options")
    type_name = "COMBO" if isinstance(kind, list | tuple) else _text(kind) or "*"
    choices = _choices(raw_choices) if type_name == "COMBO" else None
    return InputSpec(
        name=full_name,
        type=type_name,
        required=required and not (options.get(_ONLY_ON) or options.get(_REQUIRED_BY)),
        only_on=_words(options.get(_ONLY_ON)),
        required_by=_words(options.get(_REQUIRED_BY)),
        default=options.get("default"),
        min=_number(options.get("min")),
        max=_number(options.get("max")),
        step=_number(options.get("step")),
        choices=choices,
        multiline=options.get("multiline") is True,
        tooltip=_text(options.get("tooltip")),
        display_name=_text(options.get("display_name")),
        file=read_file_input(class_type, name, type_name, options, choices),
        is_seed=type_name == "INT" and _is_seed(name, options),
        is_advanced=options.get("advanced") is True,
        is_forced_link=options.get("forceInput") is True,
        has_dynamic_prompts=type_name == "STRING" and options.get("dynamicPrompts") is True,
        widget_type=VIEW if type_name == "LOAD_3D" and class_type in VIEWS else _text(options.get("widgetType")),
        is_multiple=bool(options.get("multi_select")),
        is_remote=bool(_mapping(options.get("remote"))),
        has_refresh_button=_mapping(options.get("remote")).get("refresh_button") is True,
        control_values=_control_values(full_name, type_name, options),
        sub_inputs=_sub_inputs(class_type, full_name, options) if type_name == DYNAMIC_COMBO else _formats(options),
        members=_members(class_type, options) if type_name in {AUTOGROW, DYNAMIC_GROUP} else (),
    )


def _control_values(name: str, type_name: str, options: Mapping[str, object]) -> int:
    """1 for numbers that the editor changes after each run, 2 for combos (frontend: useIntWidget, useComboWidget).

    The names that need no option to be seeds are whole names: a "model.seed" in a dynamic combo is none.
    """
    control = options.get("control_after_generate")
    if type_name == "INT":
        return int(bool(control) or (control is None and name in {"seed", "noise_seed"}))
    if type_name == "FLOAT":
        return int(bool(control))
    return (1 if options.get("multi_select") else 2) if type_name == "COMBO" and control else 0


def _sub_inputs(class_type: str, name: str, options: Mapping[str, object]) -> dict[str, tuple[InputSpec, ...]]:
    """The inputs that each option of a dynamic combo brings along; their names are dotted (comfy_api, _io.py)."""
    rows = options.get("options")
    return {
        _text(_mapping(row).get("key")): tuple(
            _read_groups(class_type, _mapping(_mapping(row).get("inputs")), {}, f"{name}.")
        )
        for row in (rows if isinstance(rows, list) else ())
    }


def _formats(options: Mapping[str, object]) -> dict[str, tuple[InputSpec, ...]]:
    """The inputs that a script adds for each option, under names of their own, as VideoHelperSuite's combiners tell."""
    return {
        option: tuple(
            _read_input("", "", row[0], row[1:], required=False)
            for row in (rows if isinstance(rows, list) else ())
            if isinstance(row, list) and len(row) > 1 and isinstance(row[0], str)
        )
        for option, rows in _mapping(options.get("formats")).items()
    }


def _members(class_type: str, options: Mapping[str, object]) -> tuple[InputSpec, ...]:
    """What a group that grows consists of; the names are without the group's (comfy_api, _io.py: Autogrow)."""
    template = _mapping(options.get("template"))
    return tuple(_read_groups(class_type, _mapping(template.get("input")) or template, {}))


def _is_seed(name: str, options: Mapping[str, object]) -> bool:
    """The rule by which ComfyUI's frontend adds its "randomize" control, narrowed to names that speak of a
    seed.
    """
    is_drawn = bool(options.get("control_after_generate"))
    return name in {"seed", "noise_seed"} or (is_drawn and "seed" in name.lower())


def _choices(value: object) -> tuple[Choice, ...] | None:
    if not isinstance(value, list | tuple):
        return None
    return tuple(item for item in value if isinstance(item, str | int | float))


def _words(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    """Integers stay integers, because seeds reach 2**64-1; an infinite bound is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < float("inf") else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --------------------------------------------------------------------------------------------- several servers
class NodeClasses(dict[str, Any]):
    """The node classes of known servers, in the form of /object_info; `simulators`: those of them that only pretend."""

    servers: tuple[str, ...] = ()
    simulators: frozenset[str] = frozenset()


def merge(known: Mapping[str, ObjectInfo]) -> NodeClasses:
    """What the servers of these names can do together, in the form of /object_info. Megabytes: keep the result.

    A class is as the first server that has it describes it, because editors keep values by the position of inputs.
    What users choose from is what any server offers, numbers may be what any server takes; an input that some servers
    have not, or do not require, is not required.
    """
    found = NodeClasses()
    names: dict[str, list[str]] = {}
    for server, object_info in known.items():
        for class_type, info in object_info.items():
            names.setdefault(class_type, []).append(server)
            if class_type not in found:
                found[class_type] = info
    for class_type, servers in names.items():
        infos = {server: known[server][class_type] for server in servers}
        if any(info != found[class_type] for info in infos.values()):
            found[class_type] = _merge_class(infos)
    return found


def _merge_class(infos: Mapping[str, object]) -> object:
    """One class, by the servers that have it; entries beside its inputs are the first server's."""
    described = {server: _mapping(_mapping(info).get("input")) for server, info in infos.items()}
    groups: dict[str, dict[str, object]] = {"required": {}, "optional": {}}
    for group, name in _places(described.values()):
        found = {server: inputs for server, inputs in described.items() if _describes(inputs, name)}
        needing = [server for server, inputs in found.items() if name in _mapping(inputs.get("required"))]
        pairs = [_as_pair(_described(inputs, name)) for inputs in found.values()]
        kind, options = _merge_input(pairs)
        if len(found) < len(infos):
            options[_ONLY_ON] = list(found)
        if 0 < len(needing) < len(infos):
            options[_REQUIRED_BY] = needing
        groups[group][name] = [kind, options]
    base = _mapping(next(iter(infos.values())))
    return {**base, "input": {**_mapping(base.get("input")), **groups}}


def _places(described: Iterable[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """(group, name) of every input, where the first server has it; those that only others have are optional."""
    first, *others = described
    required = _mapping(first.get("required"))
    more = [name for inputs in others for group in ("required", "optional") for name in _mapping(inputs.get(group))]
    yield from (("required", name) for name in required)
    for name in dict.fromkeys([*_mapping(first.get("optional")), *more]):
        if name not in required:
            yield "optional", name


def _describes(inputs: Mapping[str, object], name: str) -> bool:
    return any(name in _mapping(inputs.get(group)) for group in ("required", "optional"))


def _described(inputs: Mapping[str, object], name: str) -> object:
    return _mapping(inputs.get("required")).get(name) or _mapping(inputs.get("optional")).get(name)


def _as_pair(spec: object) -> tuple[object, Mapping[str, object]]:
    """(type or choices, options)."""
    parts = spec if isinstance(spec, list | tuple) else [spec]
    return (parts[0] if parts else "*"), _mapping(parts[1]) if len(parts) > 1 else {}


def _merge_input(pairs: list[tuple[object, Mapping[str, object]]]) -> tuple[object, dict[str, object]]:
    """Of (type or choices, options) on each server: the widest bounds, every choice, and else the first server's."""
    kind, first = pairs[0]
    options = dict(first)
    for bound, widest in (("min", min), ("max", max)):
        known = [number for _kind, each in pairs if (number := _number(each.get(bound))) is not None]
        options.pop(bound, None)
        if len(known) == len(pairs):
            options[bound] = widest(known)
    lists = [of if isinstance(of, list | tuple) else each.get("options") for of, each in pairs]
    choices = list(dict.fromkeys(choice for each in lists for choice in _choices(each) or ()))
    if isinstance(kind, list | tuple):
        return choices, options
    return kind, options | ({"options": choices} if kind == "COMBO" and choices else {})
