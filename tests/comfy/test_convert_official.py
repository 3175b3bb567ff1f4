"""Official templates, converted with the node types of a real ComfyUI 0.3.64."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from generations.comfy.graph import check_graph
from generations.simulator.nodes.base import Environment, Node
from generations.simulator.validation import Validator
from tests.comfy.cases import OFFICIAL, official, plain
from tests.support.workflows import CASES, OBJECT_INFO

DIGESTS = json.loads((CASES / "digests.json").read_text())


# Files of which the list of values has places that the server's version of the node does not have, without names.
SHIFTED = {"api_moonvalley_video_to_video_motion_transfer", "api_moonvalley_video_to_video_pose_control"} | {
    "templates-all_in_one-image_edit_models"
}


def outcomes(release: str) -> Iterator[tuple[str, Any]]:
    for name, value in official(release).items():
        try:
            yield name, convert(value, OBJECT_INFO)
        except ConversionError as refusal:
            yield name, refusal


@pytest.mark.parametrize("name", DIGESTS)
def test_official_template_becomes_what_the_editor_makes_of_it(name: str) -> None:
    graph = plain(convert(official("0.1.95")[name], OBJECT_INFO))
    assert hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).hexdigest() == DIGESTS[name]


@pytest.mark.slow
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


@pytest.mark.slow
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
