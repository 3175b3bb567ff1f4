import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.graph import Graph
from generations.parameters.bind import bind
from generations.parameters.schema import MAX_SEED, Parameter
from generations.parameters.seeds import seed_numbers
from generations.parameters.validate import json_values, validate
from tests.generations.parameters.strategies import definitions_and_inputs, one


def graph_for(parameters: tuple[Parameter, ...]) -> Graph:
    inputs: dict[str, Any] = {parameter.name: "original" for parameter in parameters}
    return {
        "1": {"class_type": "A", "inputs": {**inputs, "untouched": [1, 2, 3], "link": ["2", 0]}},
        "2": {"class_type": "B", "inputs": {"deep": {"a": [1]}}, "_meta": {"title": "T"}},
    }


@settings(max_examples=100, deadline=None)
@given(definitions_and_inputs())
def test_what_is_valid_binds_and_changes_only_bound_inputs(
    case: tuple[tuple[Parameter, ...], dict[str, Any]],
) -> None:
    parameters, inputs = case
    graph = graph_for(parameters)
    before = copy.deepcopy(graph)
    values = validate(parameters, inputs)
    for each in parameters:
        if each.type == "seed":
            (values[each.name],) = seed_numbers(each, values[each.name], 1, start=0, last=None)
    media = {p.name: f"{p.name}.png" for p in parameters if p.is_media}
    bound = bind(graph, parameters, values, media=media)
    assert graph == before
    for parameter in parameters:
        found = bound["1"]["inputs"].pop(parameter.name)
        original = before["1"]["inputs"].pop(parameter.name)
        wanted = media[parameter.name] if parameter.is_media else values[parameter.name]
        assert found == (original if values[parameter.name] is None else wanted)
    assert bound == before
    json.dumps(bound, allow_nan=False)


@given(st.integers(0, MAX_SEED))
@settings(max_examples=50)
def test_seeds_arrive_exactly_from_either_form(seed: int) -> None:
    parameter = one("seed")
    graph = graph_for((parameter,))
    stored = json.loads(json.dumps(json_values([parameter], {"x": seed})))
    for values in ({"x": seed}, stored):
        number = bind(graph, [parameter], values)["1"]["inputs"]["x"]
        assert number == seed
        assert type(number) is int


def test_one_value_goes_to_every_binding() -> None:
    bindings = [{"node_id": node_id, "input_name": "x"} for node_id in ("1", "2")]
    graph: Graph = {
        "1": {"class_type": "A", "inputs": {"x": 0}},
        "2": {"class_type": "A", "inputs": {"x": 0}},
    }
    bound = bind(graph, [one("integer", bindings=bindings)], {"x": 7})
    assert [node["inputs"]["x"] for node in bound.values()] == [7, 7]


def test_a_file_that_was_not_uploaded_is_told() -> None:
    parameter = one("image")
    with pytest.raises(ValueError, match="“x” was not uploaded"):
        bind(graph_for((parameter,)), [parameter], {"x": "4ff8565b-2fd8-40e1-9488-c7698e196ef2"})


def test_the_copy_shares_nothing_with_the_original() -> None:
    graph = graph_for(())
    bind(graph, [], {})["2"]["inputs"]["deep"]["a"].append(2)
    assert graph["2"]["inputs"]["deep"]["a"] == [1]
