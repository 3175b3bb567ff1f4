"""Inputs that depend on others."""

from __future__ import annotations

from typing import Any

import pytest

from generations.simulator.dynamic import expanded

IMAGE = {"i": ["IMAGE"]}
NAMED = {"input": {"required": IMAGE}, "names": ["a", "b"], "min": 1}
COUNTED = {"input": {"required": {}, "optional": IMAGE}, "prefix": "i", "min": 1, "max": 2}
OPTIONS = {"options": [{"key": "one", "inputs": {"required": {"a": ["INT"]}}}]}
SLOT = {"inputs": {"optional": {"a": ["INT"]}}}
ROW = {"template": {"required": {"a": ["INT"]}, "optional": {"b": ["INT"]}}}


@pytest.mark.parametrize(
    ("spec", "inputs", "required", "optional"),
    [
        (["INT", {}], {}, ["x"], []),
        (["COMFY_AUTOGROW_V3", {"template": NAMED}], {}, ["x.a"], ["x.b"]),
        (["COMFY_AUTOGROW_V3", {"template": COUNTED}], {}, [], ["x.i0", "x.i1"]),
        (["COMFY_DYNAMICCOMBO_V3", OPTIONS], {"x": "one"}, ["x", "x.a"], []),
        (["COMFY_DYNAMICCOMBO_V3", OPTIONS], {"x": "two"}, [], []),
        (["COMFY_DYNAMICSLOT_V3", SLOT], {}, [], []),
        (["COMFY_DYNAMICSLOT_V3", SLOT], {"x": ["1", 0]}, ["x"], ["x.a"]),
        (["COMFY_DYNAMICGROUP_V3", ROW], {"x.0.a": 1, "x.2.b": 1, "xy": 1}, ["x.0.a", "x.2.a"], ["x.0.b", "x.2.b"]),
    ],
)
def test_inputs_that_depend_on_others(
    spec: list[Any], inputs: dict[str, Any], required: list[str], optional: list[str]
) -> None:
    found = expanded({"required": {"x": spec}}, inputs)
    assert {group: list(specs) for group, specs in found.items()} == {"required": required, "optional": optional}
