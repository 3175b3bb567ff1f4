"""Uploaded files inside a whole workflow."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from generations.comfy.asset_references import MAX_DEPTH, find_references, reference_to, replace_references
from generations.comfy.graph import GraphError

ONE, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


def graph(**inputs: Any) -> dict[str, Any]:
    return {"1": {"class_type": "LoadImage", "inputs": inputs}}


def test_references_are_found_wherever_they_are_in_an_input() -> None:
    inside = {"rows": [{"file": reference_to(OTHER)}, "x.png", ["2", 0]]}
    found = [(each.input_name, each.asset_id) for each in find_references(graph(image=reference_to(ONE), more=inside))]
    assert found == [("image", ONE), ("more", OTHER)]


@pytest.mark.parametrize("info", [None, {}, {"id": 7}, {"id": "no-uuid"}])
def test_a_reference_that_names_no_file_is_found_too(info: Any) -> None:
    (found,) = find_references(graph(image={"__type": "core/ASSET", "info": info}))
    assert found.asset_id is None


def test_nesting_has_a_limit() -> None:
    value: Any = reference_to(ONE)
    for _level in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(GraphError, match="nested more than"):
        list(find_references(graph(image=value)))


def test_names_stand_in_the_place_of_references_in_a_copy() -> None:
    original = graph(image=reference_to(ONE), more=[reference_to(OTHER), "x.png"])
    replaced = replace_references(original, lambda asset_id, known: f"{asset_id.int}-{known.kind if known else ''}.png")
    assert replaced == graph(image="1-image.png", more=["2-.png", "x.png"])
    assert original["1"]["inputs"]["image"] == reference_to(ONE)
