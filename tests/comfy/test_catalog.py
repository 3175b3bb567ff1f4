"""What graphs need and what servers have, compared in short."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.catalog import Catalog, Needs, digest_of, graph_needs
from generations.comfy.graph import check_graph
from tests.comfy.recorded import OBJECT_INFO
from tests.support.graphs import node
from tests.support.workflows import newest_object_info


def catalog(**required: Any) -> Catalog:
    """A server with one node that works, of these inputs, and one that saves."""
    work = {"input": {"required": required}}
    save = {"input": {"required": {"images": ["IMAGE"]}}, "output_node": True}
    return Catalog.read({"Work": work, "Save": save})


def missing(has: Catalog, graph: dict[str, Any], **options: Any) -> list[str]:
    return has.missing(graph_needs(graph, **options))


SAVED = {"2": node("Save", images=["1", 0])}


@pytest.mark.parametrize(
    ("spec", "inputs", "words"),
    [
        (["INT", {}], {}, "support for Work without its input “x”"),
        (["INT", {"max": 3}], {"x": 4}, "support for 4 as “x” of Work (at most 3)"),
        (["FLOAT", {"min": 0.5}], {"x": 0.25}, "support for 0.25 as “x” of Work (at least 0.5)"),
        (
            ["INT", {"max": 2**64 - 2}],
            {"x": 2**64 - 1},
            f"support for {2**64 - 1} as “x” of Work (at most {2**64 - 2})",
        ),
        ([["a", "b"]], {"x": "c"}, "the choice “c” for “x” of Work"),
        (["COMBO", {"options": ["a.safetensors"]}], {"x": "b.safetensors"}, "the file b.safetensors"),
    ],
)
def test_what_is_missing_has_words(spec: list[Any], inputs: dict[str, Any], words: str) -> None:
    assert missing(catalog(x=spec), {"1": node("Work", **inputs), **SAVED}) == [words]


@pytest.mark.parametrize(
    ("spec", "inputs"),
    [
        (["INT", {"max": 3}], {"x": 3}),
        (["INT", {"max": 3}], {"x": ["2", 0]}),  # linked: nobody knows the number
        (["COMFY_DYNAMICCOMBO_V3", {}], {}),
        (["COMFY_AUTOGROW_V3", {}], {"x.1": 1}),
        (["BOOLEAN", {}], {"x": True}),
        ([["x.png"], {"image_upload": True}], {"x": "other.png"}),  # uploaded when it runs
    ],
)
def test_what_fits_is_not_refused(spec: list[Any], inputs: dict[str, Any]) -> None:
    assert missing(catalog(x=spec), {"1": node("Work", **inputs), **SAVED}) == []


def test_only_what_an_output_needs_counts() -> None:
    has = catalog(x=["INT", {"max": 3}])
    assert missing(has, {"1": node("Work", x=9)}) == []
    assert missing(has, {"1": node("Work", x=9), **SAVED})


def test_a_class_that_is_missing_is_named_once() -> None:
    assert missing(catalog(), {"1": node("Other", x=9), "3": node("Other"), **SAVED}) == ["the node type Other"]


def test_places_that_are_left_open_do_not_count_until_they_are_set() -> None:
    has = catalog(x=["INT", {"max": 3}])
    graph = {"1": node("Work", x=9), **SAVED}
    needs = graph_needs(graph, leaving_out={("1", "x")})
    assert has.missing(needs) == []
    assert has.missing(needs.with_values([("Work", "x", 4)])) == ["support for 4 as “x” of Work (at most 3)"]


def test_nodes_in_a_circle_are_judged_without_hanging() -> None:
    graph = {"1": node("Work", x=["3", 0]), "3": node("Work", x=["1", 0])}
    assert missing(catalog(x=["INT"]), graph) == []


def test_it_agrees_with_the_check_of_whole_graphs() -> None:
    """For the recorded server: both say that the input is missing, and neither that anything else is."""
    graph = {"1": node("EmptyImage", width=64, height=64, batch_size=1, color=0), **{"2": node("SaveImage")}}
    graph["2"]["inputs"] = {"images": ["1", 0]}
    assert [problem.field for problem in check_graph(graph, OBJECT_INFO)] == ["filename_prefix"]
    assert missing(Catalog.read(OBJECT_INFO), graph) == ["support for SaveImage without its input “filename_prefix”"]


def test_the_digest_is_of_what_is_there_not_of_its_order() -> None:
    assert digest_of({"A": {"x": 1}, "B": {}}) == digest_of({"B": {}, "A": {"x": 1}})
    assert digest_of({"A": {"x": 1}}) != digest_of({"A": {"x": 2}})
    assert digest_of({}) == ""


def test_a_server_without_nodes_lacks_every_class() -> None:
    assert Catalog.read({}).missing(Needs(["A"])) == ["the node type A"]


def test_a_choice_among_a_nodes_own_texts_is_no_need() -> None:
    graph = {
        "1": node("CustomCombo", choice="soft", option1="soft", option2="hard", index=0),
        "2": node("PreviewAny", source=["1", 0]),
    }
    assert missing(Catalog.read(newest_object_info()), graph) == []
