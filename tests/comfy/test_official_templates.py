"""Comfy's official templates, converted with the node types of a ComfyUI 0.29.0."""

from __future__ import annotations

import json

from tests.comfy.official_templates import LACKING, NEWER, PAGE, outcomes, page, templates
from tests.support.workflows import newest_object_info


def test_each_is_converted_or_refused_and_the_page_says_which() -> None:
    """`python -m tests.comfy.official_templates` writes the page anew: look at what it changes."""
    assert len(templates()) == 644
    assert PAGE.read_text() == page()


def test_node_types_that_are_said_to_be_unknown_are_used_and_unknown() -> None:
    for name, outcome in outcomes().items():
        if outcome.kind == NEWER:
            text = json.dumps(templates()[name])
            lacking = [each for each in outcome.problems if "(node" not in each]
            assert lacking, name
            assert all(json.dumps(each) in text and each not in newest_object_info() for each in lacking), name


def test_every_refusal_names_a_node() -> None:
    for name, outcome in outcomes().items():
        for problem in outcome.problems:
            assert "(node" in problem or outcome.kind == NEWER, (name, problem, LACKING.pattern)
