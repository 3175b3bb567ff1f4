"""The starters: real ComfyUI graphs that the simulator runs, too."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from generations.comfy.graph import check_graph
from generations.models import TemplateVersion, WorkflowTemplate
from generations.parameters.bounds import check_bounds
from generations.parameters.schema import parse_parameters
from generations.scheduling import catalogs
from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Environment
from generations.simulator.state import MODELS
from generations.simulator.validation import Validator
from generations.studio import checks, definitions, drafts, starters
from tests.support.workflows import OBJECT_INFO

STARTERS = {each["slug"]: each for each in starters.starters()}


def test_there_is_one_for_each_kind_of_work() -> None:
    assert list(STARTERS) == [
        "text-to-image", "image-to-image", "inpaint", "upscale", "variations", "combine-texts"
    ]  # fmt: skip


@pytest.mark.parametrize("slug", STARTERS)
def test_real_server_lacks_at_most_files_for_it(slug: str) -> None:
    problems = check_graph(STARTERS[slug]["graph"], OBJECT_INFO)
    assert [each for each in problems if "has no file" not in each.message] == []


@pytest.mark.parametrize("slug", STARTERS)
def test_bounds_are_tighter_than_the_nodes(slug: str) -> None:
    info = copy.deepcopy(OBJECT_INFO)
    info["UpscaleModelLoader"]["input"]["required"]["model_name"][1]["options"] = MODELS["upscale_models"]
    check_bounds(parse_parameters(STARTERS[slug]["parameters"]), STARTERS[slug]["graph"], info)


@pytest.mark.parametrize("slug", STARTERS)
def test_simulator_accepts_it(slug: str, tmp_path: Path) -> None:
    environment = Environment(tmp_path, {"vae": [], **MODELS}, 0.0)
    (environment.folder("input") / "example.png").write_bytes(b"")
    verdict = Validator(REGISTRY, environment, copy.deepcopy(STARTERS[slug]["graph"])).run(None)
    assert (verdict.error, verdict.node_errors) == (None, {})


@pytest.mark.django_db
def test_installing_twice_changes_nothing() -> None:
    call_command("starters", verbosity=0)
    template = WorkflowTemplate.objects.get(slug="inpaint")
    template.title = "Ours now"
    template.save()
    call_command("starters", verbosity=0)
    assert WorkflowTemplate.objects.count() == TemplateVersion.objects.count() == len(STARTERS)
    template.refresh_from_db()
    assert template.title == "Ours now"
    assert WorkflowTemplate.objects.published().count() == len(STARTERS)


@pytest.mark.django_db
def test_every_starter_can_be_opened_in_the_studio(staff: Any) -> None:
    starters.install()
    info = copy.deepcopy(OBJECT_INFO)
    info["UpscaleModelLoader"]["input"]["required"]["model_name"][1]["options"] = MODELS["upscale_models"]
    for template in WorkflowTemplate.objects.all():
        assert checks.faults(drafts.draft_of(template), info) == {}
        proposed = definitions.proposals(drafts.draft_of(template).graph, info)
        assert {"image", "text", "string"} & {each["type"] for each in proposed}
    assert catalogs.known_nodes() is None
