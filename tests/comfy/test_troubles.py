"""What is found wrong with a workflow is said once for each kind of node, and never without end."""

from __future__ import annotations

import pytest

from generations.comfy import troubles as troubles_module
from generations.comfy.editor import Definition, EditorNode
from generations.comfy.graph import GraphProblem
from generations.comfy.scopes import Scope
from generations.comfy.troubles import MAX_PROBLEMS, MAX_STEPS, ConversionError, Troubles
from tests.support.workflows import OBJECT_INFO

SCOPE = Scope(Definition("", {}, {}), path="7:")
SUB_GRAPH = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def troubles() -> Troubles:
    return Troubles(OBJECT_INFO)


def test_nodes_with_the_same_fault_are_named_in_one_line() -> None:
    faults = [GraphProblem(str(number), "Sampler", "Its input is gone.") for number in range(3)]
    error = ConversionError([*faults, GraphProblem("9", "Saver", "It has no picture."), GraphProblem("", "", "Alas.")])
    assert str(error).splitlines() == [
        "Sampler (nodes 0, 1, 2): Its input is gone.", "Saver (node 9): It has no picture.", "Alas."
    ]  # fmt: skip
    assert len(error.problems) == 5


def test_a_summary_stands_for_those_that_it_sums_up() -> None:
    missing, other = GraphProblem("1", "Sticky", "It is not there."), GraphProblem("2", "Saver", "It is wrong.")
    error = ConversionError([missing, other], "A pack is missing.", [missing])
    assert str(error) == "A pack is missing.\nSaver (node 2): It is wrong."
    assert error.problems == [missing, other]


@pytest.mark.parametrize(
    ("node", "title"),
    [
        (EditorNode("3", "KSampler", title="  Draws "), "Draws"),
        (EditorNode("3", "CLIPTextEncode"), "CLIP Text Encode (Prompt)"),
        (EditorNode("3", SUB_GRAPH), "Sub-graph"),
        (EditorNode("3", "Unknown"), "Unknown"),
    ],
)
def test_a_node_is_called_as_people_know_it_and_by_its_whole_id(
    troubles: Troubles, node: EditorNode, title: str
) -> None:
    found = troubles.refuse(SCOPE, node, "its input is gone.")
    assert (found.node_id, found.title, found.message) == ("7:3", title, "Its input is gone.")


def test_a_fault_that_is_found_twice_is_one_fault_and_flags_are_none(troubles: Troubles) -> None:
    for _ in range(2):
        troubles.refuse(SCOPE, EditorNode("3", "KSampler"), "gone")
        troubles.flag(SCOPE, EditorNode("4", "KSampler"), "look at it")
    assert [problem.node_id for problem in troubles.problems.values()] == ["7:3"]
    assert [problem.node_id for problem in troubles.flags.values()] == ["7:4"]


def test_many_faults_end_the_conversion_and_many_flags_do_not(troubles: Troubles) -> None:
    for number in range(MAX_PROBLEMS + 50):
        troubles.flag(SCOPE, EditorNode(str(number), "KSampler"), "look at it")
    assert len(troubles.flags) == MAX_PROBLEMS
    with pytest.raises(ConversionError) as refusal:
        for number in range(MAX_PROBLEMS + 50):
            troubles.refuse(SCOPE, EditorNode(str(number), "KSampler"), "gone")
    assert len(refusal.value.problems) == MAX_PROBLEMS


def test_steps_are_counted_together(troubles: Troubles, monkeypatch: pytest.MonkeyPatch) -> None:
    troubles.spend(MAX_STEPS)
    with pytest.raises(ConversionError, match="too many ways"):
        troubles.spend(1)
    monkeypatch.setattr(troubles_module, "MAX_STEPS", 2 * MAX_STEPS)
    troubles.spend(1)
