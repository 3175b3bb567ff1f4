"""What a parameter is, and when a list of definitions makes sense."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

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
    "Parameter",
    "ParameterType",
    "SeedMode",
    "Value",
    "bound_inputs",
    "check_bindings",
    "parse_parameters",
]

ParameterType: TypeAlias = Literal[
    "integer", "number", "string", "text", "boolean", "choice", "seed", "image", "mask", "video", "audio"
]
SeedMode: TypeAlias = Literal["randomize", "fixed", "increment", "decrement"]
MEDIA_TYPES: frozenset[ParameterType] = frozenset({"image", "mask", "video", "audio"})
_INFINITY = float("inf")
_TEXT_TYPES: frozenset[ParameterType] = frozenset({"string", "text"})


class DefinitionError(ValueError):
    """Definitions that cannot be used. `errors`: parameter name (or "#3" for the third one) -> sentences."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(errors)
        self.errors = dict(errors)

    def __str__(self) -> str:
        return " ".join(f"{name}: {' '.join(sentences)}" for name, sentences in self.errors.items())


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
            raise ValueError(" ".join(faults))
        return self

    def _bound_faults(self) -> Iterator[str]:
        limits = [limit for limit in (self.minimum, self.maximum, self.step) if limit is not None]
        if limits and self.type not in {"integer", "number", "seed"}:
            yield f"A {self.type} has no minimum, maximum or step."
        if any(not abs(limit) < _INFINITY for limit in limits):
            yield "Minimum, maximum and step must be finite numbers."
        elif self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            yield f"The minimum {self.minimum} is greater than the maximum {self.maximum}."
        if self.step is not None and self.step <= 0:
            yield "The step must be greater than 0."
        if self.seed_mode != "randomize" and self.type != "seed":
            yield f"A {self.type} has no seed mode."
        if self.max_length is not None and self.type not in _TEXT_TYPES:
            yield f"A {self.type} has no maximum length."

    def _choice_faults(self) -> Iterator[str]:
        if self.type == "choice" and not self.choices:
            yield "A choice needs at least one option."
        if self.type != "choice" and self.is_live:
            yield f"A {self.type} cannot follow the servers; make it a choice."
        if self.type != "choice" and self.choices:
            yield f"A {self.type} has no options to choose from; make it a choice."
        if any(not isinstance(choice, str) and not abs(choice) < _INFINITY for choice in self.choices):
            yield "Options must be texts or finite numbers."
        if len({str(choice) for choice in self.choices}) != len(self.choices):
            yield "Every option may be listed only once."

    def _role_faults(self) -> Iterator[str]:
        if self.role and self.type not in ROLES[self.role].types:
            fits = " or ".join(ROLES[self.role].types)
            yield f"The role “{ROLES[self.role].label}” does not fit the type {self.type}; it takes {fits}."

    def _default_faults(self) -> Iterator[str]:
        """The default must be a value that a user could enter, because it is what an absent value becomes."""
        if self.default is None or (self.default == "" and self.type in _TEXT_TYPES):
            return
        if self.is_media:
            yield f"A {self.type} has no default; leave it empty."
            return
        if self.type == "seed" and seed_mode(self.default):
            yield "The default of a seed is a number; what becomes of a seed that is not given is its seed mode."
            return
        try:
            checked = check(self, self.default)
        except BadValue as fault:
            yield f"The default does not fit: {fault}"
            return
        if type(checked) is not type(self.default):
            yield f"The default {self.default!r} has the wrong type."


def parse_parameters(raw: object) -> tuple[Parameter, ...]:
    """The parameters in a parsed JSON list. Raises DefinitionError with every fault of every parameter.

    Those that say nothing of a role have the one that they suggest.
    """
    if not isinstance(raw, list | tuple):
        raise DefinitionError({"parameters": ["The parameters must be a list."]})
    errors: dict[str, list[str]] = {}
    parameters: list[Parameter] = []
    for position, item in enumerate(with_roles(raw), 1):
        try:
            parameter = Parameter.model_validate(item)
        except ValidationError as error:
            errors.setdefault(_name_of(item, position), []).extend(_sentences(error))
            continue
        if any(parameter.name == other.name for other in parameters):
            errors.setdefault(parameter.name, []).append("Another parameter has the same name.")
        parameters.append(parameter)
    pictures = {parameter.name for parameter in parameters if parameter.type == "image"}
    for parameter in parameters:
        if parameter.drawn_on and (parameter.type != "mask" or parameter.drawn_on not in pictures):
            fault = "drawn_on: a mask is drawn on a picture; there is none of that name."
            errors.setdefault(parameter.name, []).append(fault)
    for parameter, fault in _role_clashes(parameters):
        errors.setdefault(parameter.name, []).append(fault)
    media = {f"{parameter.name}_asset": parameter.name for parameter in parameters if parameter.is_media}
    for parameter in parameters:
        if parameter.name in media:
            fault = f"This name is taken by the hidden field of {media[parameter.name]}."
            errors.setdefault(parameter.name, []).append(fault)
    for parameter, other in _shared_bindings(parameters):
        errors.setdefault(parameter.name, []).append(f"It is bound to the same input as {other.name}.")
    if errors:
        raise DefinitionError(errors)
    return tuple(parameters)


def bound_inputs(definitions: Iterable[Mapping[str, Any]]) -> set[InputKey]:
    """(node id, input name) of everything that stored definitions set, sound or not."""
    return {(each["node_id"], each["input_name"]) for one in definitions for each in one["bindings"]}


def check_bindings(parameters: Sequence[Parameter], graph: Graph) -> None:
    """Raises DefinitionError for bindings to nodes or inputs that the graph lacks, or to inputs fed by
    another node.
    """
    errors: dict[str, list[str]] = {}
    for parameter in parameters:
        faults = [fault for binding in parameter.bindings if (fault := _binding_fault(binding, graph))]
        if faults:
            errors[parameter.name] = faults
    if errors:
        raise DefinitionError(errors)


def _binding_fault(binding: Binding, graph: Graph) -> str:
    node = graph.get(binding.node_id)
    if node is None:
        return f"The workflow has no node {binding.node_id}."
    subject = f'"{binding.input_name}" of the node "{node_title(graph, binding.node_id)}" ({binding.node_id})'
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


def _role_clashes(parameters: Sequence[Parameter]) -> Iterator[tuple[Parameter, str]]:
    owners: dict[str, Parameter] = {}
    for parameter in parameters:
        role = parameter.role
        if role and not ROLES[role].is_shared and (owner := owners.setdefault(role, parameter)) is not parameter:
            yield parameter, f"The role “{ROLES[role].label}” belongs to {owner.name} already."


def _name_of(item: object, position: int) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) and name else f"#{position}"


def _sentences(error: ValidationError) -> Iterator[str]:
    """One sentence for each field at fault; a default of the wrong type would otherwise have one for every
    type.
    """
    faults = {fault["loc"][:1]: fault for fault in reversed(error.errors(include_url=False))}
    for place, fault in reversed(faults.items()):
        if not place:
            yield _REASONS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
            continue
        reason = _REASONS.get(fault["type"]) or f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"
        yield f"{place[0]}: {reason.rstrip('.')}."


# Pydantic's words, where they speak of Python.
_REASONS = {
    "string_pattern_mismatch": "use small letters, digits and underscores, and begin with a letter",
    "too_short": "bind it to at least one input of a node",
    "missing": "this is missing",
    "extra_forbidden": "there is no such setting",
    "model_type": "A parameter must be an object.",
    "dict_type": "A parameter must be an object.",
}
