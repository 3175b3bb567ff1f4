"""From the editor's format to the API format, against what the editor itself made of the same files."""

import copy
import hashlib
import importlib.resources
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.convert import ConversionError, convert
from generations.comfy.editor import is_editor_format
from generations.comfy.graph import check_graph
from generations.comfy.wire import decode
from generations.simulator.nodes.base import Environment, Node
from generations.simulator.validation import Validator
from tests.support.waiting import patient
from tests.support.workflows import CASES, OBJECT_INFO

# Texts that the editor resolves when a workflow is queued stay as they were written; this one holds a date.
KEPT_AS_WRITTEN = {"load_audio_video": {("2", "filename_prefix"): "audio/%date:MM%"}}


def plain(value: Any) -> Any:
    """Without titles, and with 8.0 as 8, as JavaScript writes it."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key != "_meta"}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def load(folder: str, name: str) -> Any:
    return decode((CASES / folder / f"{name}.ui.json").read_text())


def names(folder: str) -> list[str]:
    return sorted(path.name.removesuffix(".ui.json") for path in (CASES / folder).glob("*.ui.json"))


@pytest.mark.parametrize("name", names("handmade"))
def test_corner_case_becomes_what_the_editor_makes_of_it(name: str) -> None:
    expected = json.loads((CASES / "handmade" / f"{name}.api.json").read_text())
    for (node_id, input_name), text in KEPT_AS_WRITTEN.get(name, {}).items():
        expected[node_id]["inputs"][input_name] = text
    assert plain(convert(load("handmade", name), OBJECT_INFO)) == plain(expected)


def test_titles_are_those_shown_in_the_editor() -> None:
    graph = convert(load("handmade", "titles"), OBJECT_INFO)
    assert [graph[node_id]["_meta"]["title"] for node_id in "125"] == ["Custom Title", "EmptyImage", "日本語"]


@pytest.mark.parametrize(
    ("name", "node_id", "words"),
    [
        ("cycle_bypass", "1", "in a circle"),
        ("dangling_link_id", "4", "link 77"),
        ("dangling_origin", "3", "node 99"),
        ("dangling_slot", "3", "an output that it does not have"),
        ("subgraph_missing_def", "5", "not in the file"),
        ("unknown_bypassed", "5", "does not know the node type"),
        ("unknown_class", "2", "does not know the node type"),
        ("webcam", "1", "in the browser"),
        ("widgets_long_null", "3", "where a text belongs"),
    ],
)
def test_refusal_names_the_node_and_the_reason(name: str, node_id: str, words: str) -> None:
    with pytest.raises(ConversionError) as refusal:
        convert(load("judgement", name), OBJECT_INFO)
    assert any(problem.node_id == node_id and words in problem.message for problem in refusal.value.problems)
    assert f"(node {node_id})" in str(refusal.value)


def test_unknown_nodes_that_do_not_run_are_no_obstacle() -> None:
    with pytest.raises(ConversionError) as refusal:
        convert(load("judgement", "unknown_bypassed"), OBJECT_INFO)
    assert [problem.node_id for problem in refusal.value.problems] == ["5"]


def inputs_of(name: str, node_id: str) -> Any:
    return convert(load("judgement", name), OBJECT_INFO)[node_id]["inputs"]


def test_seeds_keep_all_their_digits() -> None:
    assert inputs_of("seed64", "1")["seed"] == 2**64 - 1
    assert inputs_of("seed64", "2")["seed"] == 2**53 + 1
    assert inputs_of("seed64", "4")["value"] == -(2**63) + 1
    assert inputs_of("seed64_in_graph", "3")["seed"] == 2**64 - 1
    assert inputs_of("seed_above_2_53", "3")["seed"] == 2**53 + 1


def test_numbers_in_texts_are_sent_as_they_are() -> None:
    assert inputs_of("value_types", "3")["filename_prefix"] == 12345


def test_missing_control_word_shifts_nothing() -> None:
    values = inputs_of("control_missing", "3")
    assert [values[name] for name in ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")] == [
        99, 1, 6.5, "euler", "karras", 0.75
    ]  # fmt: skip


@pytest.mark.parametrize("word", [None, True, "fixed", "randomize"])
def test_place_of_the_control_word_is_no_value_whatever_it_holds(word: object) -> None:
    values = [5, word, 25, 7.0, "dpmpp_2m", "karras", 1.0]
    inputs = convert(workflow(node(1, "KSampler", widgets_values=values)), OBJECT_INFO)["1"]["inputs"]
    assert inputs == {
        "seed": 5, "steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0
    }  # fmt: skip


def test_control_word_that_the_class_does_not_expect_any_more_shifts_nothing() -> None:
    info = {
        "Video": {"input": {"required": {"seed": ["INT", {"control_after_generate": False}], "steps": ["INT", {}]}}}
    }
    graph = convert(workflow(node(1, "Video", widgets_values=[7, "randomize", 30])), info)
    assert graph["1"]["inputs"] == {"seed": 7, "steps": 30}


def test_texts_are_kept_as_written() -> None:
    assert inputs_of("dynamic_prompt", "1")["text"] == "{red|green|{blue|dark blue}} boat, {one} {} plain"
    assert inputs_of("dynamic_prompt", "3")["text"] == "see https://example.invalid/x and {unclosed|tail"
    assert inputs_of("date", "2")["filename_prefix"].startswith("%date:yyyy-MM-dd%/")


def test_stored_file_is_kept_where_the_editor_would_take_the_first_of_its_list() -> None:
    assert inputs_of("load_image_output", "1")["image"] == "a_00001_.png [output]"
    assert inputs_of("load_image_output_listed", "1")["image"] == "kept_00002_.png [output]"


def test_renamed_classes_are_found_under_their_new_names() -> None:
    graph = plain(convert(load("judgement", "renamed_classes"), OBJECT_INFO))
    assert graph["1"] == {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "a.pth"}}
    assert graph["2"]["class_type"] == "ConditioningAverage"
    assert graph["3"]["class_type"] == "SVD_img2vid_Conditioning"


def test_what_the_editor_fails_at_but_is_clear_is_converted() -> None:
    """Link objects in old files, an input handed through a sub-graph, groups and primitives in a sub-graph."""
    assert plain(convert(load("judgement", "links_objects_04"), OBJECT_INFO)) == plain(
        convert(load("handmade", "links_objects_v1"), OBJECT_INFO)
    )
    assert inputs_of("subgraph_passthrough", "9")["images"] == ["1", 0]
    assert inputs_of("subgraph_passthrough", "10")["images"] == ["5:1", 0]
    assert inputs_of("subgraph_groupnode_inside", "5:1:1")["width"] == 20
    assert inputs_of("subgraph_primitive_inside", "5:2")["width"] == 64
    assert inputs_of("getset_nodes", "4")["images"] == ["1", 0]


def test_what_the_editor_adds_to_a_node_takes_no_place_among_the_values_of_its_group() -> None:
    """The frontend of 2025 has a widget for what PreviewAny shows; a group knows the inputs of the class alone."""
    value = load("handmade", "groupnode")
    group = value["extra"]["groupNodes"]["Make"]
    group["nodes"][1] = {"type": "PreviewAny", "inputs": [{"name": "source", "type": "*"}], "index": 1}
    group["links"] = [[0, 0, 1, 0, 1, "IMAGE"], [0, 0, 2, 0, 2, "IMAGE"]]
    graph = convert(value, OBJECT_INFO)
    assert graph["1:1"]["inputs"]["source"] == ["1:0", 0]
    scaled = {"upscale_method": "area", "width": 20, "height": 21, "crop": "center", "image": ["1:0", 0]}
    assert graph["1:2"]["inputs"] == scaled


def test_every_case_has_its_test() -> None:
    source = Path(__file__).read_text()
    assert [name for name in names("judgement") if f'"{name}"' not in source] == []


# ------------------------------------------------------------------------------------- beyond the cases
def node(node_id: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": kind, "mode": 0, "inputs": [], "outputs": [], "widgets_values": [], **fields}


def workflow(*nodes: dict[str, Any], links: Any = (), **fields: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "links": list(links), "version": 0.4, **fields}


def test_values_by_name_are_taken_by_name() -> None:
    graph = convert(
        workflow(node(1, "EmptyImage", widgets_values={"height": 96, "videopreview": {}, "width": 32})), OBJECT_INFO
    )
    assert graph["1"]["inputs"] == {"width": 32, "height": 96, "batch_size": 1, "color": 0}


def test_values_as_an_object_by_index() -> None:
    graph = convert(
        workflow(node(1, "EmptyImage", widgets_values={"0": 8, "1": 16, "2": 2, "3": 5, "length": 4})), OBJECT_INFO
    )
    assert graph["1"]["inputs"] == {"width": 8, "height": 16, "batch_size": 2, "color": 5}


def test_dynamic_combo_brings_its_own_inputs() -> None:
    info = {
        "Scale": {
            "input": {
                "required": {
                    "mode": [
                        "COMFY_DYNAMICCOMBO_V3",
                        {
                            "options": [
                                {"key": "factor", "inputs": {"required": {"by": ["FLOAT", {"default": 2.0}]}}},
                                {"key": "size", "inputs": {"required": {"w": ["INT", {}], "h": ["INT", {}]}}},
                            ]
                        },
                    ],
                    "crop": [["no", "yes"], {}],
                }
            },
            "output": ["IMAGE"],
        }
    }
    graph = convert(workflow(node(1, "Scale", widgets_values=["size", 64, 48, "yes"])), info)
    assert graph["1"]["inputs"] == {"mode": "size", "mode.w": 64, "mode.h": 48, "crop": "yes"}
    graph = convert(workflow(node(1, "Scale", widgets_values=[])), info)
    assert graph["1"]["inputs"] == {"mode": "factor", "mode.by": 2.0, "crop": "no"}


def test_old_files_have_values_for_inputs_that_can_only_be_linked() -> None:
    info = {"Old": {"input": {"required": {"a": ["INT", {"forceInput": True}], "b": ["INT", {}], "c": ["STRING", {}]}}}}
    assert convert(workflow(node(1, "Old", widgets_values=[7, 8, "x"])), info)["1"]["inputs"] == {"b": 8, "c": "x"}
    assert convert(workflow(node(1, "Old", widgets_values=[8, "x"])), info)["1"]["inputs"] == {"b": 8, "c": "x"}


def nested(depth: int, width: int = 1) -> dict[str, Any]:
    """Sub-graphs in sub-graphs; with two instances on each level their number doubles."""
    definitions = []
    for level in range(depth):
        kind = f"{level + 1:08x}-0000-4000-8000-000000000000" if level + 1 < depth else "EmptyImage"
        inner = [node(number, kind) for number in range(width)]
        definitions.append({"id": f"{level:08x}-0000-4000-8000-000000000000", "nodes": inner, "links": []})
    return workflow(node(1, definitions[0]["id"]), definitions={"subgraphs": definitions})


def test_sub_graph_that_contains_itself_is_refused() -> None:
    own = "00000000-0000-4000-8000-000000000000"
    looped = workflow(node(1, own), definitions={"subgraphs": [{"id": own, "nodes": [node(2, own)], "links": []}]})
    with pytest.raises(ConversionError, match="contain itself"):
        convert(looped, OBJECT_INFO)


def test_sub_graphs_that_multiply_are_refused_in_time() -> None:
    with pytest.raises(ConversionError, match="more than"):
        convert(nested(19, width=4), OBJECT_INFO)  # 4^19 nodes: without the limit, the test would never end


@pytest.mark.parametrize("count", [400, 5000])
def test_long_chains_of_reroutes_are_followed_or_refused(count: int) -> None:
    chain = [
        node(number, "Reroute", inputs=[{"name": "", "type": "*", "link": number - 1}], outputs=[{"type": "*"}])
        for number in range(2, count)
    ]
    source = node(1, "EmptyImage", outputs=[{"name": "IMAGE", "type": "IMAGE"}])
    target = node(count, "SaveImage", inputs=[{"name": "images", "type": "IMAGE", "link": count - 1}])
    links = [[number, number, 0, number + 1, 0, "IMAGE"] for number in range(1, count)]
    try:
        graph = convert(workflow(source, *chain, target, links=links), OBJECT_INFO)
    except ConversionError as refusal:
        assert count > 400 and "too deep" in str(refusal)
    else:
        assert graph[str(count)]["inputs"]["images"] == ["1", 0]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-30, 30) | st.text(max_size=8) | st.sampled_from(["SaveImage", "Reroute"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "type", "mode", "inputs", "outputs", "link", "widget", "widgets_values", "name"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"nodes": st.lists(anything, max_size=5), "links": anything, "definitions": anything}))
def test_malformed_workflows_are_refused_and_nothing_worse(value: dict[str, Any]) -> None:
    try:
        graph = convert(value, OBJECT_INFO)
    except ConversionError:
        return
    json.dumps(graph)


# ----------------------------------------------------------------------------------- official templates
OFFICIAL = {"0.1.95": "comfyui_workflow_templates", "newest": "comfyui_workflow_templates_json"}


@cache
def official(release: str) -> dict[str, Any]:
    folder = importlib.resources.files(OFFICIAL[release]) / "templates"
    found = {path.name.removesuffix(".json"): path for path in folder.iterdir() if path.name.endswith(".json")}
    read = {name: decode(path.read_text("utf-8")) for name, path in sorted(found.items())}
    return {name: value for name, value in read.items() if is_editor_format(value)}


def outcomes(release: str) -> Iterator[tuple[str, Any]]:
    for name, value in official(release).items():
        try:
            yield name, convert(value, OBJECT_INFO)
        except ConversionError as refusal:
            yield name, refusal


DIGESTS = json.loads((CASES / "digests.json").read_text())


@pytest.mark.parametrize("name", DIGESTS)
def test_official_template_becomes_what_the_editor_makes_of_it(name: str) -> None:
    graph = plain(convert(official("0.1.95")[name], OBJECT_INFO))
    assert hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).hexdigest() == DIGESTS[name]


# Files of which the list of values has places that the server's version of the node does not have, without names.
SHIFTED = {"api_moonvalley_video_to_video_motion_transfer", "api_moonvalley_video_to_video_pose_control"} | {
    "templates-all_in_one-image_edit_models"
}


@pytest.mark.parametrize("release", OFFICIAL)
def test_official_templates_are_converted_or_refused_by_node(release: str) -> None:
    """What is refused needs node types that the server of the recordings does not have, and says which."""
    refused = {name: found for name, found in outcomes(release) if isinstance(found, ConversionError)}
    for name, refusal in refused.items():
        assert "" not in {problem.node_id for problem in refusal.problems}
        others = [problem for problem in refusal.problems if "does not know" not in problem.message]
        assert all("“" in problem.message and name in SHIFTED for problem in others), (name, others)
    total = len(official(release))
    assert total > 150 and len(refused) < total


def registry() -> dict[str, type[Node]]:
    """Every class of the recordings' server for the simulator's validation, without anything that runs."""
    return {
        name: type(
            name,
            (Node,),
            {
                "class_type": name,
                "is_output": info["output_node"],
                "required": info["input"].get("required", {}),
                "optional": info["input"].get("optional", {}),
                "returns": tuple(kind if isinstance(kind, str) else "COMBO" for kind in info["output"]),
            },
        )
        for name, info in OBJECT_INFO.items()
    }


def is_remote(class_type: str) -> bool:
    """Nodes that call somebody's paid service; the templates for them are older than the recordings' schemas."""
    return bool(OBJECT_INFO[class_type]["python_module"].startswith("comfy_api_nodes"))


def is_about_a_file(error: dict[str, Any]) -> bool:
    """A model, picture or sound that the server of the recordings does not have."""
    return error["type"] == "value_not_in_list" and "." in str(error["extra_info"]["received_value"])


def test_core_templates_pass_the_simulators_validation_but_for_files(tmp_path: Path) -> None:
    classes, environment = registry(), Environment(tmp_path, {}, 0.0)
    faults: dict[str, Any] = {}
    for name, graph in outcomes("0.1.95"):
        if isinstance(graph, ConversionError):
            continue
        if any(is_remote(found["class_type"]) for found in graph.values()):
            continue
        found = [problem for problem in check_graph(graph, OBJECT_INFO) if "has no file" not in problem.message]
        verdict = Validator(classes, environment, copy.deepcopy(graph)).run(None)
        errors = [error for node in verdict.node_errors.values() for error in node["errors"]]
        found += [error for error in errors if not is_about_a_file(error)]
        if found or (verdict.error and not errors):
            faults[name] = found or verdict.error
    assert faults == {}


# ------------------------------------------------------------------------------------------ the command
def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "generations.comfy.convert", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(60))


def test_command_prints_the_graph() -> None:
    done = run(str(CASES / "handmade/bypass_chain.ui.json"), "--object-info", str(CASES / "object_info.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert plain(json.loads(done.stdout))["6"]["inputs"] == {"filename_prefix": "hm", "images": ["1", 0]}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("judgement/unknown_class.ui.json", "NoSuchNodeXyz (node 2)"),
        ("handmade/titles.api.json", "no list of nodes"),
        ("no-such-file.json", "cannot be read"),
    ],
)
def test_command_tells_the_reason_on_stderr(file: str, words: str) -> None:
    done = run(str(CASES / file), "--object-info", str(CASES / "object_info.json"))
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
