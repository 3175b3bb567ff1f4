"""Checks of POST /prompt, with ComfyUI's own error bodies (execution.py, validate_prompt and validate_inputs)."""

from __future__ import annotations

import traceback
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from generations.simulator.dynamic import expanded
from generations.simulator.nodes.base import Environment, Node

Prompt = dict[str, Any]
Spec = Sequence[Any]
NodeError = dict[str, Any]
LONG_LIST = 20
MATCHED = "COMFY_MATCHTYPE_V3"  # the editor sees to it that such inputs and outputs fit
CONSTANT_TYPES = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(slots=True)
class Verdict:
    """`error` is None when at least one output may run; `node_errors` then tells what is left out."""

    error: dict[str, Any] | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Checked:
    is_valid: bool
    errors: list[NodeError]


def error(kind: str, message: str, details: str = "", **extra_info: Any) -> dict[str, Any]:
    """One error object of the wire."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


class Validator:
    """Checks one prompt and coerces its constants in place, as ComfyUI does. Use it once."""

    def __init__(
        self,
        registry: dict[str, type[Node]],
        environment: Environment,
        prompt: Prompt,
        *,
        names_missing_node_type: bool = False,
        checks_every_combo: bool = False,
    ) -> None:
        self._names_missing_node_type = names_missing_node_type
        self._checks_every_combo = checks_every_combo
        self._registry = registry
        self._environment = environment
        self._prompt = prompt
        self._checked: dict[str, _Checked] = {}
        self._path: list[str] = []

    def run(self, targets: Container[str] | None) -> Verdict:
        """`targets`: only these output nodes; None for all. TypeError for anything but a graph."""
        outputs = []
        for node_id in self._prompt:
            node = self._prompt[node_id]
            where = f"Node ID '#{node_id}'"
            if "class_type" not in node:
                message = "Cannot execute because a node is missing the class_type property."
                return Verdict(error("invalid_prompt", message, where))
            node_class = self._registry.get(node["class_type"])
            if node_class is None:
                message = f"Cannot execute because node {node['class_type']} does not exist."
                if not self._names_missing_node_type:
                    return Verdict(error("invalid_prompt", message, where))
                title = node.get("_meta", {}).get("title", node["class_type"])
                extra = {"node_id": node_id, "class_type": node["class_type"], "node_title": title}
                return Verdict(error("missing_node_type", message, where, **extra))
            if node_class.is_output and (targets is None or node_id in targets):
                outputs.append(node_id)
        if not outputs:
            return Verdict(error("prompt_no_outputs", "Prompt has no outputs"))
        return self._judge(outputs)

    def _judge(self, outputs: list[str]) -> Verdict:
        good, complaints = [], []
        node_errors: dict[str, Any] = {}
        for output in outputs:
            if self._is_output_valid(output):
                good.append(output)
                continue
            complaints += [f"{found['message']}: {found['details']}" for found in self._checked[output].errors]
            self._collect(output, node_errors)
        if good:
            return Verdict(None, good, node_errors)
        message = "Prompt outputs failed validation"
        return Verdict(error("prompt_outputs_failed_validation", message, "\n".join(complaints)), [], node_errors)

    def _collect(self, output: str, node_errors: dict[str, Any]) -> None:
        """Nodes with errors of their own; those further down are invalid, too, but have no errors of their own."""
        for node_id, checked in self._checked.items():
            if not checked.errors:
                continue
            class_type = self._prompt[node_id]["class_type"]
            entry = {"errors": checked.errors, "dependent_outputs": [], "class_type": class_type}
            node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)

    def _is_output_valid(self, output: str) -> bool:
        try:
            return self._is_valid(output)
        except Exception as problem:
            found = error(
                "exception_during_validation",
                "Exception when validating node",
                str(problem),
                exception_type=type(problem).__name__,
                traceback=traceback.format_tb(problem.__traceback__),
            )
            self._checked[output] = _Checked(False, [found])
            return False
        finally:
            self._path.clear()

    def _is_valid(self, node_id: str) -> bool:
        if node_id in self._checked:
            return self._checked[node_id].is_valid
        if node_id in self._path:  # a cycle: everything on it is invalid, and no error says why
            return False
        self._path.append(node_id)
        inputs, node_class = self._prompt[node_id]["inputs"], self._registry[self._prompt[node_id]["class_type"]]
        errors: list[NodeError] = []
        is_valid = True
        for kind, specs in expanded(node_class.input_specs(self._environment), inputs).items():
            for name, spec in specs.items():
                if name not in inputs:
                    if kind == "required":
                        errors.append(
                            error("required_input_missing", "Required input is missing", name, input_name=name)
                        )
                elif isinstance(inputs[name], list):
                    is_valid = self._check_link(name, spec, inputs[name], errors) and is_valid
                else:
                    self._check_constant(node_class, inputs, name, spec, errors)
        self._check_custom(node_class, inputs, errors)
        self._path.pop()
        self._checked[node_id] = _Checked(is_valid and not errors, errors)
        return self._checked[node_id].is_valid

    def _check_link(self, name: str, spec: Spec, link: list[Any], errors: list[NodeError]) -> bool:
        """False when the node at the other end is invalid. An impossible link raises: its node is at fault."""
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(
                error(
                    "bad_linked_input", message, name, input_name=name, input_config=_config(spec), received_value=link
                )
            )
            return True
        source, slot = link
        received, wanted = self._registry[self._prompt[source]["class_type"]].returns[slot], spec[0]
        if not accepts(received, wanted):
            details = f"{name}, received_type({received}) mismatch input_type({wanted})"
            errors.append(
                error(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    details,
                    input_name=name,
                    input_config=_config(spec),
                    received_type=received,
                    linked_node=link,
                )
            )
            return True
        depth = len(self._path)
        try:
            return self._is_valid(source)
        except Exception as problem:
            del self._path[depth:]
            self._checked[source] = _Checked(False, [_inner_exception(name, spec, link, problem)])
            return False

    def _check_constant(
        self, node_class: type[Node], inputs: dict[str, Any], name: str, spec: Spec, errors: list[NodeError]
    ) -> None:
        value, kind = inputs[name], spec[0]
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        if isinstance(kind, str) and kind in CONSTANT_TYPES:
            try:
                value = inputs[name] = CONSTANT_TYPES[kind](value)
            except Exception as problem:
                errors.append(
                    error(
                        "invalid_input_type",
                        f"Failed to convert an input value to a {kind} value",
                        f"{name}, {value}, {problem}",
                        input_name=name,
                        input_config=_config(spec),
                        received_value=value,
                        exception_message=str(problem),
                    )
                )
                return
        if name not in node_class.self_validated:
            errors += _out_of_bounds(name, value, spec, checks_every_combo=self._checks_every_combo)

    def _check_custom(self, node_class: type[Node], inputs: dict[str, Any], errors: list[NodeError]) -> None:
        """The node's own validator; it gets constants only, and without one of its arguments the call fails."""
        names = node_class.self_validated
        given = {name: inputs[name] for name in names if name in inputs and not isinstance(inputs[name], list)}
        for name in names:
            if name not in given:
                msg = f"{node_class.__name__}.VALIDATE_INPUTS() missing 1 required positional argument: '{name}'"
                raise TypeError(msg)
        complaint = node_class.validate(self._environment, given) if names else None
        if complaint is not None:
            message = "Custom validation failed for node"
            errors += [
                error("custom_validation_failed", message, f"{name} - {complaint}", input_name=name) for name in given
            ]


def _inner_exception(name: str, spec: Spec, link: list[Any], problem: Exception) -> NodeError:
    return error(
        "exception_during_inner_validation",
        "Exception when validating inner node",
        str(problem),
        input_name=name,
        input_config=_config(spec),
        exception_message=str(problem),
        exception_type=type(problem).__name__,
        traceback=traceback.format_tb(problem.__traceback__),
        linked_node=link,
    )


def _out_of_bounds(name: str, value: Any, spec: Spec, *, checks_every_combo: bool) -> list[NodeError]:
    """At most one error: of the range, or of the choices."""
    options = spec[1] if len(spec) > 1 else {}
    kind, message, details = "", "", name
    config: list[Any] | None = _config(spec)
    choices = _choices(spec, options, checks_every_combo=checks_every_combo)
    if "min" in options and value < options["min"]:
        kind, message = "value_smaller_than_min", f"Value {value} smaller than min of {options['min']}"
    elif "max" in options and value > options["max"]:
        kind, message = "value_bigger_than_max", f"Value {value} bigger than max of {options['max']}"
    elif choices is not None and not _is_among(choices, value, options):
        is_long = len(choices) > LONG_LIST
        config = None if is_long else config
        shown = f"(list of length {len(choices)})" if is_long else str(choices)
        kind, message, details = "value_not_in_list", "Value not in list", f"{name}: '{value}' not in {shown}"
    if not kind:
        return []
    return [error(kind, message, details, input_name=name, input_config=config, received_value=value)]


def _is_among(choices: list[Any], value: Any, options: dict[str, Any]) -> bool:
    if options.get("multiselect") and isinstance(value, list):
        return all(each in choices for each in value)
    return value in choices


def _choices(spec: Spec, options: dict[str, Any], *, checks_every_combo: bool) -> list[Any] | None:
    """What the value must be among. Options that only browsers fetch are unknown; older servers skip V3 combos."""
    if isinstance(spec[0], list):
        return spec[0]
    if spec[0] != "COMBO" or not checks_every_combo or options.get("remote_combo"):
        return None
    found: list[Any] = options.get("options", [])
    return found


def _config(spec: Spec) -> list[Any]:
    return [spec[0], spec[1] if len(spec) > 1 else {}]


def accepts(received: Any, wanted: Any) -> bool:
    """Whether an output of one type may feed an input of another: equal, a wildcard, or unions that overlap."""
    if received == wanted or MATCHED in (received, wanted):
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    ours, theirs = ({part.strip() for part in text.split(",")} for text in (received, wanted))
    return "*" in ours | theirs or bool(ours & theirs)
