"""What a server says while a prompt runs becomes one number that never goes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from generations.comfy.graph import Graph
from generations.comfy.messages import (
    Executing,
    ExecutionCached,
    ExecutionStart,
    Message,
    NodeProgress,
    Progress,
    ProgressState,
)
from generations.relay.progress import ProgressTracker
from tests.support.graphs import node

GRAPH: Graph = {
    "1": node("EmptyLatentImage"),
    "2": {**node("KSampler"), "_meta": {"title": "Draws"}},
    "3": node("SaveImage"),
}  # of twelve parts in all, the sampler has ten
P = "prompt"


def executing(node_id: str | None, display_node: str | None = None) -> Executing:
    return Executing(node_id, display_node or node_id, P)


def state(*nodes: tuple[str, str, float, float, str]) -> ProgressState:
    """`nodes`: (id, state, value, max, id of the node in the graph that it is a part of)."""
    return ProgressState(
        P,
        {
            node_id: NodeProgress(node_id, value, most, how, display_node_id=own, parent_node_id=None, real_node_id=own)
            for node_id, how, value, most, own in nodes
        },
    )


def test_a_sampler_counts_as_much_as_ten_other_nodes() -> None:
    tracker = ProgressTracker(GRAPH)
    assert tracker.hear(executing("2"))
    assert tracker.hear(Progress(5, 20, P, "2"))
    found = tracker.snapshot()
    assert found == {
        "value": round(2.5 / 12, 4), "nodes_done": 0, "nodes_total": 3, "node_id": "2", "node_title": "Draws",
        "node_class": "KSampler", "step": 5, "steps": 20,
    }  # fmt: skip


def test_what_was_cached_or_left_is_done() -> None:
    tracker = ProgressTracker(GRAPH)
    tracker.hear(ExecutionCached(P, ("1",)))
    tracker.hear(executing("2"))
    tracker.hear(Progress(3, 20, P, "2"))
    tracker.hear(executing("3"))  # an old server says no more of the end of the node before
    found = tracker.snapshot()
    assert (found["nodes_done"], found["value"]) == (2, round(11 / 12, 4))
    assert (found["node_id"], found["step"], found["steps"]) == ("3", None, None)


def test_inner_nodes_of_an_expansion_are_the_node_that_expands() -> None:
    tracker = ProgressTracker(GRAPH)
    tracker.hear(state(("2.0.0.7", "running", 4, 8, "2")))
    found = tracker.snapshot()
    assert (found["node_id"], found["step"], found["steps"]) == ("2", 4, 8)
    tracker.hear(state(("2.0.0.7", "finished", 8, 8, "2")))
    assert tracker.snapshot()["nodes_done"] == 0
    tracker.hear(state(("2", "finished", 1, 1, "2")))
    assert tracker.snapshot()["nodes_done"] == 1


def test_what_says_nothing_of_a_node_changes_nothing() -> None:
    tracker = ProgressTracker(GRAPH)
    assert not tracker.hear(ExecutionStart(P))
    assert not tracker.hear(executing(None))
    assert not tracker.hear(Progress(1, 2, P, None))
    assert tracker.snapshot()["node_id"] is None


def test_nodes_that_the_graph_does_not_have_count_for_nothing() -> None:
    tracker = ProgressTracker(GRAPH)
    tracker.hear(ExecutionCached(P, ("99", "98")))
    tracker.hear(executing("99"))
    assert tracker.snapshot() == ProgressTracker(GRAPH).snapshot()
    assert ProgressTracker({}).snapshot()["value"] == 0.0


NODES = st.sampled_from(["1", "2", "3", "2.0.1", "99"])
MESSAGES = st.one_of(
    NODES.map(executing),
    st.builds(lambda each: ExecutionCached(P, (each,)), NODES),
    st.builds(lambda value, most, each: Progress(value, most, P, each), st.floats(0, 30), st.floats(0, 30), NODES),
    st.builds(
        lambda each, how, value: state((each, how, value, 20, each.partition(".")[0])),
        NODES, st.sampled_from(["pending", "running", "finished"]), st.floats(0, 30),
    ),
)  # fmt: skip


@given(st.lists(MESSAGES, max_size=12))
def test_in_whatever_order_it_is_said_the_number_never_goes_back_and_ends_at_one(messages: list[Message]) -> None:
    tracker, before = ProgressTracker(GRAPH), 0.0
    for message in messages:
        tracker.hear(message)
        found = tracker.snapshot()
        assert before <= found["value"] <= 1.0
        assert 0 <= found["nodes_done"] <= 3
        before = found["value"]
