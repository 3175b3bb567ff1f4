"""Loaders whose upload button only a browser knows: what they load is what users upload.

The workflows, the packages and the node classes in vhs/ are those of a public report about Video Helper Suite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from generations.lifecycle import services
from generations.models import WorkflowTemplate
from generations.parameters.bounds import check_bounds
from generations.parameters.propose import propose
from generations.parameters.schema import DefinitionError, Parameter, parse_parameters
from generations.relay.submit import build_graph
from generations.scheduling import fitness
from generations.studio import drafts, importing, making, publishing
from tests.support.factories import make_asset, make_server, parameter
from tests.support.uploads import Uploads

CASES = Path(__file__).parent / "vhs"
KNOWN: dict[str, Any] = json.loads((CASES / "object_info.json").read_text())
CUSTOM = {
    "LoadClips": {"input": {"required": {"clip": [["None", "a.mp4", "b.mov"]], "mode": [["fast", "slow"]]}}},
    "Show": {"input": {"required": {"images": ["IMAGE"]}}, "output_node": True},
}


def graph_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text())
    return found


def of(definition: dict[str, Any]) -> Parameter:
    (found,) = parse_parameters([definition])
    return found


@pytest.mark.parametrize("name", ["api", "api_own_file"])
@pytest.mark.parametrize("known", [KNOWN, None])
def test_a_video_is_proposed_whatever_the_file_is_called(name: str, known: Any) -> None:
    (found,) = [each for each in propose(graph_of(name), known) if each.is_media]
    assert (found.name, found.type, found.required) == ("video", "video", True)
    assert [(each.node_id, each.input_name) for each in found.bindings] == [("2", "video")]


@pytest.mark.parametrize(
    ("class_type", "name", "kind"),
    [
        ("VHS_LoadVideoFFmpeg", "video", "video"),
        ("VHS_LoadAudioUpload", "audio", "audio"),
        ("VHS_LoadImages", "directory", "image"),
        ("LoadImageSetFromFolderNode", "folder", "image"),
    ],
)
def test_other_known_loaders_are_proposed_too(class_type: str, name: str, kind: str) -> None:
    graph = {
        "1": {"class_type": class_type, "inputs": {name: "something"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }
    info = {class_type: {"input": {"required": {name: [["something"]]}}}, "SaveImage": {"output_node": True}}
    (found,) = propose(graph, info)
    assert (found.name, found.type) == (kind, kind)
    check_bounds([found], graph, info)


@pytest.mark.parametrize("name", ["package", "package_own_file"])
def test_a_package_with_a_video_is_published_and_runs_with_any_video(
    owner: User, staff: User, name: str, media_root: Path
) -> None:
    make_server(object_info=KNOWN, object_info_at=timezone.now())
    imported = importing.read((CASES / f"{name}.json").read_bytes(), KNOWN)
    template, _notes = making.create(staff, imported, object_info=KNOWN)
    version = publishing.publish(template, None, user=staff, object_info=KNOWN)
    assert fitness.why_unavailable(version) == ""
    asset = make_asset(owner, b"a film", name="holiday.mp4", content_type="video/mp4")
    generation = services.submit(user=owner, version=version, inputs={"video": str(asset.pk)})
    client: Any = Uploads()
    assert build_graph(generation, client)["2"]["inputs"]["video"] == client.names[0]
    assert client.names[0].endswith(".mp4")


@pytest.mark.parametrize("kind", ["video", "audio", "image"])
def test_any_list_of_files_may_be_declared_an_upload(kind: str) -> None:
    graph = {"1": {"class_type": "LoadClips", "inputs": {"clip": "a.mp4", "mode": "fast"}}}
    check_bounds([of(parameter("clip", kind, "1", "clip"))], graph, CUSTOM)
    with pytest.raises(DefinitionError, match="does not fit"):
        check_bounds([of(parameter("mode", kind, "1", "mode"))], graph, CUSTOM)


def test_a_list_of_files_stays_a_choice_that_the_admin_makes() -> None:
    graph = {"1": {"class_type": "LoadClips", "inputs": {"clip": "a.mp4", "mode": "fast"}}}
    check_bounds([of(parameter("clip", "choice", "1", "clip", choices=["a.mp4"]))], graph, CUSTOM)
    with pytest.raises(DefinitionError, match=r"does not offer c\.mp4"):
        check_bounds([of(parameter("clip", "choice", "1", "clip", choices=["c.mp4"]))], graph, CUSTOM)
    with pytest.raises(DefinitionError, match="List the choices"):
        check_bounds([of(parameter("clip", "choice", "1", "clip", choices=["a.mp4"], is_live=True))], graph, CUSTOM)


@pytest.mark.parametrize("kind", ["string", "text"])
@pytest.mark.parametrize("info", [{**KNOWN, **CUSTOM}, {}])
def test_a_text_that_names_a_file_is_not_published(kind: str, info: dict[str, Any]) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "PrimitiveString", "inputs": {"value": "a.png"}},
        "3": {"class_type": "VHS_LoadVideo", "inputs": {"video": "a.mp4"}},
    }
    for key in (("2", "value"), ("3", "video")):
        with pytest.raises(DefinitionError, match="names a file on the server"):
            check_bounds([of(parameter("file", kind, *key))], graph, info)


def test_an_upload_is_declared_in_the_studio(staff: User, client_for: Any) -> None:
    make_server(object_info=CUSTOM, object_info_at=timezone.now())
    graph = {
        "1": {"class_type": "LoadClips", "inputs": {"clip": "a.mp4", "mode": "fast"}},
        "2": {"class_type": "Show", "inputs": {"images": ["1", 0]}},
    }
    template, _notes = making.create(staff, importing.Imported(graph), object_info=CUSTOM)
    client: Client = client_for(staff)
    base = f"/admin/generations/workflowtemplate/{template.pk}/studio/"
    client.post(f"{base}expose/", {"node": "1", "input": "clip", "on": "1"})
    draft = drafts.draft_of(WorkflowTemplate.objects.get(pk=template.pk))
    assert [each["type"] for each in draft.parameters] == ["choice"]
    fields = {"was": "clip", "name": "clip", "label": "Clip", "type": "video", "is_required": "on"}
    assert client.post(f"{base}parameters/0/", fields).status_code == 200
    version = publishing.publish(template, None, user=staff, object_info=CUSTOM)
    (published,) = version.parsed_parameters
    assert (published.type, published.required) == ("video", True)
    assert fitness.why_unavailable(version) == ""
