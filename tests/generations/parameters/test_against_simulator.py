"""What passes our validation passes ComfyUI's, and nothing but the bound inputs changes.

The simulator's validation mirrors that of ComfyUI (execution.py); the graphs are those of the starters.
"""

from __future__ import annotations

import copy
import math
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from generations.comfy.graph import Graph, check_graph, is_link
from generations.parameters.bind import bind
from generations.parameters.bounds import check_bounds
from generations.parameters.json_schema import json_schema
from generations.parameters.propose import propose
from generations.parameters.schema import DefinitionError, Parameter, parse_parameters
from generations.parameters.seeds import seed_numbers
from generations.parameters.validate import InvalidInputs, json_values, validate
from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Environment
from generations.simulator.object_info import describe
from generations.simulator.state import MODELS
from generations.simulator.validation import Validator
from generations.studio import starters

GRAPHS: dict[str, Graph] = {each["slug"]: each["graph"] for each in starters.starters()}
ASSET = "11111111-1111-4111-8111-111111111111"


@cache
def environment() -> Environment:
    made = Environment(Path(tempfile.mkdtemp(prefix="comfysaas-tests-")), {"vae": [], **MODELS}, 0.0)
    for name in ("example.png", "uploaded.png"):
        (made.folder("input") / name).write_bytes(b"")
    return made


@cache
def object_info() -> dict[str, Any]:
    return {name: describe(name, node, environment()) for name, node in REGISTRY.items()}


def open_parameters(graph: Graph) -> list[Parameter]:
    """All that is proposed, as an admin would publish it."""
    return propose(graph, object_info())


def tightened(data: st.DataObject, parameter: Parameter) -> Parameter:
    """The same, now and then with other bounds; as it was if they make no sense."""
    if parameter.type not in {"integer", "number", "seed"} or data.draw(st.integers(0, 4)):
        return parameter
    numbers = st.integers(-10, 2**64) | st.floats(allow_nan=False, allow_infinity=False, width=32)
    low, high = data.draw(st.just(parameter.minimum) | numbers), data.draw(st.just(parameter.maximum) | numbers)
    changes = {"minimum": low, "maximum": high, "default": None}
    try:
        (made,) = parse_parameters([{**parameter.model_dump(mode="json"), **changes}])
    except DefinitionError:
        return parameter
    return made


def number_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    """A number within its bounds, or one at their edges."""
    low = 0 if parameter.minimum is None else parameter.minimum
    high = 2**64 - 1 if parameter.maximum is None else parameter.maximum
    edges = st.sampled_from([low, high])
    if parameter.type == "number":
        return edges | st.floats(low + 0.0, high + 0.0)  # -0.0 becomes 0.0
    first, last = math.ceil(low), math.floor(high)
    return edges | st.integers(first, last) if first <= last else edges


def fitting_value(parameter: Parameter) -> st.SearchStrategy[Any]:
    """What a user most probably sends."""
    if parameter.is_media:
        return st.just(ASSET)
    match parameter.type:
        case "integer" | "number":
            return number_of(parameter)
        case "seed":
            return st.none() | number_of(parameter) | number_of(parameter).map(str)
        case "boolean":
            return st.booleans()
        case "choice":
            return st.sampled_from(parameter.choices)
        case _:
            return st.text(max_size=20)


ODD = [None, "", "x", True, [], {}, "1e3", "NaN", " 7 ", -0.0, 1e300, -1, float("nan"), float("inf"), 2**70]


def raw_value(data: st.DataObject, parameter: Parameter) -> Any:
    """What a user might send; now and then something odd."""
    return data.draw(fitting_value(parameter) if data.draw(st.integers(0, 30)) else st.sampled_from(ODD))


@dataclass
class Drawn:
    """Random numbers that hypothesis chooses."""

    data: st.DataObject

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        return self.data.draw(st.integers(0, exclusive_upper_bound - 1))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_valid_here_is_valid_there_and_changes_only_what_is_bound(data: st.DataObject) -> None:
    graph = GRAPHS[data.draw(st.sampled_from(sorted(GRAPHS)))]
    before = copy.deepcopy(graph)
    parameters = [tightened(data, each) for each in open_parameters(graph)]
    try:
        check_bounds(parameters, graph, object_info())
    except DefinitionError:
        return  # looser than the node: no admin gets that published
    raw = {each.name: raw_value(data, each) for each in parameters if each.required or data.draw(st.integers(0, 3))}
    try:
        values = validate(parameters, raw)
    except InvalidInputs:
        event("refused here")
        return
    for each in parameters:
        if each.type == "seed":
            (values[each.name],) = seed_numbers(each, values[each.name], 1, start=0, last=None, rng=Drawn(data))
    event("accepted here")
    media = {each.name: "uploaded.png" for each in parameters if each.is_media and values.get(each.name)}
    for stored in (values, json_values(parameters, values)):  # as the relay gets it from the database, too
        bound = bind(graph, parameters, stored, media=media)
        verdict = Validator(REGISTRY, environment(), copy.deepcopy(bound)).run(None)
        assert (verdict.error, verdict.node_errors) == (None, {})
        keys = {(one.node_id, one.input_name) for each in parameters for one in each.bindings}
        for node_id, node in bound.items():
            for name, value in node["inputs"].items():
                assert (node_id, name) in keys or value == graph[node_id]["inputs"][name]
                assert not is_link(value) or is_link(graph[node_id]["inputs"][name])
    assert graph == before


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_texts_of_a_form_mean_the_same_as_values_of_json(data: st.DataObject) -> None:
    graph = GRAPHS[data.draw(st.sampled_from(sorted(GRAPHS)))]
    numbers = [each for each in open_parameters(graph) if each.type in {"integer", "number", "seed"}]
    if not numbers:
        return
    parameter = data.draw(st.sampled_from(numbers))
    value = data.draw(number_of(parameter) | st.integers(-9, 99) | st.sampled_from([2**64, 2**70, -1]))

    def outcome(raw: Any) -> Any:
        try:
            return validate([parameter], {parameter.name: raw})
        except InvalidInputs:
            return None

    assert outcome(repr(value)) == outcome(value) or (isinstance(value, float) and parameter.type != "number")


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_json_schema_lets_through_what_validation_takes(data: st.DataObject) -> None:
    parameters = open_parameters(GRAPHS[data.draw(st.sampled_from(sorted(GRAPHS)))])
    raw = {each.name: data.draw(fitting_value(each)) for each in parameters}
    raw = {name: value for name, value in raw.items() if value is not None}
    try:
        validate(parameters, raw)
    except InvalidInputs:
        return
    jsonschema.validate(raw, json_schema(parameters))


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**63, 2**64 - 1])
def test_seeds_are_exact_from_end_to_end(seed: int) -> None:
    graph = GRAPHS["text-to-image"]
    parameters = [each for each in open_parameters(graph) if each.type == "seed"]
    for raw in (seed, str(seed)):
        stored = json_values(parameters, validate(parameters, {"seed": raw}))
        assert stored == {"seed": str(seed)}
        assert bind(graph, parameters, stored)["3"]["inputs"]["seed"] == seed


# ------------------------------------------------------------------------------------------ whole workflows
REASONS = {
    "invalid_input_type": "invalid_value",
    "value_smaller_than_min": "value_smaller_than_min",
    "value_bigger_than_max": "value_bigger_than_max",
    "bad_linked_input": "bad_linked_input",
}
NUMBERS = [("3", "seed"), ("3", "steps"), ("3", "cfg"), ("3", "denoise"), ("5", "width"), ("5", "batch_size")]
RAW_VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["7", "7.5", "1e9", "-1", "many", "", " 8 ", "1_0", "9" * 5000, "inf", "nan", True, None]),
    st.sampled_from([{}, {"a": 1}, [], [1, 2, 3], ["3"], {"__value__": [1, 2]}, {"__value__": "7.5"}]),
    st.integers(-5, 20000).map(lambda number: {"__value__": number}),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(NUMBERS), value=RAW_VALUES)
def test_values_of_whole_workflows_are_judged_as_the_server_judges_them(key: tuple[str, str], value: Any) -> None:
    graph = copy.deepcopy(GRAPHS["text-to-image"])
    node_id, name = key
    graph[node_id]["inputs"][name] = copy.deepcopy(value)
    problems = [(each.node_id, each.field, each.reason) for each in check_graph(graph, object_info())]
    verdict = Validator(REGISTRY, environment(), graph).run(None)
    refused = [
        (key, error["extra_info"].get("input_name"), REASONS[error["type"]])
        for key, found in verdict.node_errors.items()
        for error in found["errors"]
    ]
    assert problems == refused
