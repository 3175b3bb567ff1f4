"""What an admin's clicks do to a draft."""

from __future__ import annotations

import copy

import pytest

from generations.studio import checks, editing
from tests.support.drafts import drafted, parameter_names
from tests.support.workflows import OBJECT_INFO

pytestmark = pytest.mark.django_db


def test_exposed_input_is_described_by_its_part_in_the_graph() -> None:
    draft = drafted()
    assert editing.expose(draft, ("7", "text"), OBJECT_INFO) == "negative_prompt"
    assert editing.expose(draft, ("6", "text"), OBJECT_INFO) == "prompt"
    assert editing.expose(draft, ("9", "filename_prefix"), OBJECT_INFO) == "filename_prefix"
    assert editing.expose(draft, ("6", "text"), OBJECT_INFO) == ""  # it is already
    assert editing.expose(draft, ("3", "model"), OBJECT_INFO) == ""  # a link
    assert editing.expose(draft, ("404", "x"), OBJECT_INFO) == ""
    assert parameter_names(draft) == ["negative_prompt", "prompt", "filename_prefix"]
    assert [each["role"] for each in draft.parameters] == ["negative_prompt", "prompt", ""]
    assert checks.faults(draft, OBJECT_INFO) == {}


def test_hidden_input_takes_its_parameter_along_when_it_was_the_last() -> None:
    draft = drafted()
    editing.expose(draft, ("5", "width"), OBJECT_INFO)
    editing.join(draft, ("5", "height"), "width")
    assert len(draft.parameters[0]["bindings"]) == 2
    editing.hide(draft, ("5", "width"))
    assert [each["input_name"] for each in draft.parameters[0]["bindings"]] == ["height"]
    editing.hide(draft, ("5", "height"))
    assert draft.parameters == []


def test_parameters_move_and_go() -> None:
    draft = drafted()
    for key in (("6", "text"), ("7", "text"), ("3", "steps")):
        editing.expose(draft, key, OBJECT_INFO)
    editing.move(draft, 2, 0)
    assert parameter_names(draft) == ["steps", "prompt", "negative_prompt"]
    editing.move(draft, 0, 99)
    editing.move(draft, 7, 0)
    assert parameter_names(draft) == ["prompt", "negative_prompt", "steps"]
    editing.remove(draft, 1)
    assert parameter_names(draft) == ["prompt", "steps"]


def test_results_of_nodes_are_kept_or_not() -> None:
    draft = drafted()
    outputs = ("a", "b", "c")
    editing.keep_results(draft, "b", False, outputs)
    assert draft.output_nodes == ["a", "c"]
    editing.keep_results(draft, "b", True, outputs)
    assert draft.output_nodes == []  # all of them


def test_one_node_at_most_tells_whether_results_are_safe() -> None:
    draft = drafted()
    editing.set_safety_node(draft, "9", True, ["9", "21"])
    editing.set_safety_node(draft, "21", True, ["9", "21"])
    editing.set_safety_node(draft, "9", False, ["9", "21"])
    assert draft.safety_node == "21"
    editing.set_safety_node(draft, "3", True, ["9", "21"])  # without results
    assert draft.safety_node == "21"
    editing.set_safety_node(draft, "21", False, ["9", "21"])
    assert draft.safety_node == ""


def test_graph_of_the_draft_is_never_changed() -> None:
    draft = drafted()
    before = copy.deepcopy(draft.graph)
    for key in (("6", "text"), ("3", "seed")):
        editing.expose(draft, key, OBJECT_INFO)
    editing.hide(draft, ("3", "seed"))
    assert draft.graph == before
