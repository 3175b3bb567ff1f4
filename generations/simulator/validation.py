"""Checks of POST /prompt, with ComfyUI's own error bodies (execution.py, validate_prompt and validate_inputs)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from generations.simulator.nodes.base import Environment, Node

Prompt = dict[str, Any]
NodeError = dict[str, Any]
LONG_LIST = 20
CONSTANT_TYPES = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(slots=True)
class Verdict:
    """`error` is None when at least one output may run; `node_errors` then tells what is left out."""

    error: dict[str, Any] | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def is_link(value: Any) -> bool:
    """Any list in the place of an input is taken for a link."""
    return isinstance(value, list)


def error(kind: str, message: str, details: str = "", extra_info: dict[str, Any] | None = None) -> dict[str, Any]:
    """One error object of the wire."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info or {}}


class Validator:
    """Checks one prompt and coerces its constants in place, as ComfyUI does."""

    def __init__(self, registry: dict[str, type[Node]], environment: Environment, prompt: Prompt) -> None:
        self._registry = registry
        self._environment = environment
        self._prompt = prompt
        self._errors: dict[str, list[NodeError]] = {}

    def run(self, targets: Iterable[str] | None) -> Verdict:
        """`targets`: only these output nodes; None for all."""
        for node_id, node in self._prompt.items():
            class_type = node.get("class_type") if isinstance(node, dict) else None
            if class_type is None:
                message = "Cannot execute because a node is missing the class_type property."
                return Verdict(error("invalid_prompt", message, f"Node ID '#{node_id}'"))
            if class_type not in self._registry:
                message = f"Cannot execute because node {class_type} does not exist."
                return Verdict(error("invalid_prompt", message, f"Node ID '#{node_id}'"))
        wanted = None if targets is None else set(targets)
        outputs = [
            node_id
            for node_id, node in self._prompt.items()
            if self._registry[node["class_type"]].is_output and (wanted is None or node_id in wanted)
        ]
        if not outputs:
            return Verdict(error("prompt_no_outputs", "Prompt has no outputs"))
        return self._judge(outputs)

    def _judge(self, outputs: list[str]) -> Verdict:
        reach = {node_id: self._reach(node_id) for node_id in outputs}
        good = [node_id for node_id in outputs if not any(self._errors.get(each) for each in reach[node_id])]
        node_errors = {
            node_id: {
                "errors": errors,
                "dependent_outputs": [output for output in outputs if node_id in reach[output]],
                "class_type": self._prompt[node_id]["class_type"],
            }
            for node_id, errors in self._errors.items()
            if errors
        }
        if good:
            return Verdict(None, good, node_errors)
        details = "\n".join(
            f"{each['message']}: {each['details']}" for output in outputs for each in self._errors.get(output, [])
        )
        failed = error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)
        return Verdict(failed, [], node_errors)

    def _reach(self, output: str) -> list[str]:
        """The output and everything it needs, each node checked once, inputs before what uses them."""
        found: dict[str, None] = {}
        self._visit(output, found, output)
        return list(found)

    def _visit(self, node_id: str, found: dict[str, None], output: str) -> None:
        if node_id in found:
            return
        found[node_id] = None
        node = self._prompt[node_id]
        is_new = node_id not in self._errors
        if is_new:
            self._errors[node_id] = []
        if "inputs" not in node:
            self._exception(node_id, output, KeyError("inputs"))
            return
        for name, spec, is_required in self._specs(node["class_type"]):
            if name not in node["inputs"]:
                if is_required and is_new:
                    extra = {"input_name": name}
                    self._add(node_id, error("required_input_missing", "Required input is missing", name, extra))
                continue
            if is_link(node["inputs"][name]):
                self._check_link(node_id, name, spec, found, output, is_new=is_new)
            elif is_new:
                self._check_constant(node_id, name, spec)
        if is_new:
            self._check_custom(node_id)

    def _specs(self, class_type: str) -> list[tuple[str, tuple[Any, ...], bool]]:
        specs = self._registry[class_type].input_specs(self._environment)
        return [
            (name, spec, kind == "required") for kind in ("required", "optional") for name, spec in specs[kind].items()
        ]

    def _add(self, node_id: str, found: NodeError) -> None:
        self._errors[node_id].append(found)

    def _exception(self, node_id: str, output: str, exception: Exception) -> None:
        at_output = node_id == output
        kind = "exception_during_validation" if at_output else "exception_during_inner_validation"
        message = "Exception when validating node" if at_output else "Exception when validating inner node"
        extra = {"exception_type": type(exception).__name__, "traceback": []}
        self._add(node_id, error(kind, message, str(exception), extra))

    def _check_link(
        self, node_id: str, name: str, spec: tuple[Any, ...], found: dict[str, None], output: str, *, is_new: bool
    ) -> None:
        value = self._prompt[node_id]["inputs"][name]
        config = _config(spec)
        if len(value) != 2:
            if is_new:
                message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
                extra = {"input_name": name, "input_config": config, "received_value": value}
                self._add(node_id, error("bad_linked_input", message, name, extra))
            return
        source, slot = value
        try:
            returns = self._registry[self._prompt[source]["class_type"]].returns
            received = returns[slot]
        except (KeyError, IndexError, TypeError) as exception:
            if is_new:
                self._exception(node_id, output, exception)
            return
        if is_new and not _accepts(received, _type_name(spec)):
            details = f"{name}, received_type({received}) mismatch input_type({_type_name(spec)})"
            extra = {"input_name": name, "input_config": config, "received_type": received, "linked_node": value}
            message = "Return type mismatch between linked nodes"
            self._add(node_id, error("return_type_mismatch", message, details, extra))
            return
        if source not in found:
            self._visit(source, found, output)

    def _check_constant(self, node_id: str, name: str, spec: tuple[Any, ...]) -> None:
        inputs = self._prompt[node_id]["inputs"]
        value, kind, options = inputs[name], spec[0], spec[1] if len(spec) > 1 else {}
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        if isinstance(kind, str) and kind in CONSTANT_TYPES:
            try:
                value = inputs[name] = CONSTANT_TYPES[kind](value)
            except (TypeError, ValueError) as exception:
                message = f"Failed to convert an input value to a {kind} value"
                extra = {
                    "input_name": name,
                    "input_config": _config(spec),
                    "received_value": value,
                    "exception_message": str(exception),
                }
                details = f"{name}, {value}, {exception}"
                self._add(node_id, error("invalid_input_type", message, details, extra))
                return
        if name in self._registry[self._prompt[node_id]["class_type"]].self_validated:
            return
        self._check_range(node_id, name, value, spec, options)
        if isinstance(kind, list | tuple):
            self._check_choice(node_id, name, value, list(kind), spec)

    def _check_range(self, node_id: str, name: str, value: Any, spec: tuple[Any, ...], options: dict[str, Any]) -> None:
        if not isinstance(value, int | float):
            return
        extra = {"input_name": name, "input_config": _config(spec), "received_value": value}
        if "min" in options and value < options["min"]:
            message = f"Value {value} smaller than min of {options['min']}"
            self._add(node_id, error("value_smaller_than_min", message, name, extra))
        elif "max" in options and value > options["max"]:
            message = f"Value {value} bigger than max of {options['max']}"
            self._add(node_id, error("value_bigger_than_max", message, name, extra))

    def _check_choice(self, node_id: str, name: str, value: Any, choices: list[Any], spec: tuple[Any, ...]) -> None:
        if value in choices:
            return
        is_long = len(choices) > LONG_LIST
        shown = f"(list of length {len(choices)})" if is_long else str(choices)
        extra = {"input_name": name, "input_config": None if is_long else _config(spec), "received_value": value}
        details = f"{name}: '{value}' not in {shown}"
        self._add(node_id, error("value_not_in_list", "Value not in list", details, extra))

    def _check_custom(self, node_id: str) -> None:
        node = self._prompt[node_id]
        node_class = self._registry[node["class_type"]]
        if not node_class.self_validated or self._errors[node_id]:
            return
        constants = {name: value for name, value in node["inputs"].items() if not is_link(value)}
        complaint = node_class.validate(self._environment, constants)
        if complaint is not None:
            for name in node_class.self_validated:
                message = "Custom validation failed for node"
                found = error("custom_validation_failed", message, f"{name} - {complaint}", {"input_name": name})
                self._add(node_id, found)


def _config(spec: tuple[Any, ...]) -> list[Any]:
    kind = list(spec[0]) if isinstance(spec[0], tuple) else spec[0]
    return [kind, spec[1] if len(spec) > 1 else {}]


def _type_name(spec: tuple[Any, ...]) -> str:
    return spec[0] if isinstance(spec[0], str) else "COMBO"


def _accepts(received: str, wanted: str) -> bool:
    if "*" in (received, wanted) or wanted == "COMBO":
        return True
    return bool(set(received.split(",")) & set(wanted.split(",")))
