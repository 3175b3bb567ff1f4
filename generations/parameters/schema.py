"""What a parameter is, and when a list of definitions makes sense."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from generations.comfy.graph import Graph, InputKey, is_link, node_title
from generations.parameters.roles import ROLES, Role, with_roles
from generations.parameters.values import MAX_SEED, BadValue, Choice, Value, check, seed_mode

__all__ = [
    "MAX_SEED",
    "MEDIA_TYPES",
    "Binding",
    "Choice",
    "DefinitionError",
    "Fault",
    "Faults",
    "Parameter",
    "ParameterType",
    "SeedMode",
    "Value",
    "bound_inputs",
    "check_bindings",
    "in_sentences",
    "parse_parameters",
]

ParameterType: TypeAlias = Literal[
    "integer", "number", "string", "text", "boolean", "choice", "seed", "image", "mask", "video", "audio"
]
SeedMode: TypeAlias = Literal["randomize", "fixed", "increment", "decrement"]
MEDIA_TYPES: frozenset[ParameterType] = frozenset({"image", "mask", "video", "audio"})
_INFINITY = float("inf")
_TEXT_TYPES: frozenset[ParameterType] = frozenset({"string", "text"})


class Fault(NamedTuple):
    """What is wrong with one definition: `field` is the setting to change, `message` a sentence that names it."""

    field: str
    message: str


Faults: TypeAlias = dict[str, list[Fault]]  # by the parameter's name, or "#3" for the third one if it has none


class DefinitionError(ValueError):
    """Definitions that cannot be used, with every fault of every parameter."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return in_sentences(self.faults)


def in_sentences(faults: Mapping[str, Sequence[Fault]]) -> str:
    """All faults, each parameter's behind its name; those under "" are of no single parameter."""
    texts = ((name, " ".join(fault.message for fault in found)) for name, found in faults.items())
    return " ".join(f"{name}: {text}" if name else text for name, text in texts)


class _InconsistentError(ValueError):
    """Settings of one parameter that do not go together; pydantic hands it on in its own error."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(" ".join(fault.message for fault in faults))
        self.faults = faults


class Binding(BaseModel):
    """The input in the graph that a parameter's value goes to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_id: Annotated[str, Field(min_length=1, max_length=200)]
    input_name: Annotated[str, Field(min_length=1, max_length=200)]

    @property
    def input_key(self) -> InputKey:
        return self.node_id, self.input_name


class Parameter(BaseModel):
    """One exposed value of a template. `step` is a hint for the form alone; `choices` belong to the type
    choice, and with `is_live` they are what the servers offer at the moment. A mask that is `drawn_on` an image
    parameter is painted over that picture in the browser. `seed_mode` says what an absent seed becomes: a random one,
    always that of the default (else of the graph), or one more or less than that of the user's latest run. `role`: what
    it stands for in every template (see `roles`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    type: ParameterType
    bindings: Annotated[tuple[Binding, ...], Field(min_length=1)]
    label: Annotated[str, Field(max_length=200)] = ""
    help: Annotated[str, Field(max_length=2000)] = ""
    section: Annotated[str, Field(max_length=100)] = ""
    required: bool = False
    is_advanced: bool = False
    default: Value = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    step: int | float | None = None
    choices: tuple[Choice, ...] = ()
    is_live: bool = False
    drawn_on: Annotated[str, Field(max_length=64)] = ""
    seed_mode: SeedMode = "randomize"
    role: Role | Literal[""] = ""
    max_length: Annotated[int, Field(gt=0, le=1_000_000)] | None = None

    @property
    def is_media(self) -> bool:
        """True when the value is an uploaded file, named by an asset id."""
        return self.type in MEDIA_TYPES

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: object) -> object:
        """Reads the default from its JSON form (seeds are texts there, 20.0 is 20) and makes a label of the
        name.
        """
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        kind, default = filled.get("type"), filled.get("default")
        if kind == "seed" and isinstance(default, str) and re.fullmatch("[0-9]{1,20}", default):
            filled["default"] = int(default)
        if kind == "integer" and isinstance(default, float) and default.is_integer():
            filled["default"] = int(default)
        if not filled.get("label"):
            filled["label"] = str(filled.get("name", "")).replace("_", " ").capitalize()
        return filled

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        faults = [*self._bound_faults(), *self._choice_faults(), *self._default_faults(), *self._role_faults()]
        if faults:
            raise _InconsistentError(faults)
        return self

    def _bound_faults(self) -> Iterator[Fault]:
        bounds = {"minimum": self.minimum, "maximum": self.maximum, "step": self.step}
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        endless = [name for name, bound in given.items() if not abs(bound) < _INFINITY]
        if given and self.type not in {"integer", "number", "seed"}:
            yield Fault("type", f"A {self.type} has no minimum, maximum or step.")
        if endless:
            yield Fault(endless[0], "Minimum, maximum and step must be finite numbers.")
        elif self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            yield Fault("minimum", f"The minimum {self.minimum} is greater than the maximum {self.maximum}.")
        if self.step is not None and self.step <= 0:
            yield Fault("step", "The step must be greater than 0.")
        if self.seed_mode != "randomize" and self.type != "seed":
            yield Fault("type", f"A {self.type} has no seed mode.")
        if self.max_length is not None and self.type not in _TEXT_TYPES:
            yield Fault("type", f"A {self.type} has no maximum length.")

    def _choice_faults(self) -> Iterator[Fault]:
        if self.type == "choice" and not self.choices:
            yield Fault("choices", "A choice needs at least one option.")
        if self.type != "choice" and self.is_live:
            yield Fault("type", f"A {self.type} cannot follow the servers; make it a choice.")
        if self.type != "choice" and self.choices:
            yield Fault("type", f"A {self.type} has no options to choose from; make it a choice.")
        if any(not isinstance(choice, str) and not abs(choice) < _INFINITY for choice in self.choices):
            yield Fault("choices", "Options must be texts or finite numbers.")
        if len({str(choice) for choice in self.choices}) != len(self.choices):
            yield Fault("choices", "Every option may be listed only once.")

    def _role_faults(self) -> Iterator[Fault]:
        if self.role and self.type not in ROLES[self.role].types:
            label, fits = ROLES[self.role].label, " or ".join(ROLES[self.role].types)
            yield Fault("role", f"The role “{label}” does not fit the type {self.type}; it takes {fits}.")

    def _default_faults(self) -> Iterator[Fault]:
        """The default must be a value that a user could enter, because it is what an absent value becomes."""
        if self.default is None or (self.default == "" and self.type in _TEXT_TYPES):
            return
        if self.is_media:
            yield Fault("type", f"A {self.type} has no default; leave it empty.")
            return
        if self.type == "seed" and seed_mode(self.default):
            sentence = "The default of a seed is a number; its seed mode says what becomes of a seed that is not given."
            yield Fault("seed_mode", sentence)
            return
        try:
            checked = check(self, self.default)
        except BadValue as fault:
            yield Fault("default", f"The default does not fit: {fault}")
            return
        if type(checked) is not type(self.default):
            yield Fault("default", f"The default {self.default!r} has the wrong type.")


def parse_parameters(raw: object) -> tuple[Parameter, ...]:
    """The parameters in a parsed JSON list. Raises DefinitionError with every fault of every parameter.

    Those that say nothing of a role have the one that they suggest.
    """
    if not isinstance(raw, list | tuple):
        raise DefinitionError({"parameters": [Fault("", "The parameters must be a list.")]})
    faults: Faults = {}
    parameters: list[Parameter] = []
    for position, item in enumerate(with_roles(raw), 1):
        try:
            parameters.append(Parameter.model_validate(item))
        except ValidationError as error:
            faults.setdefault(_name_of(item, position), []).extend(_faults_in(error))
    for parameter, fault in _clashes(parameters):
        faults.setdefault(parameter.name, []).append(fault)
    if faults:
        raise DefinitionError(faults)
    return tuple(parameters)


def _clashes(parameters: Sequence[Parameter]) -> Iterator[tuple[Parameter, Fault]]:
    """What is wrong with parameters because of the others."""
    yield from _name_clashes(parameters)
    pictures = {parameter.name for parameter in parameters if parameter.type == "image"}
    for parameter in parameters:
        if parameter.drawn_on and (parameter.type != "mask" or parameter.drawn_on not in pictures):
            sentence = f"A mask is drawn on a picture, and no picture has the name “{parameter.drawn_on}”."
            yield parameter, Fault("drawn_on" if parameter.type == "mask" else "type", sentence)
    yield from _role_clashes(parameters)
    for parameter, other in _shared_bindings(parameters):
        yield parameter, Fault("bindings", f"It is bound to the same input as {other.name}.")


def _name_clashes(parameters: Sequence[Parameter]) -> Iterator[tuple[Parameter, Fault]]:
    taken: set[str] = set()
    hidden = {f"{parameter.name}_asset": parameter.name for parameter in parameters if parameter.is_media}
    for parameter in parameters:
        if parameter.name in taken:
            yield parameter, Fault("name", "Another parameter has the same name.")
        if parameter.name in hidden:
            sentence = f"This name is taken by the hidden field of {hidden[parameter.name]}."
            yield parameter, Fault("name", sentence)
        taken.add(parameter.name)


def bound_inputs(definitions: Iterable[Mapping[str, Any]]) -> set[InputKey]:
    """(node id, input name) of everything that stored definitions set, sound or not."""
    return {(each["node_id"], each["input_name"]) for one in definitions for each in one["bindings"]}


def check_bindings(parameters: Sequence[Parameter], graph: Graph) -> None:
    """Raises DefinitionError for bindings to nodes or inputs that the graph lacks, or to inputs fed by
    another node.
    """
    faults = {
        parameter.name: found
        for parameter in parameters
        if (found := [Fault("bindings", text) for each in parameter.bindings if (text := _binding_fault(each, graph))])
    }
    if faults:
        raise DefinitionError(faults)


def _binding_fault(binding: Binding, graph: Graph) -> str:
    node = graph.get(binding.node_id)
    if node is None:
        return f"The workflow has no node {binding.node_id}."
    subject = f"“{binding.input_name}” of the node “{node_title(graph, binding.node_id)}” ({binding.node_id})"
    if binding.input_name not in node["inputs"]:
        return f"The workflow has no input {subject}."
    if is_link(node["inputs"][binding.input_name]):
        return f"The input {subject} gets its value from another node, so it cannot be set."
    return ""


def _shared_bindings(parameters: Sequence[Parameter]) -> Iterator[tuple[Parameter, Parameter]]:
    owners: dict[Binding, Parameter] = {}
    for parameter in parameters:
        for binding in parameter.bindings:
            owner = owners.setdefault(binding, parameter)
            if owner is not parameter:
                yield parameter, owner


def _role_clashes(parameters: Sequence[Parameter]) -> Iterator[tuple[Parameter, Fault]]:
    owners: dict[str, Parameter] = {}
    for parameter in parameters:
        role = parameter.role
        if role and not ROLES[role].is_shared and (owner := owners.setdefault(role, parameter)) is not parameter:
            yield parameter, Fault("role", f"The role “{ROLES[role].label}” belongs to {owner.name} already.")


def _name_of(item: object, position: int) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) and name else f"#{position}"


def _faults_in(error: ValidationError) -> Iterator[Fault]:
    """One fault for each field; a default of the wrong type would otherwise have one for every type."""
    found = {detail["loc"][:1]: detail for detail in reversed(error.errors(include_url=False))}
    for place, detail in reversed(found.items()):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, _InconsistentError):
            yield from cause.faults
            continue
        field, name = (str(place[0]), str(detail["loc"][-1])) if place else ("", "")
        message = _MESSAGES.get(detail["type"], "“{field}”: {reason}.")
        reason = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
        yield Fault(field, message.format(field=field, name=name, reason=reason))


# By pydantic's type of error; its own words, which speak of Python, for all others.
_MESSAGES = {
    "string_pattern_mismatch": "A name has small letters, digits and underscores only, and begins with a letter.",
    "too_short": "Bind it to at least one input of a node.",
    "missing": "The setting “{name}” is missing.",
    "extra_forbidden": "There is no setting “{name}”.",
    "model_type": "A parameter must be an object.",
    "dict_type": "A parameter must be an object.",
}
