"""Servers that describe the same nodes differently: what is said, about which input, and what is a risk."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.catalog import Catalog
from generations.comfy.differences import differences

NODE = "Sampler"


def server(required: dict[str, Any] | None = None, optional: dict[str, Any] | None = None, *more: str) -> Catalog:
    info = {NODE: {"input": {"required": required or {}, "optional": optional or {}}}}
    return Catalog.read({**info, **{name: {} for name in more}})


def told(older: Catalog, newer: Catalog, *, class_type: str = NODE, **inputs: Any) -> list[tuple[str, str, bool]]:
    graph = {"3": {"class_type": class_type, "inputs": inputs}}
    found = differences(graph, {"older": older, "newer": newer})
    assert all(each.node_id == "3" for each in found)
    return [(each.input_name, each.sentence, each.is_risk) for each in found]


INT = ["INT", {}]


@pytest.mark.parametrize(
    ("older", "newer", "inputs", "expected"),
    [
        (server({"a": INT}), server({"a": INT}), {"a": 1}, []),
        (
            server({"a": INT}), server({"a": INT}, {"b": INT}), {"a": 1, "b": 2},
            [("b", "Only newer has this input; older runs without it.", True)],
        ),
        (
            server({"a": INT}), server({"a": INT}, {"b": INT}), {"a": 1},
            [("", "Only newer has the input “b”; this workflow does not set it.", False)],
        ),
        (
            server({"a": INT}), server({"a": INT, "b": INT}), {"a": 1},
            [("", "newer requires the input “b”, which this workflow does not set.", True)],
        ),
        (server({"a": INT}, {"b": INT}), server({"a": INT, "b": INT}), {"a": 1, "b": 2}, []),
        (
            server({"a": ["INT", {"min": 1, "max": 30}]}), server({"a": ["INT", {"max": 10}]}), {"a": 4},
            [("a", "Bounds differ: 1 to 30 on older; at most 10 on newer.", False)],
        ),
        (
            server({"a": ["INT", {"min": 1}]}), server({"a": INT}), {"a": 4},
            [("a", "Bounds differ: at least 1 on older; any number on newer.", False)],
        ),
        (
            server({"a": [["x", "y"]]}), server({"a": ["COMBO", {"options": ["y", "z"]}]}), {"a": "y"},
            [("a", "Choices differ: “x” only on older; “z” only on newer.", False)],
        ),
        (
            server({"a": [["x"]]}), server({"a": [list("xbcdefg")]}), {"a": "b"},
            [
                ("a", "older does not offer “b”.", False),
                ("a", "Choices differ: “b”, “c”, “d”, “e” and 2 more only on newer.", False),
            ],
        ),
        (
            server({"a": INT}), server({"a": ["FLOAT", {"max": 1.5}]}), {"a": 1},
            [("a", "Types differ: INT on older; FLOAT on newer.", False)],
        ),
    ],
)  # fmt: skip
def test_what_is_said(older: Catalog, newer: Catalog, inputs: dict[str, Any], expected: list[Any]) -> None:
    assert told(older, newer, **inputs) == expected


def test_input_that_a_choice_brings_along() -> None:
    def with_options(**inputs: Any) -> Catalog:
        options = [{"key": "fast", "inputs": {"required": inputs}}]
        return server({"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]})

    found = told(with_options(), with_options(speed=INT), **{"mode": "fast", "mode.speed": 3})
    assert found == [("mode.speed", "Only newer has this input; older runs without it.", True)]


def test_node_type_that_only_some_have() -> None:
    assert told(server({}, {}, "Extra"), server(), class_type="Extra") == [("", "Only older has Extra.", False)]
    assert told(server(), server({"a": INT}), class_type="Nowhere") == []


def test_place_is_named_in_notes() -> None:
    graph = {"3": {"class_type": NODE, "inputs": {"b": 1}, "_meta": {"title": "My sampler"}}}
    (found,) = differences(graph, {"older": server(), "newer": server({}, {"b": INT})})
    assert found.note == "My sampler (node 3), input “b”: Only newer has this input; older runs without it."


def test_servers_are_put_together() -> None:
    new, old = server({}, {"b": INT}), server()
    graph = {"3": {"class_type": NODE, "inputs": {"b": 1}}}
    (found,) = differences(graph, {"a": old, "b": new, "c": old, "d": new, "e": old})
    assert found.sentence == "Only b and d have this input; a, c and e run without it."
    assert differences(graph, {"a": old}) == differences(graph, {"a": new, "b": new}) == differences(graph, {}) == []
