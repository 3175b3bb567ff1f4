"""What becomes of Comfy's official templates with the node types of a ComfyUI 0.29.0.

    python -m tests.comfy.official_templates

writes docs/official-templates.md, which `test_official_templates.py` compares. The package is read where it lies.
"""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.resources
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from generations.comfy.convert import ConversionError, convert
from generations.comfy.editor import is_editor_format
from generations.comfy.graph import Graph, GraphProblem
from generations.comfy.wire import decode
from generations.simulator.recording import Recording, Unknown
from generations.simulator.server import Simulator
from generations.simulator.validation import Validator
from tests.support.workflows import newest_object_info

PACKAGE = "comfyui-workflow-templates-json"
PAGE = Path(__file__).parents[2] / "docs" / "official-templates.md"
LACKING = re.compile(r"does not know the node type (\S+?)[;.]")
GOOD = "Converted; the server would take it once its files are there"
DRAWN = "Of these, drawn by the bundled simulator"
ODD = "Converted; the server would refuse one of its nodes"
PAID = "Converted; the server would refuse one of its paid nodes"
NEWER = "Refused: node types that this server does not know"
UNFIT = "Refused: values or links that do not fit, or that only a browser has"
NEWER_OUTPUT = "its 3D node gives a model file at another output, which this version does not have yet"
NEWER_CHOICE = "this version does not know that kind of text encoder yet"
NEWER_TYPE = "the file names a text where this version takes a number"
REASONS = {
    "api_tripo3_0_text_to_model": NEWER_OUTPUT,
    "api_tripo_image_to_model": NEWER_OUTPUT,
    "api_tripo_multiview_to_model": NEWER_OUTPUT,
    "api_tripo_text_to_model": NEWER_OUTPUT,
    "image_moss_image_base_t2i": NEWER_CHOICE,
    "image_moss_image_t2i": NEWER_CHOICE,
    "video_ltx2_3_ia2v": NEWER_TYPE,
    "video_ltx2_3_ic_lora": NEWER_TYPE,
    "video_ltx2_3_t2v": NEWER_TYPE,
    "video_ltx2_i2v_lora": "its sub-graph's output names a link that the file lacks; the editor sends nothing, either",
}
INTRODUCTION = """# Comfy's official templates

What the studio makes of the {total} workflows in the package `{package}` {version}, with the node types of a
ComfyUI 0.29.0, for which some of them are too new. Validation is the simulator's, without files: no model is installed
there and none of the pictures is uploaded. `python -m tests.comfy.official_templates` writes this page.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`problems`: why it was refused, or what the server would say. `drawn`: the simulator has all of its nodes."""

    kind: str
    problems: tuple[str, ...] = ()
    drawn: bool = False


@cache
def templates() -> dict[str, Any]:
    """Name -> workflow in the editor's format."""
    folder = importlib.resources.files(PACKAGE.replace("-", "_")) / "templates"
    found = {path.name.removesuffix(".json"): path for path in folder.iterdir() if path.name.endswith(".json")}
    read = {name: decode(path.read_text("utf-8")) for name, path in sorted(found.items())}
    return {name: value for name, value in read.items() if is_editor_format(value)}


@cache
def outcomes() -> dict[str, Outcome]:
    """By template. Whatever convert raises besides its refusal ends this."""
    with tempfile.TemporaryDirectory() as folder:
        server = Simulator(data_dir=Path(folder), recording=Recording(newest_object_info()), profile="newest")
        return {name: _outcome(value, server) for name, value in templates().items()}


def _outcome(workflow: dict[str, Any], server: Simulator) -> Outcome:
    try:
        graph = convert(workflow, newest_object_info())
    except ConversionError as refusal:
        kind = NEWER if any(LACKING.search(problem.message) for problem in refusal.problems) else UNFIT
        return Outcome(kind, tuple(dict.fromkeys(_shown(problem) for problem in refusal.problems)))
    errors = list(_errors(graph, server))
    drawn = not any(issubclass(server.registry[node["class_type"]], Unknown) for node in graph.values())
    kind = ODD if any(not is_paid for is_paid, _ in errors) else PAID if errors else GOOD
    return Outcome(kind, tuple(text for _, text in errors), drawn and not errors)


def _shown(problem: GraphProblem) -> str:
    if lacking := LACKING.search(problem.message):
        return lacking[1]
    return f"{problem.title} (node {problem.node_id}): {problem.message}"


def _errors(graph: Graph, server: Simulator) -> Iterator[tuple[bool, str]]:
    """(at a paid node?, what the server says of it), but for files."""
    verdict = Validator(
        server.registry, server.environment, copy.deepcopy(graph), names_missing_node_type=True, checks_every_combo=True
    ).run(None)
    if verdict.error and not verdict.node_errors:
        yield False, verdict.error["message"]
    for node_id, found in verdict.node_errors.items():
        is_paid = newest_object_info()[found["class_type"]].get("api_node") is True
        for error in found["errors"]:
            if not _is_about_a_file(error):
                yield is_paid, f"{found['class_type']} (node {node_id}): {error['message']}: {error['details'][:100]}"


def _is_about_a_file(error: dict[str, Any]) -> bool:
    """A model that is not installed, or a picture, film or sound that is not there."""
    if error["type"] == "value_not_in_list":
        return bool(re.search(r"\.[A-Za-z]\w+$", str(error["extra_info"]["received_value"])))
    return error["type"] == "custom_validation_failed" and " - Invalid " in error["details"]


def page() -> str:
    """The page's text."""
    found = outcomes()
    rows = [(kind, sum(each.kind == kind for each in found.values())) for kind in (GOOD, PAID, ODD, NEWER, UNFIT)]
    rows.insert(1, (DRAWN, sum(each.drawn for each in found.values())))
    version = importlib.metadata.version(PACKAGE)
    lines = [INTRODUCTION.format(total=len(found), package=PACKAGE, version=version)]
    lines += ["| outcome | templates |", "| --- | ---: |", *(f"| {kind} | {number} |" for kind, number in rows)]
    for kind in (PAID, ODD, NEWER, UNFIT):
        lines += ["", f"## {kind}"]
        lines += [f"- {name}: {_one_line(name, each)}" for name, each in found.items() if each.kind == kind]
    lines += [
        "",
        f"## Converted, and drawn by the simulator\n{', '.join(n for n, each in found.items() if each.drawn)}",
    ]
    return "\n".join(lines) + "\n"


def _one_line(name: str, outcome: Outcome) -> str:
    separator = ", " if outcome.kind == NEWER else "; "
    text = re.sub(r"\s+", " ", separator.join(outcome.problems)).replace("|", "\\|").replace("<", "&lt;")
    return f"{text} ({REASONS[name]})" if name in REASONS else text


if __name__ == "__main__":
    PAGE.write_text(page())
