"""What is said about nodes of types that no server has: true, and of use."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from generations.comfy.object_info import NodeClasses
from tests.support.drawn import node, out, save, slot, source, workflow
from tests.support.workflows import OBJECT_INFO

CORE, PACK = {"cnr_id": "comfy-core", "ver": "0.29.0"}, {"aux_id": "acme/ComfyUI-Acme"}


def known(*servers: str, simulators: tuple[str, ...] = ()) -> NodeClasses:
    found = NodeClasses(OBJECT_INFO)
    found.servers, found.simulators = servers, frozenset(simulators)
    return found


def why(object_info: Any, properties: Any = None, *, is_used: bool = True) -> str:
    blur = node(1, "Blur (acme)", outputs=[out("IMAGE")], properties=properties or {})
    unused = node(1, "Save (acme)", inputs=[slot("images", "IMAGE", 1)], properties=properties or {})
    used = workflow(blur, save(2, 1), links=[[1, 1, 0, 2, 0]])
    value = used if is_used else workflow(source(3), unused, save(2, 2), links=[[1, 3, 0, 1, 0], [2, 3, 0, 2, 0]])
    with pytest.raises(ConversionError) as refused:
        convert(value, object_info)
    (problem,) = refused.value.problems
    assert problem.node_id == "1"
    return problem.message


@pytest.mark.parametrize(
    ("servers", "properties", "message"),
    [
        ((), None, "The server does not know the node type Blur (acme); install the custom node it comes from."),
        (
            ("one",),
            None,
            "“one” does not know the node type Blur (acme); on that server, install the custom node it comes from.",
        ),
        (
            ("one", "two"),
            PACK,
            "None of the servers (“one”, “two”) knows the node type Blur (acme); on one of them, install the custom "
            "node it comes from: acme/ComfyUI-Acme.",
        ),
        (
            ("a", "b", "c", "d", "e"),
            CORE,
            "None of the servers (“a”, “b”, “c” and 2 more) knows the node type Blur (acme); it is one of ComfyUI's "
            "own, so update ComfyUI.",
        ),
    ],
)
def test_servers_that_lack_a_type_are_named_with_what_helps(servers: Any, properties: Any, message: str) -> None:
    assert why(known(*servers), properties) == message


@pytest.mark.parametrize(
    ("properties", "origin"),
    [(None, ""), (PACK, ", which comes with a custom node,"), (CORE, ", which is one of ComfyUI's own,")],
)
def test_simulator_is_called_one(properties: Any, origin: str) -> None:
    assert why(known("Simulator", simulators=("Simulator",)), properties) == (
        f"The node type Blur (acme){origin} is not known here: the only connected server, “Simulator”, is a simulator, "
        "which knows only some node types. Connect a real ComfyUI that has it."
    )
    assert "all connected servers are simulators, which know only some" in why(known("a", "b", simulators=("a", "b")))


def test_simulator_beside_a_real_server_is_not_where_something_can_be_installed() -> None:
    assert why(known("Simulator", "one", simulators=("Simulator",))).startswith("“one” does not know")


def test_values_without_slots_suggest_a_node_of_the_editor_alone() -> None:
    getter = node(1, "Fetch (acme)", outputs=[out("IMAGE")], widgets_values=["picture"])
    with pytest.raises(ConversionError) as refused:
        convert(workflow(getter, save(2, 1), links=[[1, 1, 0, 2, 0]]), known("one"))
    assert str(refused.value).endswith(
        "If it exists in ComfyUI's editor alone, connect the nodes around it with links instead."
    )


def test_unknown_node_that_nothing_takes_from_may_be_left_out_by_hand() -> None:
    assert why(known("one"), is_used=False).endswith(
        "install the custom node it comes from. No other node uses what it makes, but it may save a result of its "
        "own; if you do not need that, mute or delete it in ComfyUI and import the workflow again."
    )


def test_class_of_a_server_is_not_taken_for_a_node_of_the_editor_alone() -> None:
    for properties in ({"Node name for S&R": "Fetch (acme)"}, PACK, CORE):
        getter = node(1, "Fetch (acme)", outputs=[out("IMAGE")], widgets_values=["picture"], properties=properties)
        with pytest.raises(ConversionError) as refused:
            convert(workflow(getter, save(2, 1), links=[[1, 1, 0, 2, 0]]), known("one"))
        assert "editor alone" not in str(refused.value)


def refusal(object_info: Any, *types: tuple[str, dict[str, str]]) -> str:
    """Of a chain of nodes, which end in a node that saves."""
    nodes = [
        node(
            at,
            name,
            inputs=[slot("image", "IMAGE", at)] if at > 1 else [],
            outputs=[out("IMAGE")],
            properties=properties,
        )
        for at, (name, properties) in enumerate(types, 1)
    ]
    links = [[at + 1, at, 0, at + 1, 0] for at in range(1, len(types) + 1)]
    with pytest.raises(ConversionError) as refused:
        convert(workflow(*nodes, save(len(types) + 1, len(types) + 1), links=links), object_info)
    assert len(refused.value.problems) == len(types)
    return str(refused.value)


def test_several_missing_types_are_listed_once_with_their_nodes_and_packs() -> None:
    types = [("Blur", PACK), ("Grain", CORE), ("Blur", PACK), ("Odd", {})]
    assert refusal(known("one"), *types) == (
        "3 node types are missing: Blur (nodes 1, 3), Grain (node 2), Odd (node 4). “one” does not know them. "
        "A newer or complete ComfyUI has Grain. Custom nodes to install: acme/ComfyUI-Acme (Blur)."
    )
    assert refusal(known("Simulator", simulators=("Simulator",)), *types[:2]).startswith(
        "2 node types are missing: Blur (node 1), Grain (node 2). The only connected server, “Simulator”, is a "
        "simulator, which knows only some node types. Connect a real ComfyUI that has them."
    )


def test_same_reason_for_several_nodes_is_given_once() -> None:
    assert refusal(known("one"), *[("Blur", PACK)] * 7) == (
        "Blur (nodes 7, 6, 5, 4, 3 and 2 more): “one” does not know the node type Blur; on that server, install the "
        "custom node it comes from: acme/ComfyUI-Acme."
    )


def test_other_faults_of_a_node_of_a_missing_type_are_told_besides() -> None:
    first = node(1, "Blur", inputs=[slot("image", "IMAGE", 9)], outputs=[out("IMAGE")])
    second = node(2, "Grain", inputs=[slot("image", "IMAGE", 2)], outputs=[out("IMAGE")])
    with pytest.raises(ConversionError) as refused:
        convert(workflow(first, second, save(3, 3), links=[[2, 1, 0, 2, 0], [3, 2, 0, 3, 0]]), known("one"))
    assert str(refused.value).splitlines()[1:] == [
        "Blur (node 1): Its input “image” is connected by link 9, which is missing."
    ]
