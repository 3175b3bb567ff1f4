"""Nodes that exist in the editor alone: left out where they change nothing, followed where they are wiring."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert, convert_flagged
from tests.support.drawn import link, node, out, save, slot, source, workflow
from tests.support.workflows import OBJECT_INFO

SUBGRAPH = "00000000-0000-4000-8000-000000000001"
INNER = "00000000-0000-4000-8000-000000000002"


def setter(node_id: int, name: str, link: int | None, kind: str = "SetNode", **fields: Any) -> dict[str, Any]:
    return node(
        node_id, kind, inputs=[slot("IMAGE", "IMAGE", link)], outputs=[out("*")], widgets_values=[name], **fields
    )


def getter(node_id: int, name: str, kind: str = "GetNode", **fields: Any) -> dict[str, Any]:
    return node(node_id, kind, outputs=[out("IMAGE")], widgets_values=[name], **fields)


def images(value: dict[str, Any], node_id: str) -> Any:
    return convert(value, OBJECT_INFO)[node_id]["inputs"].get("images")


def refusal(value: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ConversionError) as refused:
        convert(value, OBJECT_INFO)
    return [(problem.node_id, problem.message) for problem in refused.value.problems]


# ------------------------------------------------------------------------------------- editor only
@pytest.mark.parametrize(
    "kind",
    [
        "Note", "MarkdownNote", "Note Plus (mtb)", "easy bookmark", "Label (rgthree)", "Bookmark (rgthree)",
        "Fast Groups Muter (rgthree)", "Fast Groups Bypasser (rgthree)", "Fast Muter (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Actions Button (rgthree)", "Node Collector (rgthree)", "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)", "Random Unmuter (rgthree)", "Power Conductor (rgthree)",
    ],
)  # fmt: skip
def test_known_nodes_of_the_editor_alone_are_left_out_without_a_word(kind: str) -> None:
    helper = node(3, kind, inputs=[slot("Empty Image", "*", 2)], outputs=[out("OPT_CONNECTION")])
    found = convert_flagged(
        workflow(source(), save(2, 1), helper, links=[[1, 1, 0, 2, 0], [2, 1, 0, 3, 0]]), OBJECT_INFO
    )
    assert list(found.graph) == ["1", "2"]
    assert found.graph["2"]["inputs"]["images"] == ["1", 0]
    assert found.flags == []


def test_unknown_node_that_can_only_be_of_the_editor_is_left_out_and_flagged() -> None:
    helper = node(3, "Sticky (acme)", title="To do", inputs=[slot("any", "*", 2)], outputs=[out("STICKY")])
    found = convert_flagged(
        workflow(source(), save(2, 1), helper, links=[[1, 1, 0, 2, 0], [2, 1, 0, 3, 0]]), OBJECT_INFO
    )
    assert list(found.graph) == ["1", "2"]
    assert [(flag.node_id, flag.title) for flag in found.flags] == [("3", "To do")]
    assert "Sticky (acme)" in found.flags[0].message


def test_unknown_node_that_something_real_needs_is_refused_with_all_that_it_needs() -> None:
    first = node(3, "First (acme)", outputs=[out("ACME")])
    second = node(4, "Second (acme)", inputs=[slot("in", "ACME", 2)], outputs=[out("ACME")])
    apart = node(5, "Sticky (acme)")
    assert [node_id for node_id, _ in refusal(
        workflow(first, second, apart, save(6, 3), links=[[2, 3, 0, 4, 0], [3, 4, 0, 6, 0]])
    )] == ["4", "3"]  # fmt: skip


@pytest.mark.parametrize(
    "inputs", [[slot("images", "IMAGE", 2)], [{**slot("name", "acme"), "widget": {"name": "name"}}]]
)
def test_unknown_node_that_may_save_something_is_refused(inputs: Any) -> None:
    saver = node(3, "Save (acme)", inputs=inputs)
    found = refusal(workflow(source(), save(2, 1), saver, links=[[1, 1, 0, 2, 0], [2, 1, 0, 3, 0]]))
    assert [node_id for node_id, _ in found] == ["3"]


@pytest.mark.parametrize(("mode", "expected"), [(4, ["1", 0]), (2, None)])
def test_unknown_node_that_is_bypassed_or_muted_acts_as_in_the_editor(mode: int, expected: Any) -> None:
    middle = node(3, "Blur (acme)", mode=mode, inputs=[slot("image", "IMAGE", 1)], outputs=[out("IMAGE")])
    assert images(workflow(source(), middle, save(2, 2), links=[[1, 1, 0, 3, 0], [2, 3, 0, 2, 0]]), "2") == expected


def test_note_gives_nothing_where_a_file_connects_it_and_is_flagged() -> None:
    note = node(3, "Note", outputs=[out("*")], widgets_values=["hello"])
    found = convert_flagged(workflow(note, save(2, 1), links=[[1, 3, 0, 2, 0]]), OBJECT_INFO)
    assert "images" not in found.graph["2"]["inputs"]
    assert [(flag.node_id, flag.message) for flag in found.flags] == [
        ("3", "It is connected to other nodes, but gives them nothing, as in ComfyUI.")
    ]


def test_random_unmuter_decides_when_a_workflow_is_queued() -> None:
    unmuter = node(3, "Random Unmuter (rgthree)", inputs=[slot("a", "*", 2), slot("b", "*", 3), slot("", "*")])
    links = [[1, 1, 0, 2, 0], [2, 1, 0, 3, 0], [3, 4, 0, 3, 1]]
    ((node_id, message),) = refusal(workflow(source(1, mode=2), source(4, mode=2), save(2, 1), unmuter, links=links))
    assert node_id == "3" and "at random" in message and "(node 1)" in message and "(node 4)" in message
    assert images(workflow(source(1), source(4, mode=2), save(2, 1), unmuter, links=links), "2") == ["1", 0]


def test_preset_text_is_kept_in_the_browser() -> None:
    preset = node(3, "PresetText|pysssss", outputs=[out("STRING")], widgets_values=["mine"])
    target = save(2, 1)
    target["inputs"].append({**slot("filename_prefix", "STRING", 2), "widget": {"name": "filename_prefix"}})
    ((node_id, message),) = refusal(workflow(source(), preset, target, links=[[1, 1, 0, 2, 0], [2, 3, 0, 2, 1]]))
    assert node_id == "3" and "browser" in message


# ------------------------------------------------------------------------------------- Set and Get
@pytest.mark.parametrize(("get", "put"), [("GetNode", "SetNode"), ("easy getNode", "easy setNode")])
@pytest.mark.parametrize("mode", [0, 2, 4])
def test_get_brings_what_its_set_takes_whatever_the_mode_of_the_set(get: str, put: str, mode: int) -> None:
    value = workflow(
        source(), source(5), setter(2, "a", 1, put, mode=mode), setter(6, "b", 3, put), getter(3, "a", get), save(4, 2),
        links=[[1, 1, 0, 2, 0], [2, 3, 0, 4, 0], [3, 5, 0, 6, 0]],
    )  # fmt: skip
    assert images(value, "4") == ["1", 0]


@pytest.mark.parametrize("mode", [2, 4])
def test_get_that_is_muted_or_bypassed_brings_nothing(mode: int) -> None:
    value = workflow(
        source(), setter(2, "a", 1), getter(3, "a", mode=mode), save(4, 2), links=[[1, 1, 0, 2, 0], [2, 3, 0, 4, 0]]
    )
    assert images(value, "4") is None


def test_get_of_a_muted_source_brings_nothing_and_of_a_bypassed_one_what_that_passes_on() -> None:
    links = [[1, 1, 0, 5, 0], [2, 5, 0, 2, 0], [3, 3, 0, 4, 0]]
    for mode, expected in ((2, None), (4, ["1", 0])):
        middle = node(5, "ImageInvert", mode=mode, inputs=[slot("image", "IMAGE", 1)], outputs=[out("IMAGE")])
        value = workflow(source(), middle, setter(2, "a", 2), getter(3, "a"), save(4, 3), links=links)
        assert images(value, "4") == expected


def test_set_passes_on_what_it_takes_and_may_be_fed_by_a_get() -> None:
    links = [[1, 1, 0, 2, 0], [2, 2, 0, 6, 0], [3, 3, 0, 5, 0], [4, 7, 0, 4, 0]]
    value = workflow(
        source(),
        setter(2, "a", 1),
        save(6, 2),
        getter(3, "a"),
        setter(5, "b", 3),
        getter(7, "b"),
        save(4, 4),
        links=links,
    )
    assert images(value, "6") == images(value, "4") == ["1", 0]


def test_get_of_a_set_without_a_link_brings_nothing() -> None:
    assert images(workflow(setter(2, "a", None), getter(3, "a"), save(4, 1), links=[[1, 3, 0, 4, 0]]), "4") is None


@pytest.mark.parametrize(
    ("sets", "name", "words"),
    [
        ((), "a", "no Set node named “a”"),
        ((setter(2, "b", 1),), "a", "no Set node named “a”"),
        ((setter(2, "a", 1, "easy setNode"),), "a", "no Set node named “a”"),
        ((setter(2, "a", 1),), "", "names no value"),
        ((setter(2, "a", 1), setter(7, "a", 1)), "a", "(nodes 2, 7)"),
    ],
)
def test_get_without_its_one_set_is_refused(sets: Any, name: str, words: str) -> None:
    value = workflow(source(), *sets, getter(3, name), save(4, 2), links=[[1, 1, 0, 2, 0], [2, 3, 0, 4, 0]])
    ((node_id, message),) = refusal(value)
    assert node_id == "3" and words in message


def test_get_and_set_in_a_circle_are_refused() -> None:
    value = workflow(setter(2, "a", 1), getter(3, "a"), save(4, 2), links=[[1, 3, 0, 2, 0], [2, 3, 0, 4, 0]])
    assert any("in a circle" in message for _, message in refusal(value))


def with_get_inside(
    *outer: dict[str, Any], kind: str = "GetNode", links: Any = (), subgraphs: Any = ()
) -> dict[str, Any]:
    """A sub-graph that saves what a Get node in it brings, and nodes around it."""
    inside = {"id": SUBGRAPH, "nodes": [getter(1, "a", kind), save(2, 1)], "links": [link(1, 1, 0, 2, 0)]}
    return workflow(*outer, links=links, subgraphs=[inside, *subgraphs])


def test_get_in_a_sub_graph_finds_the_set_around_it_once_for_each_use() -> None:
    value = with_get_inside(source(), setter(2, "a", 1), node(5, SUBGRAPH), node(6, SUBGRAPH), links=[[1, 1, 0, 2, 0]])
    assert images(value, "5:2") == images(value, "6:2") == ["1", 0]


def test_set_beside_the_get_goes_before_one_around_it() -> None:
    inside = {
        "id": SUBGRAPH,
        "nodes": [source(3), setter(4, "a", 2), getter(1, "a"), save(2, 1)],
        "links": [link(1, 1, 0, 2, 0), link(2, 3, 0, 4, 0)],
    }
    value = workflow(source(), setter(2, "a", 1), node(5, SUBGRAPH), links=[[1, 1, 0, 2, 0]], subgraphs=[inside])
    assert images(value, "5:2") == ["5:3", 0]


def test_set_in_a_sub_graph_is_not_seen_around_it() -> None:
    inside = {"id": SUBGRAPH, "nodes": [source(1), setter(2, "a", 1)], "links": [link(1, 1, 0, 2, 0)]}
    value = workflow(node(5, SUBGRAPH), getter(3, "a"), save(4, 1), links=[[1, 3, 0, 4, 0]], subgraphs=[inside])
    assert [node_id for node_id, _ in refusal(value)] == ["3"]


def test_easy_get_sees_its_own_graph_alone() -> None:
    value = with_get_inside(
        source(), setter(2, "a", 1, "easy setNode"), node(5, SUBGRAPH), kind="easy getNode", links=[[1, 1, 0, 2, 0]]
    )
    ((node_id, message),) = refusal(value)
    assert node_id == "5:1" and message == "There is no Set node named “a” in its sub-graph."


def test_get_in_a_sub_graph_that_is_used_in_several_graphs_is_refused() -> None:
    other = {"id": INNER, "nodes": [node(1, SUBGRAPH)], "links": []}
    value = with_get_inside(
        source(), setter(2, "a", 1), node(5, SUBGRAPH), node(6, INNER), links=[[1, 1, 0, 2, 0]], subgraphs=[other]
    )
    assert {node_id for node_id, _ in refusal(value)} == {"5:1", "6:1:1"}


def test_get_of_a_set_around_it_that_takes_an_input_of_its_sub_graph_is_refused() -> None:
    outer = {
        "id": INNER,
        "nodes": [setter(1, "a", 1), node(2, SUBGRAPH)],
        "links": [link(1, -10, 0, 1, 0)],
        "inputs": [{"name": "image", "type": "IMAGE"}],
    }
    value = with_get_inside(
        source(), node(5, INNER, inputs=[slot("image", "IMAGE", 1)]), links=[[1, 1, 0, 5, 0]], subgraphs=[outer]
    )
    ((node_id, message),) = refusal(value)
    assert node_id == "5:2:1" and "input of the sub-graph" in message
