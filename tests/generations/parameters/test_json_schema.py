import re
from typing import Any

import pytest

from generations.parameters.json_schema import json_schema
from generations.parameters.schema import MAX_SEED, parse_parameters
from tests.generations.parameters.strategies import definition, one


def property_of(kind: str, **more: Any) -> dict[str, Any]:
    shape: dict[str, Any] = json_schema([one(kind, **more)])["properties"]["x"]
    return shape


def test_an_object_that_takes_these_names_and_no_others() -> None:
    parameters = parse_parameters(
        [
            definition("prompt", "text", required=True, help="What to draw", label="Prompt"),
            definition("steps", "integer", required=True, default=20),
            definition("seed", "seed", required=True),
            definition("photo", "image", required=True),
        ]
    )
    schema = json_schema(parameters)
    assert schema["$schema"].endswith("2020-12/schema")
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert list(schema["properties"]) == ["prompt", "steps", "seed", "photo"]
    assert schema["required"] == ["prompt", "photo"]
    assert schema["properties"]["prompt"] == {
        "title": "Prompt",
        "x-role": "prompt",
        "description": "What to draw",
        "type": "string",
        "minLength": 1,
    }


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("integer", {"minimum": 1, "maximum": 9, "default": 5}, {"minimum": 1, "maximum": 9, "default": 5}),
        ("number", {"step": 0.1}, {"type": "number"}),
        ("string", {"max_length": 9}, {"type": "string", "maxLength": 9}),
        ("boolean", {"default": False}, {"type": "boolean", "default": False}),
        ("choice", {}, {"enum": ["a", "b", 1, 1.5]}),
        ("image", {}, {"type": "string"}),
        ("seed", {"default": MAX_SEED}, {"default": "18446744073709551615"}),
    ],
)
def test_limits_and_defaults_are_described(kind: str, more: dict[str, Any], expected: dict[str, Any]) -> None:
    assert expected.items() <= property_of(kind, **more).items()


def test_a_step_is_no_rule() -> None:
    assert "multipleOf" not in property_of("integer", step=8)


def test_a_seed_is_an_integer_or_its_digits() -> None:
    integer, text, null = property_of("seed")["anyOf"]
    assert (integer["minimum"], integer["maximum"], null) == (0, MAX_SEED, {"type": "null"})
    for seed in ["", "random", "0", str(MAX_SEED)]:
        assert re.search(text["pattern"], seed)
    assert not re.search(text["pattern"], "-1")
