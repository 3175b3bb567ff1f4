"""Another workflow for a template: what stays of its draft, and what the file decides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from generations.parameters.schema import parse_parameters
from generations.studio import drafts, editing, importing, intake, making, packages, publishing
from generations.studio.importing import Imported
from tests.support.drafts import by_the_author, checked_graph, new_template, parameter_names
from tests.support.factories import make_template, txt2img_graph
from tests.support.workflows import OBJECT_INFO

pytestmark = pytest.mark.django_db


def test_another_workflow_keeps_what_still_fits(staff: Any) -> None:
    template = make_template()
    graph = txt2img_graph()
    graph["7"]["inputs"]["text"] = "something else"
    graph["3"]["class_type"] = "KSamplerOther"
    del graph["5"]
    graph["5b"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    graph["3"]["inputs"]["latent_image"] = ["5b", 0]
    draft, notes = intake.put(template, staff, Imported(graph), object_info=OBJECT_INFO)
    assert parameter_names(draft) == ["prompt", "negative_prompt"]
    assert "Seed" in notes[0] and "Width" in notes[0]


def test_what_comes_with_the_workflow_goes_before_what_there_was(staff: Any) -> None:
    template = make_template()
    given = [{"name": "only", "type": "text", "label": "Only", "bindings": [{"node_id": "6", "input_name": "text"}]}]
    draft, _notes = intake.put(template, staff, Imported(txt2img_graph(), parameters=given), object_info=None)
    assert parameter_names(draft) == ["only"]


def test_author_decides_order_and_what_is_new_but_undoes_nothing_in_the_draft(staff: Any) -> None:
    template = new_template(staff)
    wanted = [
        {"name": "steps", "type": "text", "label": "Mine", "bindings": [{"node_id": "6", "input_name": "text"}]},
        {"name": "wide", "type": "integer", "label": "Wide", "bindings": [{"node_id": "5", "input_name": "width"}]},
    ]
    drafts.change(template, staff, lambda draft: setattr(draft, "parameters", wanted))
    draft, _notes = intake.put(template, staff, by_the_author("3.steps", "6.text"), object_info=OBJECT_INFO)
    assert [(each["name"], each["label"]) for each in draft.parameters] == [
        ("steps_2", "Steps"), ("steps", "Mine"), ("wide", "Wide"),
    ]  # fmt: skip
    assert [each.role for each in parse_parameters(draft.parameters)] == ["steps", "", "width"]


def test_roles_stay_with_what_still_fits_and_travel_with_packages(staff: Any) -> None:
    template = new_template(staff)
    drafts.change(template, staff, lambda draft: editing.redefine(draft, 0, {**draft.parameters[0], "role": ""}))
    draft, _notes = intake.put(template, staff, Imported(txt2img_graph()), object_info=OBJECT_INFO)
    roles = [each["role"] for each in draft.parameters]
    assert roles[:4] == ["", "negative_prompt", "width", "height"]
    version = publishing.freeze(template, staff, object_info=None)
    imported = importing.read(json.dumps(packages.write(template, version)).encode(), None)
    assert imported.parameters is not None
    assert [each["role"] for each in imported.parameters] == roles


def test_safety_node_stays_with_its_class_and_goes_into_versions_packages_and_copies(staff: Any) -> None:
    graph, info = checked_graph()
    template, _notes = making.create(staff, Imported(graph), object_info=info)
    version = publishing.freeze(template, staff, object_info=None)
    assert version.safety_node == "21"
    assert drafts.draft_of(making.duplicate(template, staff)).safety_node == "21"
    assert importing.read(json.dumps(packages.write(template, version)).encode(), None).safety_node == "21"
    drafts.discard(template)
    assert drafts.draft_of(template).safety_node == "21"
    assert intake.put(template, staff, Imported(graph), object_info=info)[0].safety_node == "21"
    graph = {**graph, "21": {"class_type": "PreviewText", "inputs": {"source": ["20", 1]}}}
    draft = intake.put(template, staff, Imported(graph), object_info=info)[0]
    assert draft.safety_node == "" and not draft.is_like(version)
    assert drafts.restore(template, staff, version).safety_node == "21"
