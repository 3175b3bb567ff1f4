"""What nodes of Use Everywhere broadcast, and which inputs that is meant for: settings, priorities and patterns.

Source: js/ of cg-use-everywhere 7.8 (ue_properties.js, use_everywhere_settings.js, use_everywhere_classes.js); files of
versions before 7 keep the settings in other places. What no file decides is Unclear, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from generations.comfy.editor import EditorNode, Slot

SEED, PROMPTS = "Seed Everywhere", "Prompts Everywhere"
ANYTHING = ("Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?", PROMPTS)
_OLD_PROMPTS = (r"(_|\b)pos(itive|_|\b)|^prompt", r"(_|\b)neg(ative|_|\b)")
_UNCLEAR_PATTERN = "its pattern “{}” is too complex to be followed here"
UNCLEAR_AGE = "versions of Use Everywhere before and after 7 read its settings differently"

Output: TypeAlias = tuple[str, int]  # node id, slot


class Unclear(Exception):
    """The file does not decide it; `str()` is a clause that says why. `is_recorded`: its list of links would tell."""

    is_recorded = True


class Refused(Unclear):
    """What the extension finds and lists as a link, and not every editor makes one."""

    is_recorded = False


@dataclass(frozen=True, slots=True)
class Target:
    """An open input. `names`: what patterns are held against, as it is shown in different languages."""

    node: EditorNode
    number: int
    slot: Slot
    title: str
    names: tuple[str, ...]
    is_required: bool


@dataclass(slots=True)
class Broadcast:
    """One output that is offered to open inputs, and by which node."""

    controller: EditorNode
    output: Output
    type: str
    priority: float
    settings: Mapping[str, Any]
    is_old: bool
    label: str = ""  # of the input that it comes through
    number: int = -1
    must_match: bool = False  # the name of the input, because the controller offers its type more than once


def is_controller(node: EditorNode) -> bool:
    """True for the nodes of Use Everywhere itself."""
    return node.type.startswith("Anything Everywhere") or node.type in {SEED, PROMPTS}


def settings_of(node: EditorNode) -> tuple[Mapping[str, Any], bool]:
    """What restricts a node's broadcasts, and whether a version before 7 wrote that."""
    settings = mapping(node.properties.get("ue_properties"))
    if settings.get("version") or not is_controller(node):
        return settings, False
    values = [*(node.values if isinstance(node.values, list) else ()), "", "", ""]
    patterns = dict(zip(("title_regex", "input_regex", "group_regex"), values, strict=False))
    restricted = {key: node.properties.get(key) for key in ("group_restricted", "color_restricted")}
    return {**restricted, **(patterns if node.type != SEED else {})}, True


def priority_of(node: EditorNode, settings: Mapping[str, Any], has_repeated: bool) -> int:
    """Which broadcast wins, where the settings do not say it: the pickier it is, the higher."""
    patterns = (settings.get(f"{name}_regex") for name in ("title", "input", "prompt", "negative", "group"))
    is_picky = any(pattern and pattern != ".*" for pattern in patterns)
    found = 10 + (10 if node.type in {SEED, PROMPTS} else 0) + (20 if is_picky or has_repeated else 0)
    found += 3 if is_on(settings.get("group_restricted")) else 0
    return found + (6 if is_on(settings.get("color_restricted")) else 0)


def fits_title(each: Broadcast, target: Target) -> bool:
    """By the title of the node that has the input. Unclear for a pattern that cannot be followed."""
    return _fits_pattern(each, "title", (target.title,))


def fits_input(each: Broadcast, target: Target) -> bool:
    """By the name of the input. Unclear when only some of the names that it is shown with fit."""
    return _fits_pattern(each, "input", target.names)


def _fits_pattern(each: Broadcast, name: str, texts: tuple[str, ...]) -> bool:
    pattern = each.settings.get(f"{name}_regex")
    if not pattern or pattern == ".*":
        return True
    inverted = bool(each.settings.get(f"{name}_regex_invert"))
    found = {matches(pattern, text) != inverted for text in texts}
    if len(found) > 1:
        raise Unclear(f"its pattern “{pattern}” fits only some of the names that the editor shows for an input")
    return True in found


def fits_name(each: Broadcast, target: Target) -> bool:
    """Where one node offers a type several times, the names of its inputs tell them apart."""
    found = _has_name(each, target) if each.must_match else True
    is_prompt = each.controller.type == PROMPTS and each.number in (0, 1)
    is_old = is_prompt and (each.is_old or bool(each.settings.get("prompt_regexes")))
    if is_old and matches(_OLD_PROMPTS[each.number], target.slot.label or target.slot.name) != found:
        raise Unclear(UNCLEAR_AGE)
    return found


def _has_name(each: Broadcast, target: Target) -> bool:
    theirs, ours = target.slot.label or target.slot.name, each.label
    shorter = min(len(theirs), len(ours))
    rule = each.settings.get("repeated_type_rule") or 0
    if rule == 1:
        return theirs[:shorter] == ours[:shorter]
    if rule == 2:
        return theirs[len(theirs) - shorter :] == ours[len(ours) - shorter :]
    if rule == 3:
        return target.title == ours
    return matches(ours, theirs) if rule == 4 else theirs == ours


def matches(pattern: object, text: str) -> bool:
    """True when the pattern is found in the text. Unclear for patterns that could take for ever, or are none."""
    source = str(pattern)
    is_simple = len(re.findall(r"[*+?{]", source)) <= 3 and not re.search(r"\)[*+?{]|\\[1-9k]", source)
    if len(source) > 200 or len(text) > 200 or not is_simple:
        raise Unclear(_UNCLEAR_PATTERN.format(source[:60]))
    try:
        return re.search(source, text, re.ASCII) is not None
    except re.error as error:
        raise Unclear(_UNCLEAR_PATTERN.format(source[:60])) from error


def is_on(value: object) -> bool:
    """True for a setting that is chosen: 0 is “no”."""
    return isinstance(value, int | float) and value > 0


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}
