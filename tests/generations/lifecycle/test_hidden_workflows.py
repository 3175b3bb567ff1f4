"""What users get has no workflow of a template in it, and still leads back to its generation."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from generations import origins
from generations.comfy import stripping
from generations.comfy.embedded import read_embedded
from generations.comfy.stripping import WorkflowLeftError, carries_workflow
from generations.files import spooling, storage
from generations.lifecycle import storing
from generations.models import Generation, Status, TemplateVersion, WorkflowTemplate
from generations.studio import covers, importing, packages
from tests.comfy.test_stripping import MORE, PICTURES
from tests.support.bombs import chunk
from tests.support.factories import make_asset, make_generation, make_server, make_template, txt2img_graph
from tests.support.pictures import png
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stored(simulator: RunningSimulator, owner: Any) -> Callable[..., Generation]:
    """A generation whose outputs are these files, stored."""
    server = make_server(url=simulator.url)

    def make(*contents: bytes, version: TemplateVersion | None = None, **fields: Any) -> Generation:
        names = [f"{uuid.uuid4()}.bin" for _ in contents]
        for name, content in zip(names, contents, strict=True):
            (Path(simulator.data_dir) / "output" / name).write_bytes(content)
        files = [{"filename": name, "subfolder": "", "type": "output"} for name in names]
        generation = make_generation(
            owner, status=Status.STORING, server=server, attempt=1, tag=3.0,
            upstream_outputs={"9": {"files": files}}, **fields,
        )  # fmt: skip
        if version is not None:
            Generation.objects.filter(pk=generation.pk).update(version=version)
        storing.store_outputs(str(generation.pk))
        generation.refresh_from_db()
        return generation

    return make


def bytes_of(generation: Generation) -> list[bytes]:
    found = []
    for output in generation.outputs.order_by("position"):
        assert output.asset is not None
        with storage.open_key(output.asset.key) as file:
            found.append(file.read())
        assert spooling.hash_of(io.BytesIO(found[-1])) == output.asset.hash
        assert output.asset.size_bytes == len(found[-1])
    return found


def test_results_come_without_the_workflow_and_lead_back(stored: Callable[..., Generation]) -> None:
    names = ["png", "webp", "jpeg", "gif", "mp4", "webm", "flac", "latent"]
    generation = stored(*(MORE[name]() for name in names))
    assert generation.status == Status.SUCCEEDED
    assert not generation.warnings
    contents = bytes_of(generation)
    assert len(contents) == len(names)
    for name, content in zip(names, contents, strict=True):
        assert not carries_workflow(io.BytesIO(content)), name
        assert origins.origin_of(io.BytesIO(content + b" ")) == generation, name  # by the mark: the hash is another


def test_admin_may_let_the_workflow_stay(stored: Callable[..., Generation]) -> None:
    template = make_template("open")
    WorkflowTemplate.objects.filter(pk=template.pk).update(is_workflow_removed=False)
    content = MORE["png"]()
    assert bytes_of(stored(content, template=template)) == [content]


def test_own_workflow_stays_in_its_results(stored: Callable[..., Generation], owner: Any) -> None:
    version = TemplateVersion.raw(graph=txt2img_graph(), created_by=owner)
    version.save()
    content = MORE["png"]()
    assert bytes_of(stored(content, version=version, inputs={})) == [content]


def test_file_that_cannot_be_freed_is_withheld_by_name(stored: Callable[..., Generation]) -> None:
    generation = stored(MORE["png"](), b'a log: {"class_type": "KSampler"}')
    assert generation.status == Status.SUCCEEDED
    assert len(bytes_of(generation)) == 1
    (warning,) = generation.warnings
    assert warning["code"] == "output_withheld"
    assert "hidden workflow" in warning["message"]


def test_generation_of_withheld_files_alone_says_so(stored: Callable[..., Generation]) -> None:
    generation = stored(b'{"class_type": "KSampler"}')
    assert (generation.status, generation.outputs.count()) == (Status.SUCCEEDED, 0)
    assert [each["code"] for each in generation.warnings] == ["output_withheld"]


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_covers_have_no_workflow(name: str, owner: Any) -> None:
    content = MORE[name]()
    kind = spooling.sniff(io.BytesIO(content))
    template = make_template()
    covers.set_cover_from(template, make_asset(owner, content, content_type=kind))
    with template.cover.open("rb") as file:
        cover = io.BytesIO(file.read())
    assert not carries_workflow(cover)
    assert stripping.find_marks(cover) == []


def test_uploaded_cover_with_a_workflow_that_stays_is_refused(staff: Any, client_for: Callable[[Any], Client]) -> None:
    damaged = png().replace(b"\0\0\0\0IEND", chunk(b"ABCD", b'{"class_type": 1}') + b"\0\0\0\0IEND")
    with pytest.raises(WorkflowLeftError):
        covers.set_cover(make_template(), ContentFile(damaged, name="cover.png"))


def test_staff_find_the_version_by_a_stripped_result_and_its_owner_the_inputs(
    stored: Callable[..., Generation], staff: Any
) -> None:
    generation = stored(MORE["png"](), inputs={"prompt": "a fox", "seed": "7", "steps": 9, "width": 256})
    (content,) = bytes_of(generation)
    with pytest.raises(ValueError, match="without a workflow"):
        read_embedded(io.BytesIO(content))
    for reader, prompt in ((generation.user, "a fox"), (staff, "a bottle of stars")):
        imported = importing.read(content, None, by=reader)
        assert imported.parameters is not None
        assert {each["name"]: each.get("default") for each in imported.parameters}["prompt"] == prompt


def test_setting_travels_with_the_package(owner: Any) -> None:
    template = make_template()
    template.is_workflow_removed = False
    version = template.versions.get()
    package = packages.read(packages.write(template, version))
    assert package.details["is_workflow_removed"] is False
    assert (
        "is_workflow_removed"
        not in packages.read({**packages.write(template, version), "is_workflow_removed": "no"}).details
    )


def test_staff_change_the_setting_by_the_api(staff: Any, client_for: Callable[[Any], Client]) -> None:
    template = make_template("one")
    client = client_for(staff)
    url = "/api/v2/templates/one"
    assert client.get(url).json()["is_workflow_removed"] is True
    answer = client.patch(url, {"is_workflow_removed": False}, content_type="application/json")
    assert answer.json()["is_workflow_removed"] is False
    template.refresh_from_db()
    assert not template.is_workflow_removed
