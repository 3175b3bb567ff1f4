"""What is fuzzed: each target takes any bytes, and refuses them with an error of ours or takes them. Nothing worse."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, BinaryIO, cast
from unittest.mock import patch

import django
from django.apps import apps

if not apps.ready:  # by itself, and not within the suite
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")
    os.environ.setdefault("DATA_DIR", "build/fuzz")
    django.setup()

from django.core.exceptions import BadRequest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from generations.api import job_queries
from generations.api.body import parse_json
from generations.api.schemas import account, assets, jobs, servers, templates, webhooks
from generations.comfy import containers, pictures, stripping
from generations.comfy.embedded import NoWorkflowError, read_embedded
from generations.comfy.errors import ProtocolError
from generations.comfy.graph import GraphError, check_graph, load_api_graph
from generations.comfy.resolving import resolve_name, resolve_prompt
from generations.comfy.wire import decode
from generations.files import delivery, inputs
from generations.files.accepting import InvalidUploadError
from generations.parameters.schema import parse_parameters
from generations.parameters.validate import InvalidInputs, json_values, validate
from generations.studio import archives, definitions, importing
from generations.studio.starters import starters
from generations.web import pages
from tests.comfy.test_stripping import MORE
from tests.support import drawn
from tests.support.archives import zipped
from tests.support.pictures import png
from tests.support.workflows import CASES, OBJECT_INFO, editor_workflow


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes any bytes and raises nothing but `refusals`. `seeds` are inputs that it takes."""

    run: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]


def storable(value: object) -> None:
    """What the database keeps, and every reader of JSON takes."""
    text = json.dumps(value, allow_nan=False)
    assert "\\u0000" not in text
    text.encode()
    json.dumps(value, ensure_ascii=False).encode()


def import_file(content: bytes) -> None:
    """Whatever staff drop on the studio, without the database's part in it."""
    with patch.object(importing, "origin_of", return_value=None):
        imported = importing.read(content, OBJECT_INFO)
    storable(imported.graph)
    storable(definitions.proposals(imported.graph, OBJECT_INFO))
    storable([[definitions.definition_of(each) for each in imported.chosen], imported.output_nodes, imported.notes])
    check_graph(imported.graph, OBJECT_INFO)


def read_file(content: bytes) -> None:
    """What a file carries, and who it says made it."""
    stripping.find_marks(io.BytesIO(content))
    found = read_embedded(io.BytesIO(content))
    storable([found.prompt, found.workflow, dict(found.extra)])


def strip_file(content: bytes) -> None:
    """A result on its way into the storage."""
    mark = {"generation": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "template": "t", "version": 1}
    with stripping.without_workflow(io.BytesIO(content), mark) as found:
        assert not stripping.carries_workflow(cast("BinaryIO", found))


def look_at_picture(content: bytes) -> None:
    """What the decoder process does with pictures; every kind is tried, whatever the bytes say."""
    for kind in pictures.FORMATS.values():
        try:
            pictures.thumbnail(io.BytesIO(content), kind)
        except Exception as error:
            assert not isinstance(error, MemoryError | RecursionError), error


def look_at_stream(content: bytes) -> None:
    """What the decoder process does with videos and sounds."""
    demuxer = containers.demuxer_of(content[: containers.HEAD_BYTES])
    if demuxer is None:
        return
    for look in (containers.stream_kinds, containers.poster):
        try:
            look(io.BytesIO(content), demuxer)
        except Exception as error:
            assert not isinstance(error, MemoryError | RecursionError), error


def open_archive(content: bytes) -> None:
    """A ZIP of workflows, with every file in it."""
    for entry in archives.Archive(io.BytesIO(content)).entries():
        assert bool(entry.reason) + bool(entry.content) <= 1
        assert len(entry.content) <= archives.MAX_FILE_BYTES


def read_body(content: bytes) -> None:
    """Bodies of API requests, up to where the database begins."""
    value = parse_json(content.decode())
    storable(value)
    for adapter in bodies():
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            error.errors(include_url=False, include_context=False, include_input=False)
    if isinstance(value, dict):
        read_inputs(value)


def read_inputs(value: dict[str, Any]) -> None:
    """The inputs of every starter, and the graph of a whole workflow."""
    inputs = value.get("inputs")
    for parameters in all_parameters():
        try:
            checked = validate(parameters, inputs if isinstance(inputs, Mapping) else value)
            storable(json_values(parameters, checked))
        except InvalidInputs as refusal:
            storable(refusal.errors)
    graph = load_api_graph(value.get("workflow", value))
    storable([str(problem) for problem in check_graph(graph, OBJECT_INFO)])


@cache
def bodies() -> list[TypeAdapter[Any]]:
    """Every request that has JSON as its body."""
    ends = ("Request", "Change", "FromHash")
    rooms = (account, assets, jobs, servers, templates, webhooks)
    return [TypeAdapter(found) for room in rooms for name, found in vars(room).items() if name.endswith(ends)]


@cache
def all_parameters() -> list[Any]:
    return [parse_parameters(starter["parameters"]) for starter in starters()]


def read_texts(content: bytes) -> None:
    """Cursors, ranges, addresses and dates: the first byte says which."""
    text = content[1:].decode("latin-1")
    now = datetime(2025, 1, 2, tzinfo=UTC)
    readers: list[Callable[[str], object]] = [
        job_queries.decode,
        lambda header: delivery._parse_range(header, 1000),
        pages._position,
        inputs._decode,
        inputs._name_of,
        lambda moment: jobs.JobFilter(created_after=moment, limit=5),  # type: ignore[arg-type]
        lambda number: jobs.JobFilter(limit=number, q=number, cursor=number),  # type: ignore[arg-type]
        decode,
        lambda prompt: storable(resolve_prompt(prompt, lambda count: count // 2)),
        lambda name: storable(resolve_name(name, now, lambda node, widget: node + widget, most=10**9)),
    ]
    readers[content[0] % len(readers) if content else 0](text)


def _files() -> list[bytes]:
    return [make() for make in MORE.values()]


def _pictures() -> list[bytes]:
    found = []
    for kind in pictures.FORMATS.values():
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((24, 16)).save(buffer, kind)
        found.append(buffer.getvalue())
    return found


def _workflows() -> list[bytes]:
    small = [path.read_bytes() for path in sorted(CASES.rglob("*.json")) if path.stat().st_size < 20_000]
    starting = [json.dumps(each).encode() for each in starters()]
    return [*small, *_apps(), *_wired(), png(prompt={}, workflow=editor_workflow()), *starting]


def _wired() -> list[bytes]:
    """Workflows whose nodes are connected by what the editor alone knows."""
    limits = {"version": "7.8", "title_regex": "Save", "group_restricted": 1, "color_restricted": 1, "priority": 5}
    box: Any = {"pos": [20, 60], "size": [100, 80]}
    picture, image = drawn.source(**box), drawn.slot("IMAGE", "IMAGE", 1)
    broadcast = drawn.workflow(
        picture, drawn.node(2, "Anything Everywhere", inputs=[image], properties={"ue_properties": limits}, **box),
        drawn.save(3, None, **box), links=[[1, 1, 0, 2, 0]], groups=[{"title": "A", "bounding": [0, 0, 300, 300]}],
    )  # fmt: skip
    named = drawn.workflow(
        picture, drawn.node(2, "SetNode", inputs=[image], widgets_values=["a"]),
        drawn.node(4, "GetNode", outputs=[drawn.out("IMAGE")], widgets_values=["a"]), drawn.save(3, 2),
        links=[[1, 1, 0, 2, 0], [2, 4, 0, 3, 0]],
    )  # fmt: skip
    return [json.dumps(each).encode() for each in (broadcast, named)]


def _apps() -> list[bytes]:
    """Workflows whose authors chose what users set."""
    found = []
    for name in ("primitive_seed", "subgraph_nested", "subgraph_promoted", "subgraph_proxy_widgets"):
        workflow = editor_workflow(name)
        ids = [each["id"] for each in workflow["nodes"]]
        inputs = [[each, "seed"] for each in ids] + [[f"{each}:1", "value"] for each in ids]
        workflow.setdefault("extra", {})["linearData"] = {"inputs": inputs, "outputs": ids}
        found.append(json.dumps(workflow).encode())
    deploy = {"input_id": "x", "default_value": "a", "options": '["a", "b"]', "display_name": "X"}
    graph = {"1": {"class_type": "ComfyUIDeployExternalEnum", "inputs": deploy}}
    return [*found, json.dumps(graph).encode()]


def _archives() -> list[bytes]:
    files = [{}, {"a/": b"", "a/b.json": b"{}"}, {f"{number}.json": bytes(999) for number in range(9)}]
    return [zipped(each, method) for each in files for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]


def _bodies() -> list[bytes]:
    graph = starters()[0]["graph"]
    return [
        json.dumps(value).encode()
        for value in (
            {"inputs": {"prompt": "x", "seed": "18446744073709551615", "steps": 20, "cfg": 7.5}, "count": 2},
            {"workflow": graph, "metadata": {"a": "b"}, "extra_data": {"api_key_comfy_org": "k"}},
            {"action": "cancel", "ids": ["0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"]},
            {"name": "k", "scopes": ["read"], "expires_in_days": 5, "requests_per_minute": 10},
            {"url": "https://example.com/", "events": ["job.failed"], "is_for_every_job": True},
            {"title": "x", "tags": ["a"], "position": -5, "is_published": False},
        )
    ]


def _texts() -> list[bytes]:
    texts = (
        "MjAyNi0xMS0yN1QwMDowMDowMCswMDowMCwwMTkwYTFiMi1jM2Q0LTdlNWYtOGE5Yi0wYzFkMmUzZjRhNWI", "bytes=0-499",
        "2026-11-27T00:00:00+00:00,0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "data:image/png;base64,AAAA", "50", "1e400",
        "https://example.com/a%20b.png?x=1", "2026-11-27T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
        '{"a": [1, "\\u00e4"]}', "bytes=-5", "{a|{b|\\\\\\{}} // c\n/* d */ \\}", "%date:yyyy-MM-dd%/%A.b%_%width%",
    )  # fmt: skip
    return [bytes([number]) + text.encode() for number in range(10) for text in texts]


FILE_REFUSALS = (GraphError, NoWorkflowError, stripping.WorkflowLeftError)
TARGETS = {
    "import": Target(import_file, FILE_REFUSALS, lambda: [*_workflows(), *_files()]),
    "embedded": Target(read_file, FILE_REFUSALS, _files),
    "stripping": Target(strip_file, FILE_REFUSALS, _files),
    "pictures": Target(look_at_picture, (), lambda: [*_pictures(), *_files()]),
    "streams": Target(look_at_stream, (), _files),
    "archives": Target(open_archive, (archives.ArchiveError,), _archives),
    "bodies": Target(read_body, (GraphError, ValueError), lambda: [*_bodies(), *_workflows()]),
    "texts": Target(
        read_texts,
        (job_queries.InvalidCursorError, BadRequest, InvalidUploadError, ValidationError, ProtocolError),
        _texts,
    ),
}
