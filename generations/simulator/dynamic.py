"""Inputs that depend on other inputs: what a node takes is known only once its values are (comfy_api/latest/_io.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Spec = Any  # (type, options), of ours or as /object_info has it
Groups = Mapping[str, Mapping[str, Spec]]
GROUPS = ("required", "optional")


def expanded(groups: Groups, inputs: Mapping[str, Any]) -> dict[str, dict[str, Spec]]:
    """`required` and `optional` by full name (`model.width`, `images.image0`), for a node with these inputs.

    When a dynamic combo does not have the chosen option, the node has no such combo: ComfyUI misses nothing, either.
    KeyError and TypeError for descriptions that are malformed.
    """
    found: dict[str, dict[str, Spec]] = {group: {} for group in GROUPS}
    for group, name, spec in _expand(groups, inputs, ""):
        found[group][name] = spec
    return found


def _expand(groups: Groups, inputs: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, Spec]]:
    for group in GROUPS:
        for name, spec in groups.get(group, {}).items():
            full = f"{prefix}{name}"
            match spec[0]:
                case "COMFY_AUTOGROW_V3":
                    yield from _grown(full, spec[1]["template"])
                case "COMFY_DYNAMICGROUP_V3":
                    yield from _rows(full, spec[1]["template"], inputs)
                case "COMFY_DYNAMICCOMBO_V3":
                    chosen = [option for option in spec[1]["options"] if option["key"] == inputs.get(full)]
                    for option in chosen[:1]:
                        yield group, full, spec
                        yield from _expand(option["inputs"], inputs, f"{full}.")
                case "COMFY_DYNAMICSLOT_V3" if full in inputs:
                    yield group, full, spec
                    yield from _expand(spec[1]["inputs"], inputs, f"{full}.")
                case "COMFY_DYNAMICSLOT_V3":
                    pass
                case _:
                    yield group, full, spec


def _grown(full: str, template: Mapping[str, Any]) -> Iterator[tuple[str, str, Spec]]:
    """As many inputs of one kind as there may be; the first few are required."""
    group, inner = next((group, inner) for group, inner in template["input"].items() if inner)
    names = template.get("names") or [f"{template['prefix']}{number}" for number in range(template["max"])]
    for number, name in enumerate(names):
        is_required = group == "required" and number < template["min"]
        yield "required" if is_required else "optional", f"{full}.{name}", next(iter(inner.values()))


def _rows(full: str, template: Groups, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, Spec]]:
    """The same few inputs once more for each row (`group.0.text`) that has any."""
    within = [name.removeprefix(f"{full}.") for name in inputs if name.startswith(f"{full}.")]
    for row in dict.fromkeys(name.partition(".")[0] for name in within):
        yield from _expand(template, inputs, f"{full}.{row}.")
