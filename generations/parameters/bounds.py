"""A parameter may be tighter than the inputs that it sets, never looser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from generations.comfy.graph import Graph, node_title, with_own_options
from generations.comfy.named_files import is_read_as_file
from generations.comfy.object_info import InputSpec, ObjectInfo, input_spec
from generations.parameters.schema import DefinitionError, Fault, Parameter
from generations.parameters.values import MAX_SEED

_FITTING = {
    "INT": {"integer", "seed", "boolean"},
    "FLOAT": {"number", "integer", "seed", "boolean"},
    "BOOLEAN": {"boolean"},
    "STRING": {"string", "text", "choice", "image", "mask", "video", "audio", "integer", "number", "seed", "boolean"},
}


def check_bounds(parameters: Sequence[Parameter], graph: Graph, object_info: ObjectInfo) -> None:
    """Raises DefinitionError for parameters that let through what one of their inputs would refuse.

    Of inputs that name files, see `_file_faults`; other inputs of unknown classes are not checked. The bindings must be
    sound (see `schema.check_bindings`).
    """
    faults = {
        parameter.name: found
        for parameter in parameters
        if (found := list(dict.fromkeys(_faults_of(parameter, graph, object_info))))
    }
    if faults:
        raise DefinitionError(faults)


def _faults_of(parameter: Parameter, graph: Graph, object_info: ObjectInfo) -> Iterator[Fault]:
    for binding in parameter.bindings:
        class_type, title = graph[binding.node_id]["class_type"], node_title(graph, binding.node_id)
        spec = with_own_options(graph, binding.node_id, input_spec(object_info, class_type, binding.input_name))
        subject = f"“{binding.input_name}” of “{title}”"
        if is_read_as_file(graph, (binding.node_id, binding.input_name), object_info):
            yield from _file_faults(parameter, spec, subject)
        elif spec is None:
            continue
        elif fault := _type_fault(parameter, spec, subject):
            yield Fault("type", fault)
        else:
            yield from _bound_faults(parameter, spec, subject)
            yield from _choice_faults(parameter, spec, subject)


def _file_faults(parameter: Parameter, spec: InputSpec | None, subject: str) -> Iterator[Fault]:
    """Only uploads, and files that the admin lists: any other name could be that of somebody else's file."""
    if parameter.is_media:
        return
    if parameter.type != "choice":
        what = "Make it a picture, mask, video or sound for users to upload, or a choice among files that you list."
        sentence = f"The type {parameter.type} does not fit {subject}, which names a file on the server. {what}"
        yield Fault("type", sentence)
    elif parameter.is_live:
        sentence = f"{subject} names files on the server, which include those of other users. List the choices."
        yield Fault("is_live", sentence)
    elif spec is not None and not spec.upload:
        yield from _choice_faults(parameter, spec, subject)


def _type_fault(parameter: Parameter, spec: InputSpec, subject: str) -> str:
    if spec.type == "COMBO":
        fits = parameter.type == "choice" or not spec.choices
    elif spec.type in _FITTING and parameter.type == "choice":
        numbers = all(isinstance(choice, int | float) for choice in parameter.choices)
        fits = numbers if spec.type in {"INT", "FLOAT"} else spec.type == "STRING"
    else:
        fits = parameter.type in _FITTING.get(spec.type, {parameter.type})
    return "" if fits else f"The type {parameter.type} does not fit {subject}, which takes {spec.type}."


def _bound_faults(parameter: Parameter, spec: InputSpec, subject: str) -> Iterator[Fault]:
    if parameter.type not in {"integer", "number", "seed"}:
        return
    low = 0 if parameter.type == "seed" and parameter.minimum is None else parameter.minimum
    high = MAX_SEED if parameter.type == "seed" and parameter.maximum is None else parameter.maximum
    if spec.min is not None and (low is None or low < spec.min):
        yield Fault("minimum", f"{subject} takes nothing below {spec.min}.")
    if spec.max is not None and (high is None or high > spec.max):
        yield Fault("maximum", f"{subject} takes nothing above {spec.max}.")


def _choice_faults(parameter: Parameter, spec: InputSpec, subject: str) -> Iterator[Fault]:
    if parameter.type != "choice":
        return
    if spec.choices and not parameter.is_live:
        strange = [choice for choice in parameter.choices if choice not in spec.choices]
        if strange:
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            yield Fault("choices", f"{subject} does not offer {', '.join(map(str, strange[:3]))}{more}.")
    for choice in parameter.choices:
        if isinstance(choice, str | bool):
            continue
        if (spec.min is not None and choice < spec.min) or (spec.max is not None and choice > spec.max):
            yield Fault("choices", f"{subject} does not take {choice}.")
