"""Comfy's official templates, converted with the node types of a ComfyUI 0.29.0."""

from __future__ import annotations

import json

import pytest

from generations.comfy.catalog import Catalog, graph_needs
from generations.comfy.convert import convert
from generations.comfy.graph import check_graph
from tests.comfy.official_templates import LACKING, NEWER, ODD, PAGE, REASONS, UNFIT, outcomes, page, templates
from tests.support.workflows import newest_object_info

pytestmark = pytest.mark.slow  # all need the outcome of all 644


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


def test_what_the_server_would_refuse_at_free_nodes_is_the_files_own() -> None:
    """Anything else there would be a fault of the conversion."""
    assert {name for name, outcome in outcomes().items() if outcome.kind == ODD} == REASONS.keys()


def test_what_the_server_would_refuse_is_named_before_it_is_asked() -> None:
    """By the check of the graph, or by what is compared with the server's catalog; and nothing else is."""
    catalog, found = Catalog.read(newest_object_info()), {}
    for name, outcome in outcomes().items():
        if outcome.kind in {NEWER, UNFIT}:
            continue
        graph = convert(templates()[name], newest_object_info())
        lacking = [each for each in catalog.missing(graph_needs(graph)) if not each.startswith("the file ")]
        problems = [each for each in check_graph(graph, newest_object_info()) if each.reason != "missing_model"]
        found[name] = (bool(lacking or problems), bool(outcome.problems))
    assert {name: each for name, each in found.items() if each[0] is not each[1]} == {}


def test_every_refusal_names_a_node() -> None:
    for name, outcome in outcomes().items():
        for problem in outcome.problems:
            assert "(node" in problem or outcome.kind == NEWER, (name, problem, LACKING.pattern)
