import json
from typing import Any

import pytest

from generations.comfy.graph import Graph
from generations.parameters.schema import DefinitionError, Fault, Faults, Parameter, check_bindings, parse_parameters
from tests.generations.parameters.strategies import definition, one


def faults(*definitions: Any) -> Faults:
    with pytest.raises(DefinitionError) as caught:
        parse_parameters(list(definitions))
    assert str(caught.value)
    return caught.value.faults


def test_a_definition_survives_json() -> None:
    parameters = parse_parameters(
        [
            definition("seed", "seed", default=2**64 - 1),
            definition("size", "integer", minimum=8, default=64.0),
        ]
    )
    stored = json.dumps([parameter.model_dump(mode="json") for parameter in parameters])
    assert parse_parameters(json.loads(stored)) == parameters


def test_a_seed_default_may_be_text() -> None:
    assert one("seed", default="18446744073709551615").default == 2**64 - 1


def test_a_label_is_made_of_the_name() -> None:
    (parameter,) = parse_parameters([definition("negative_prompt", "text")])
    assert parameter.label == "Negative prompt"


def test_definitions_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        one("text").name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("integer", {"minimum": 3, "maximum": 1}, "minimum 3 is greater than the maximum 1"),
        ("integer", {"minimum": 3, "default": 1}, "default does not fit: Must be at least 3"),
        ("integer", {"default": 1.5}, "default does not fit"),
        ("integer", {"default": "7"}, "wrong type"),
        ("integer", {"step": 0}, "step must be greater"),
        ("number", {"maximum": float("nan")}, "finite"),
        ("number", {"minimum": float("inf")}, "finite"),
        ("number", {"maximum": 10**400, "minimum": 10**401}, "greater"),
        ("string", {"minimum": 1}, "no minimum"),
        ("boolean", {"max_length": 1}, "no maximum length"),
        ("text", {"max_length": 2, "default": "abc"}, "at most 2"),
        ("choice", {"choices": []}, "at least one option"),
        ("choice", {"default": "z"}, "Choose one of"),
        ("choice", {"choices": ["1", 1]}, "only once"),
        ("choice", {"choices": [float("inf")]}, "finite"),
        ("string", {"choices": ["a"]}, "make it a choice"),
        ("seed", {"default": -1}, "between 0 and"),
        ("seed", {"default": 2**64}, "between 0 and"),
        ("image", {"default": "x.png"}, "no default"),
        ("boolean", {"default": "maybe"}, "default does not fit"),
        ("widget", {}, "type"),
        ("text", {"surprise": 1}, "surprise"),
        ("text", {"bindings": []}, "Bind it to at least one input"),
        ("text", {"bindings": [{"node_id": "1"}]}, "The setting “input_name” is missing"),
        ("text", {"default": []}, "“default”: "),
    ],
)
def test_inconsistent_definitions_are_refused(kind: str, more: dict[str, Any], words: str) -> None:
    errors = faults(definition("x", kind, **more))
    assert words in " ".join(fault.message for fault in errors["x"])


@pytest.mark.parametrize(
    ("kind", "more", "field"),
    [
        ("integer", {"minimum": 3, "maximum": 1}, "minimum"),
        ("integer", {"minimum": 3, "default": 1}, "default"),
        ("integer", {"step": 0}, "step"),
        ("number", {"maximum": float("nan")}, "maximum"),
        ("string", {"minimum": 1}, "type"),
        ("choice", {"choices": ["1", 1]}, "choices"),
        ("seed", {"default": "increment"}, "seed_mode"),
        ("text", {"label": "x" * 201}, "label"),
        ("text", {"role": "steps"}, "role"),
        ("mask", {"drawn_on": "nothing"}, "drawn_on"),
        ("text", {"surprise": 1}, "surprise"),
        ("text", {"bindings": [{"node_id": "1"}]}, "bindings"),
    ],
)
def test_faults_name_the_setting_to_change(kind: str, more: dict[str, Any], field: str) -> None:
    assert [fault.field for fault in faults(definition("x", kind, **more))["x"]] == [field]


@pytest.mark.parametrize("name", ["", "1st", "Prompt", "a-b", "a b", "a\n", "x" * 65, "é"])
def test_names_are_identifiers(name: str) -> None:
    ((fault,),) = faults(definition(name, "text", bindings=one_binding("1", "a"))).values()
    assert fault.field == "name"


def test_every_fault_of_every_parameter_is_told() -> None:
    errors = faults(
        definition("a", "integer", minimum=5, maximum=1),
        definition("b", "choice", default="z"),
        definition("c", "text"),
        definition("c", "text", bindings=[{"node_id": "2", "input_name": "c"}]),
        "nonsense",
    )
    assert errors["#5"] == [Fault("", "A parameter must be an object.")]
    assert errors.keys() == {"a", "b", "c", "#5"}
    assert errors["c"] == [Fault("name", "Another parameter has the same name.")]


def test_two_parameters_cannot_share_an_input() -> None:
    errors = faults(definition("a", "text"), definition("b", "text", bindings=one_binding("1", "a")))
    assert errors == {"b": [Fault("bindings", "It is bound to the same input as a.")]}


def test_a_name_cannot_be_that_of_a_hidden_field() -> None:
    assert (
        "hidden field of photo"
        in faults(definition("photo", "image"), definition("photo_asset", "text"))["photo_asset"][0].message
    )


@pytest.mark.parametrize("raw", [None, {}, "[]", 5])
def test_only_a_list_is_a_list(raw: object) -> None:
    with pytest.raises(DefinitionError, match="must be a list"):
        parse_parameters(raw)


GRAPH: Graph = {
    "1": {"class_type": "A", "inputs": {"a": 1, "b": ["2", 0]}},
    "2": {"class_type": "B", "inputs": {}},
}


def one_binding(node_id: str, input_name: str) -> list[dict[str, str]]:
    return [{"node_id": node_id, "input_name": input_name}]


@pytest.mark.parametrize(
    ("node_id", "input_name", "words"),
    [
        ("9", "a", "no node 9"),
        ("1", "z", "no input “z” of the node “A” (1)"),
        ("1", "b", "from another node"),
    ],
)
def test_bindings_must_be_constants_of_the_graph(node_id: str, input_name: str, words: str) -> None:
    parameter = one("integer", bindings=one_binding(node_id, input_name))
    with pytest.raises(DefinitionError) as caught:
        check_bindings([parameter], GRAPH)
    assert words in caught.value.faults["x"][0].message


def test_good_bindings_pass() -> None:
    parameter: Parameter = one("integer", bindings=one_binding("1", "a"))
    check_bindings([parameter], GRAPH)
    with pytest.raises(DefinitionError):
        check_bindings([parameter], {})
