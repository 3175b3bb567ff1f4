"""Twice the nodes cost twice the time, whatever the graph looks like: somebody waits, and others wait for the lock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from generations.comfy.app_mode import MAX_ENTRIES
from generations.comfy.catalog import Catalog, graph_needs
from generations.comfy.differences import differences
from generations.comfy.graph import MAX_NODES, Graph, GraphError, check_graph, load_api_graph
from generations.parameters import propose as proposing
from generations.parameters.propose import MAX_PARAMETERS, propose
from generations.parameters.roles import likely_safety_node
from generations.studio import drafts, importing, making
from tests.support import drawn
from tests.support.graphs import node
from tests.support.workflows import OBJECT_INFO

pytestmark = pytest.mark.django_db
NODES, TRIES = 1000, 2


def latents(count: int) -> Graph:
    """Each has a size of its own, and is saved by itself."""
    graph: Graph = {}
    for n in range(count // 2):
        graph[f"{n}"] = node("EmptyLatentImage", width=64 + n, height=64 + 2 * n, batch_size=1)
        graph[f"s{n}"] = node("SaveLatent", samples=[f"{n}", 0], filename_prefix=f"x{n}")
    return graph


def samplers(count: int) -> Graph:
    graph: Graph = {}
    for n in range(count // 4):
        graph[f"p{n}"] = node("CLIPTextEncode", text=f"a cat {n}", clip=["c", 1])
        graph[f"n{n}"] = node("CLIPTextEncode", text=f"a dog {n}", clip=["c", 1])
        graph[f"k{n}"] = node("KSampler", seed=n, steps=20 + n, positive=[f"p{n}", 0], negative=[f"n{n}", 0])
        graph[f"s{n}"] = node("SaveLatent", samples=[f"k{n}", 0])
    return graph | {"c": node("CheckpointLoaderSimple", ckpt_name="a.safetensors")}


def combos(count: int) -> Graph:
    graph = {f"{n}": node("CustomCombo", choice="a", option1="a", option2=f"b{n}") for n in range(count)}
    return graph | {"s": node("PreviewAny", **{f"in{n}": [f"{n}", 0] for n in range(count)})}


def pictures(count: int) -> Graph:
    graph = {f"{n}": node("LoadImage", image=f"{n}.png") for n in range(count // 2)}
    return graph | {f"s{n}": node("SaveImage", images=[f"{n}", 0]) for n in range(count // 2)}


def chain(count: int) -> Graph:
    graph = {f"{n}": node("ImageScale", image=[f"{n - 1}", 0], width=n, height=n) for n in range(1, count)}
    return {"0": node("LoadImage", image="a.png"), **graph, "s": node("SaveImage", images=[f"{count - 1}", 0])}


def shared_texts(count: int) -> Graph:
    """Many samplers take what one node joins of many texts."""
    graph = {f"t{n}": node("PrimitiveString", value=f"{n}") for n in range(count // 3)}
    graph |= {f"k{n}": node("KSampler", positive=["e", 0], negative=["e", 0]) for n in range(count // 3)}
    graph |= {f"s{n}": node("SaveLatent", samples=[f"k{n}", 0]) for n in range(count // 3)}
    join = node("JoinTexts", **{f"in{n}": [f"t{n}", 0] for n in range(count // 3)})
    return graph | {"j": join, "e": node("CLIPTextEncode", text=["j", 0])}


def given_inputs(count: int) -> Graph:
    """Input nodes of another tool."""
    words = {"display_name": "Subject", "default_value": "a fox"}
    graph = {f"{n}": node("ComfyUIDeployExternalText", input_id=f"x{n}", **words) for n in range(count)}
    return graph | {"s": node("PreviewAny", **{f"in{n}": [f"{n}", 0] for n in range(count)})}


def ends(count: int) -> Graph:
    """Each node of a chain feeds an end of another class, too."""
    graph = {f"{n}": node("ImageScale", image=[f"{n - 1}", 0]) for n in range(1, count // 2)}
    graph |= {f"e{n}": node(f"End{n}", image=[f"{n}", 0]) for n in range(count // 2)}
    return {"0": node("LoadImage", image="a.png"), **graph}


GRAPHS = (latents, samplers, combos, pictures, chain, ends, shared_texts, given_inputs)
SERVERS = {"one": Catalog.read(OBJECT_INFO), "two": Catalog.read({**OBJECT_INFO, "PreviewAny": {}})}
STEPS: dict[str, Callable[[Graph], object]] = {
    "read": lambda graph: importing.read(json.dumps(graph).encode(), OBJECT_INFO),
    "propose without node types": propose,
    "check": lambda graph: check_graph(graph, OBJECT_INFO),
    "compare": lambda graph: differences(graph, SERVERS),
    "needs": graph_needs,
    "safety node": lambda graph: likely_safety_node(graph, OBJECT_INFO),
}


def assert_grows_with_size(work: Callable[[int], object]) -> None:
    def seconds(count: int) -> float:
        found = []
        for _ in range(TRIES):
            begin = time.process_time()
            work(count)
            found.append(time.process_time() - begin)
        return min(found)

    seconds(10)  # whatever is loaded with the first one
    # Linear is 2, quadratic 4. The constant is for what is too quick to be measured.
    assert seconds(2 * NODES) <= 2.5 * seconds(NODES) + 0.1


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda each: each.__name__)
def test_time_grows_with_the_nodes_and_not_with_their_square(graph: Callable[[int], Graph], step: str) -> None:
    made = {count: graph(count) for count in (10, NODES, 2 * NODES)}
    assert_grows_with_size(lambda count: STEPS[step](made[count]))


def test_names_of_files_that_speak_of_widgets_are_found_at_once() -> None:
    def file(count: int) -> bytes:
        nodes = [drawn.source(), *(drawn.save(n, n) for n in range(2, count))]
        for each in nodes[1:]:
            each["widgets_values"] = [f"%Nothing{each['id']}.seed%"]
        return json.dumps(drawn.workflow(*nodes, links=[[n, 1, 0, n, 0] for n in range(2, count)])).encode()

    made = {count: file(count) for count in (10, NODES, 2 * NODES)}
    assert_grows_with_size(lambda count: importing.read(made[count], OBJECT_INFO))


def test_proposals_of_a_large_graph_are_those_in_sight_and_made_once(
    monkeypatch: pytest.MonkeyPatch, staff: Any
) -> None:
    made = []
    suggest = proposing.suggest_parameter
    monkeypatch.setattr(
        proposing, "suggest_parameter", lambda *args, **more: made.append(args) or suggest(*args, **more)
    )
    imported = importing.read(json.dumps(latents(2000)).encode(), OBJECT_INFO)
    template, _notes = making.create(staff, imported, object_info=OBJECT_INFO)
    names = [each["name"] for each in drafts.draft_of(template).parameters]
    assert len(names) == MAX_PARAMETERS and names[:2] == ["width", "height"]
    assert {name.rstrip("_0123456789") for name in names} == {"width", "height"}
    assert len(made) == proposing.MAX_OF_A_KIND


def test_folded_parameters_fill_the_rest() -> None:
    graph = latents(20) | {"k": node("KSampler", seed=1, steps=20, cfg=8.0), "s": node("SaveLatent", samples=["k", 0])}
    assert [each.name for each in propose(graph, OBJECT_INFO)][20:] == ["batch_size", "seed", "steps", "cfg"]


def test_input_nodes_beyond_the_most_are_said() -> None:
    imported = importing.read(json.dumps(given_inputs(MAX_ENTRIES + 1)).encode(), None)
    assert len(imported.chosen) == MAX_ENTRIES and imported.proposed == []
    assert "The workflow has 201 input nodes; only the first 200 become settings." in imported.notes


def test_graph_of_too_many_nodes_is_refused() -> None:
    graph = {f"{n}": node("X") for n in range(MAX_NODES + 1)}
    with pytest.raises(GraphError, match="This workflow has 20,001 nodes; at most 20,000 can be read"):
        load_api_graph(graph)
    graph.popitem()
    assert len(load_api_graph(graph)) == MAX_NODES
