"""Bounds of parameters: tighter than those of the nodes, never looser."""

from __future__ import annotations

from typing import Any

import pytest

from generations.parameters.bounds import check_bounds
from generations.parameters.schema import DefinitionError, Parameter, parse_parameters
from tests.generations.parameters.proposing import sampled
from tests.support.graphs import node
from tests.support.workflows import OBJECT_INFO


def limited(**fields: Any) -> tuple[Parameter, ...]:
    bindings = fields.pop("bindings", [("k", "steps")])
    made = {
        "name": "x",
        "type": "integer",
        "bindings": [{"node_id": node_id, "input_name": name} for node_id, name in bindings],
    }
    return parse_parameters([{**made, **fields}])


@pytest.mark.parametrize(
    "fields",
    [
        {"minimum": 1, "maximum": 10000},
        {"minimum": 5, "maximum": 20},
        {"type": "number", "bindings": [("k", "cfg")], "minimum": 0, "maximum": 5},
        {"type": "seed", "bindings": [("k", "seed")]},
        {"type": "choice", "bindings": [("k", "sampler_name")], "choices": ["euler"]},
        {"type": "choice", "bindings": [("k", "steps")], "choices": [4, 8]},
        {"type": "text", "bindings": [("pos", "text")]},
        {"type": "boolean", "bindings": [("gone", "anything")]},
    ],
)
def test_tighter_is_fine(fields: dict[str, Any]) -> None:
    graph = sampled(gone=node("NotKnown", anything=1))
    check_bounds(limited(**fields), graph, OBJECT_INFO)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"minimum": 0, "maximum": 50}, "minimum", "nothing below 1"),
        ({"minimum": 1}, "maximum", "nothing above 10000"),
        ({"type": "number", "bindings": [("k", "denoise")], "minimum": 0, "maximum": 2}, "maximum", "nothing above 1"),
        ({"type": "text", "bindings": [("k", "steps")]}, "type", "does not fit .* takes INT"),
        ({"type": "number", "bindings": [("k", "steps")], "minimum": 1, "maximum": 2}, "type", "does not fit"),
        (
            {"type": "choice", "bindings": [("k", "sampler_name")], "choices": ["euler", "mine"]},
            "choices",
            "does not offer mine",
        ),
        ({"type": "choice", "bindings": [("k", "steps")], "choices": [0, 4]}, "choices", "does not take 0"),
        ({"type": "choice", "bindings": [("k", "steps")], "choices": ["a"]}, "type", "does not fit"),
        ({"type": "string", "bindings": [("k", "sampler_name")]}, "type", "takes COMBO"),
    ],
)
def test_looser_is_refused(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words) as caught:
        check_bounds(limited(**fields), sampled(), OBJECT_INFO)
    assert [fault.field for found in caught.value.faults.values() for fault in found] == [field]
