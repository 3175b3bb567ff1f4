"""A template as one JSON file, to carry it from one installation to another."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from django.core.files.base import ContentFile
from PIL import Image

from generations.comfy.graph import Graph, GraphError, load_api_graph
from generations.models import TemplateVersion, WorkflowTemplate
from generations.parameters.schema import DefinitionError, check_bindings, parse_parameters
from generations.studio.definitions import Definition

FORMAT = "comfysaas-template"
REVISION = 2  # 1: parameters without roles
COVER_FORMATS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif"}
MAX_COVER_BYTES = 8 * 1024 * 1024
DETAILS = {
    "title": str,
    "description": str,
    "category": str,
    "tags": list,
    "credits_cost": int,
    "time_limit_seconds": int,
    "is_workflow_removed": bool,
}
LONGEST = {"title": 120, "description": 20_000, "category": 60}  # characters
MAX_TAGS, LONGEST_TAG = 50, 60


@dataclass(slots=True)
class Package:
    """A package whose parameters fit its graph and whose details have the right types."""

    graph: Graph
    parameters: list[Definition]
    output_nodes: list[str] = field(default_factory=list)
    safety_node: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def is_package(value: object) -> TypeGuard[dict[str, Any]]:
    """True for parsed JSON that says it is a package."""
    return isinstance(value, dict) and value.get("format") == FORMAT


def write(template: WorkflowTemplate, version: TemplateVersion) -> dict[str, Any]:
    """The template with this version, as JSON has it. Who sees it, and its place in the gallery, stay here."""
    return {
        "format": FORMAT,
        "revision": REVISION,
        "slug": template.slug,
        **{name: getattr(template, name) for name in DETAILS},
        "cover": _cover(template),
        "graph": version.graph,
        "parameters": version.parameters,
        "output_nodes": version.output_nodes,
        "safety_node": version.safety_node,
    }


def _cover(template: WorkflowTemplate) -> str:
    if not template.cover:
        return ""
    try:
        with template.cover.open("rb") as file:
            return base64.b64encode(file.read()).decode()
    except OSError:  # a package without its picture is better than none
        return ""


def read(value: dict[str, Any]) -> Package:
    """GraphError says what is wrong with it."""
    revision = value.get("revision")
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 1:
        raise GraphError("This template package is damaged: its “revision” must be a number from 1 on.")
    if revision > REVISION:
        raise GraphError("A newer version of comfysaas made this template package. Update this installation first.")
    graph = load_api_graph(value.get("graph"))
    try:
        check_bindings(parse_parameters(value.get("parameters", [])), graph)
    except DefinitionError as error:
        raise GraphError(f"The parameters of this template package are damaged. {error}") from error
    kept = value.get("output_nodes", [])
    if not isinstance(kept, list) or not all(isinstance(node_id, str) and node_id in graph for node_id in kept):
        raise GraphError("This template package keeps results of nodes that are not in its workflow.")
    safety_node = value.get("safety_node", "")
    if not isinstance(safety_node, str) or (safety_node and safety_node not in graph):
        raise GraphError("The safety node of this template package is not in its workflow.")
    details = {name: value[name] for name, kind in DETAILS.items() if _is_fine(value.get(name), kind)}
    _check_lengths(details)
    details |= _read_cover(value.get("cover"))
    return Package(graph, value.get("parameters", []), kept, safety_node, details)


def _check_lengths(details: dict[str, Any]) -> None:
    """GraphError: something is longer than a template may have it."""
    for name, longest in LONGEST.items():
        if len(details.get(name, "")) > longest:
            raise GraphError(f"The {name} of this template package is longer than {longest:,} characters.")
    tags = details.get("tags", [])
    if len(tags) > MAX_TAGS or any(len(word) > LONGEST_TAG for word in tags):
        raise GraphError(
            f"This template package has too many or too long tags: use at most {MAX_TAGS} of {LONGEST_TAG} characters."
        )


def _is_fine(value: object, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**31 - 1
    return isinstance(value, kind)


def _read_cover(text: object) -> dict[str, Any]:
    """The picture under the name “cover”; nothing unless browsers can show it."""
    if not isinstance(text, str) or not text or len(text) > MAX_COVER_BYTES * 4 / 3 + 4:
        return {}
    try:
        content = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(content), formats=list(COVER_FORMATS)) as image:
            extension = COVER_FORMATS[image.format or ""]
    except (binascii.Error, OSError, ValueError, KeyError, Image.DecompressionBombError):
        return {}
    return {"cover": ContentFile(content, name=f"cover.{extension}")}
