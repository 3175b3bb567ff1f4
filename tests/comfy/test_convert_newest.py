"""What the editor of 2026 (frontend 1.58.1, with the schemas of a ComfyUI 0.29.0) queues, pair by pair.

`conversion/newest.json.xz` holds: `cases`, workflows of ours with the graphs that the editor made of them (`class_…`:
every node class, for servers that have files: `classes`); `templates`, digests of the graphs of official templates; and
`changed`, the same templates with other values on instances of their sub-graphs.
"""

from __future__ import annotations

import copy
import hashlib
import json
import lzma
from typing import Any

import pytest

from generations.comfy.convert import convert
from tests.comfy.cases import official, plain
from tests.support.workflows import CASES, newest_object_info

NEWEST: dict[str, Any] = json.loads(lzma.decompress((CASES / "newest.json.xz").read_bytes()))
# The editor goes by the file's list of values here, which an older version of the class wrote: a seed becomes a text.
GARBLED_BY_THE_EDITOR = {"api_meshy7_image_to_model"}


def digest(graph: Any) -> str:
    return hashlib.sha256(json.dumps(plain(graph), sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("name", NEWEST["cases"])
def test_case_becomes_what_the_editor_makes_of_it(name: str) -> None:
    workflow, expected = NEWEST["cases"][name]
    schemas = newest_object_info() | (NEWEST["classes"] if name.startswith("class_") else {})
    assert plain(convert(workflow, schemas)) == plain(expected)


@pytest.mark.slow
def test_official_templates_become_what_the_editor_makes_of_them() -> None:
    assert len(NEWEST["templates"]) == 213
    different = {
        name
        for name, expected in NEWEST["templates"].items()
        if digest(convert(official("newest")[name], newest_object_info())) != expected
    }
    assert different == GARBLED_BY_THE_EDITOR


def test_values_on_instances_of_sub_graphs_go_where_the_editor_puts_them() -> None:
    assert len(NEWEST["changed"]) > 60
    different = []
    for name, (values, expected) in NEWEST["changed"].items():
        workflow = copy.deepcopy(official("newest")[name])
        for node in workflow["nodes"]:
            if str(node["id"]) in values:
                node["widgets_values"] = values[str(node["id"])]
                node.pop("widgets_values_named", None)
                node["properties"].pop("proxyWidgets", None)
        if digest(convert(workflow, newest_object_info())) != expected:
            different.append(name)
    assert different == []
