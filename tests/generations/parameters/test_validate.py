from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.parameters.schema import MAX_SEED, Parameter
from generations.parameters.validate import InvalidInputs, json_values, validate
from tests.generations.parameters.strategies import definition, definitions_and_inputs, one

ASSET = "4ff8565b-2fd8-40e1-9488-c7698e196ef2"


def value(parameter: Parameter, *raw: object) -> object:
    return validate([parameter], {"x": raw[0]} if raw else {})["x"]


@pytest.mark.parametrize(
    ("parameter", "raw", "expected"),
    [
        (one("integer"), 5, 5),
        (one("integer"), " 5 ", 5),
        (one("integer"), "-5", -5),
        (one("integer"), 5.0, 5),
        (one("integer", step=8, minimum=16), 17, 17),
        (one("number"), "1.5", 1.5),
        (one("number"), ".5", 0.5),
        (one("number"), 3, 3),
        (one("number"), "1e3", 1000.0),
        (one("string"), "", ""),
        (one("text", default="x"), "", ""),
        (one("text"), "a\r\nb", "a\nb"),
        (one("boolean"), "on", True),
        (one("boolean"), False, False),
        (one("boolean"), 0, False),
        (one("choice"), "a", "a"),
        (one("choice"), "1", 1),
        (one("choice"), 1.5, 1.5),
        (one("choice"), "1.5", 1.5),
        (one("choice", choices=["", "a"], default="a"), "", ""),
        (one("image"), ASSET, ASSET),
        (one("audio"), ASSET.upper(), ASSET),
        (one("seed"), "18446744073709551615", MAX_SEED),
        (one("seed"), 0, 0),
    ],
)
def test_json_values_and_form_strings_are_read(parameter: Parameter, raw: object, expected: object) -> None:
    found = value(parameter, raw)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("parameter", "raw"),
    [
        (one("integer"), "1.5"),
        (one("integer"), 1.5),
        (one("integer"), True),
        (one("integer"), "1_000"),
        (one("integer"), "٣"),
        (one("integer"), [1]),
        (one("integer"), 10**30),
        (one("integer"), "9" * 5000),
        (one("integer", minimum=1), 0),
        (one("integer", maximum=1), "2"),
        (one("number"), "nan"),
        (one("number"), float("nan")),
        (one("number"), float("inf")),
        (one("number"), "1e999"),
        (one("number"), 10**400),
        (one("number"), "1_0.5"),
        (one("number"), True),
        (one("number"), {}),
        (one("string"), 5),
        (one("string", max_length=3), "abcd"),
        (one("text"), "a\0b"),
        (one("text"), "\ud800"),
        (one("text", required=True), "  \n"),
        (one("text", required=True, default="x"), ""),
        (one("boolean"), "maybe"),
        (one("boolean"), 2),
        (one("boolean"), []),
        (one("choice"), "z"),
        (one("choice"), True),
        (one("choice"), ["a"]),
        (one("image"), "../../etc/passwd"),
        (one("image"), 5),
        (one("seed"), -1),
        (one("seed"), 2**64),
        (one("seed"), "18446744073709551616"),
        (one("seed"), 1e300),
        (one("seed"), "0x10"),
        (one("seed", minimum=5), 4),
    ],
)
def test_wrong_values_name_the_field(parameter: Parameter, raw: object) -> None:
    with pytest.raises(InvalidInputs) as caught:
        value(parameter, raw)
    assert caught.value.errors.keys() == {"x"}
    assert caught.value.errors["x"][0].endswith(".")


@pytest.mark.parametrize("raw", [(), (None,), ("",), ("  ",)])
@pytest.mark.parametrize("kind", ["integer", "number", "boolean", "choice", "image", "seed"])
def test_absent_and_blank_values_are_the_default_or_none(kind: str, raw: tuple[object, ...]) -> None:
    assert value(one(kind), *raw) is None
    with_default = {"integer": 5, "number": 2.5, "boolean": True, "choice": "b"}
    if kind in with_default:
        assert value(one(kind, default=with_default[kind]), *raw) == with_default[kind]


def test_an_absent_text_is_the_default() -> None:
    assert value(one("text", default="x")) == "x"
    assert value(one("text", default="x"), None) == "x"


@pytest.mark.parametrize("kind", ["integer", "number", "string", "text", "boolean", "choice", "image"])
def test_required_values_without_default_must_be_given(kind: str) -> None:
    with pytest.raises(InvalidInputs, match="required"):
        value(one(kind, required=True))


@pytest.mark.parametrize("raw", [(), (None,), ("",), (" ",)])
def test_a_seed_that_is_not_given_is_left_to_draw(raw: tuple[object, ...]) -> None:
    assert value(one("seed", required=True), *raw) is None


@pytest.mark.parametrize(
    ("raw", "mode"),
    [(" Random ", "randomize"), ("randomize", "randomize"), ("FIXED", "fixed"), ("increment", "increment")],
)
def test_a_word_in_the_place_of_a_seed_is_its_mode(raw: str, mode: str) -> None:
    assert value(one("seed"), raw) == mode


def test_every_bad_field_is_named_at_once() -> None:
    parameters = [Parameter.model_validate(definition(name, "integer")) for name in "abc"]
    with pytest.raises(InvalidInputs) as caught:
        validate(parameters, {"a": "x", "b": 1, "c": "y", "prompt": "?"})
    assert caught.value.errors.keys() == {"a", "c", "prompt"}


@given(st.integers(0, MAX_SEED))
@settings(max_examples=50)
def test_seeds_make_the_round_trip_through_json(seed: int) -> None:
    parameter = one("seed")
    values = validate([parameter], {"x": seed})
    shown = json_values([parameter], values)
    assert shown == {"x": str(seed)}
    assert validate([parameter], shown) == values == {"x": seed}


@settings(max_examples=100, deadline=None)
@given(definitions_and_inputs())
def test_valid_values_validate_to_themselves(case: tuple[tuple[Parameter, ...], dict[str, Any]]) -> None:
    parameters, inputs = case
    values = validate(parameters, inputs)
    assert list(values) == [parameter.name for parameter in parameters]
    assert validate(parameters, json_values(parameters, values)) == values


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(definitions_and_inputs(), st.lists(_anything, max_size=6))
def test_hostile_values_raise_nothing_but_invalid_inputs(
    case: tuple[tuple[Parameter, ...], dict[str, Any]], hostile: list[object]
) -> None:
    parameters, _inputs = case
    try:
        validate(parameters, dict(zip([parameter.name for parameter in parameters], hostile, strict=False)))
    except InvalidInputs as invalid:
        assert invalid.errors
