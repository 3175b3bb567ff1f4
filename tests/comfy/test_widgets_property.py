"""Whatever layout a file has: the values that were set come out, or the node is refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.convert import ConversionError, convert
from generations.comfy.fitting import CONTROL_WORDS

WORDS = ["red", "green", "blue", "fixed", "karras", ""]
numbers = st.integers(0, 50)
specs = st.one_of(
    st.builds(lambda control: ["INT", {"min": 0, "max": 50, "control_after_generate": control}], st.booleans()),
    st.just(["FLOAT", {"min": 0.0, "max": 50.0}]),
    st.just(["BOOLEAN", {}]),
    st.just(["STRING", {}]),
    st.builds(lambda words: [words, {}], st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True)),
)
dynamic = st.builds(
    lambda one, other: [
        "COMFY_DYNAMICCOMBO_V3",
        {
            "options": [
                {"key": key, "inputs": {"required": {f"{key}{at}": spec for at, spec in enumerate(inputs)}}}
                for key, inputs in (("left", one), ("right", other))
            ]
        },
    ],
    st.lists(specs, max_size=3),
    st.lists(specs, max_size=3),
)
schemas = st.lists(st.one_of(specs, dynamic), min_size=1, max_size=6)


class Node:
    """A class of node, with values for all its widgets and the places that the editor keeps for them."""

    def __init__(self, schema: list[Any], draw: random.Random) -> None:
        self.schema = {f"input{at}": spec for at, spec in enumerate(schema)}
        self.values: dict[str, Any] = {}
        self.places: list[tuple[str, Any]] = []  # (name, value); "" for control words
        self.draw = draw
        for name, spec in self.schema.items():
            self._set(name, spec)

    def _set(self, name: str, spec: Any) -> None:
        kind, options = spec
        value = self._value(kind, options)
        self.values[name] = value
        self.places.append((name, value))
        if options.get("control_after_generate"):
            self.places.append(("", self.draw.choice(sorted(CONTROL_WORDS))))
        for option in options.get("options", []):
            if option["key"] == value:
                for inner, inner_spec in option["inputs"]["required"].items():
                    self._set(f"{name}.{inner}", inner_spec)

    def _value(self, kind: Any, options: dict[str, Any]) -> Any:
        if isinstance(kind, list):
            return self.draw.choice(kind)
        if kind == "COMFY_DYNAMICCOMBO_V3":
            return self.draw.choice(["left", "right"])
        if kind == "BOOLEAN":
            return self.draw.random() < 0.5
        if kind == "STRING":
            return self.draw.choice(["a boat", "", "image", "red", "7"])
        return self.draw.randint(0, 50) if kind == "INT" else self.draw.randint(0, 100) / 2

    def stored(self, layout: str) -> list[Any]:
        """The values as a file of that kind has them."""
        values = [value for _name, value in self.places]
        replaced = {"nulls": None, "flags": True, "blanks": ""}
        if layout in replaced:
            return [value if name else replaced[layout] for name, value in self.places]
        if layout == "no words":
            return [value for name, value in self.places if name]
        if layout == "more words":
            at = self.draw.randint(1, len(values))
            return [*values[:at], "randomize", *values[at:]]
        if layout == "hole":
            at = self.draw.randint(0, len(values))
            return [*values[:at], None, *values[at:]]
        if layout == "buttons":
            return [*values, None, "image", "", {}]
        return self.draw.sample(values, len(values)) if layout == "shuffled" else values

    def convert(self, **fields: Any) -> dict[str, Any] | None:
        """What is sent; None when it was refused by its id."""
        info = {"N": {"input": {"required": self.schema}, "output": [], "python_module": "nodes"}}
        try:
            graph = convert({"nodes": [{"id": 7, "type": "N", "mode": 0, **fields}], "links": []}, info)
        except ConversionError as refusal:
            assert {problem.node_id for problem in refusal.problems} == {"7"}
            return None
        return dict(graph["7"]["inputs"])


LAYOUTS = ["editor", "nulls", "flags", "blanks", "no words", "more words", "hole", "buttons"]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(schemas, st.randoms(use_true_random=False))
def test_set_values_come_out_of_every_layout_or_none_do(layout: str, schema: list[Any], draw: random.Random) -> None:
    node = Node(schema, draw)
    assert node.convert(widgets_values=node.stored(layout)) in (node.values, None)


@settings(max_examples=60, deadline=None)
@given(schemas, st.randoms(use_true_random=False))
def test_editors_own_layout_is_never_refused(schema: list[Any], draw: random.Random) -> None:
    node = Node(schema, draw)
    assert node.convert(widgets_values=node.stored("editor")) == node.values
    assert node.convert(widgets_values=node.values) == node.values


@pytest.mark.parametrize("layout", [*LAYOUTS, "shuffled"])
@settings(max_examples=40, deadline=None)
@given(schemas, st.randoms(use_true_random=False))
def test_names_bring_the_values_whatever_the_list_holds(layout: str, schema: list[Any], draw: random.Random) -> None:
    node = Node(schema, draw)
    named = {name or "control_after_generate": value for name, value in node.places}
    assert node.convert(widgets_values=node.stored(layout), widgets_values_named=named) in (node.values, None)
