"""Small workflows of the editor with the notes of their file, and what a run makes of their texts."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from generations.comfy.convert import convert
from generations.comfy.editor_notes import note_widgets, without_notes
from generations.comfy.graph import Graph
from generations.comfy.queued import inputs_to_resolve, put, resolve
from tests.support.workflows import OBJECT_INFO

MOMENT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
SAMPLER = [7, "increment", 20, 8, "euler", "normal", 1]


def imported(workflow: dict[str, Any]) -> Graph:
    """The workflow's graph, with the notes of its file."""
    graph = convert(workflow, OBJECT_INFO)
    note_widgets(graph, workflow, OBJECT_INFO)
    return graph


def run(graph: Graph, **options: Any) -> Graph:
    """What ComfyUI gets."""
    bound = copy.deepcopy(graph)
    given: dict[str, Any] = {"now": MOMENT, "draw": lambda _count: 0, "kept": {}, "exposed": {}, **options}
    put(bound, resolve(bound, inputs_to_resolve(bound, OBJECT_INFO), **given))
    return without_notes(bound)


def node(number: int, kind: str, values: list[Any], **fields: Any) -> dict[str, Any]:
    """A node as the editor's file has it."""
    return {"id": number, "type": kind, "inputs": [], "outputs": [], "widgets_values": values, **fields}


def workflow(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The editor's file."""
    return {"nodes": list(nodes), "links": [], "version": 0.4, **fields}
