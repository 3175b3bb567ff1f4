"""Definitions, and values that fit them, for property-based tests."""

from typing import Any

from hypothesis import strategies as st

from generations.parameters.schema import MAX_SEED, Parameter, parse_parameters

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)
_RAW: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-1000, 1000) | st.integers(-1000, 1000).map(str),
    "number": st.floats(-1000, 1000) | st.integers(-1000, 1000) | st.floats(-1000, 1000).map(repr),
    "string": _texts,
    "text": _texts,
    "boolean": st.booleans() | st.sampled_from(["on", "off", "true", "false"]),
    "choice": st.sampled_from(["a", "b", 1, "1.5"]),
    "seed": st.none() | st.just("random") | st.integers(0, MAX_SEED) | st.integers(0, MAX_SEED).map(str),
    "image": st.uuids().map(str),
    "video": st.uuids().map(str),
}


@st.composite
def definitions_and_inputs(draw: st.DrawFn) -> tuple[tuple[Parameter, ...], dict[str, Any]]:
    kinds = draw(st.lists(st.sampled_from(sorted(_RAW)), max_size=6))
    raw = [definition(f"p{index}", kind) for index, kind in enumerate(kinds)]
    inputs = {f"p{index}": draw(_RAW[kind]) for index, kind in enumerate(kinds) if draw(st.booleans())}
    return parse_parameters(raw), inputs


def definition(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """A minimal definition, bound to the input of its own name of node 1."""
    choices = {"choices": ["a", "b", 1, 1.5]} if kind == "choice" else {}
    return {"name": name, "type": kind, "bindings": [{"node_id": "1", "input_name": name}], **choices, **more}


def one(kind: str, **more: Any) -> Parameter:
    return Parameter.model_validate(definition("x", kind, **more))
