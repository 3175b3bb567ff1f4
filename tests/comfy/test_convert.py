"""From the editor's format to the API format, against what the editor itself made of the same files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations.comfy.convert import ConversionError, convert
from tests.comfy.cases import load, names, plain
from tests.support.drawn import one_node
from tests.support.waiting import patient
from tests.support.workflows import CASES, OBJECT_INFO, newest_object_info

# Texts that the editor resolves when a workflow is queued stay as they were written; this one holds a date.
KEPT_AS_WRITTEN = {"load_audio_video": {("2", "filename_prefix"): "audio/%date:MM%"}}


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
        ("dangling_slot", "3", "which has no such output"),
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


def test_every_case_has_its_test() -> None:
    source = Path(__file__).read_text()
    assert [name for name in names("judgement") if f'"{name}"' not in source] == []


def test_an_option_that_the_server_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(ConversionError, match=r'\(node 1\): Its input “format” is set to "heif", an option that'):
        convert(one_node("SaveImageAdvanced", ["a", "heif", "8-bit", "sRGB"]), newest_object_info())


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


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"nodes": st.lists(anything, max_size=5), "links": anything, "definitions": anything}))
def test_malformed_workflows_are_refused_and_nothing_worse(value: dict[str, Any]) -> None:
    try:
        graph = convert(value, OBJECT_INFO)
    except ConversionError:
        return
    json.dumps(graph)


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
