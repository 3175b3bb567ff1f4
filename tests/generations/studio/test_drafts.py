"""Drafts and versions: what becomes of a template in the studio."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.utils import timezone

from generations.comfy.app_mode import ChosenInput
from generations.lifecycle import storing
from generations.models import Status, TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.parameters.chosen import chosen_parameters
from generations.parameters.schema import parse_parameters
from generations.studio import checks, covers, drafts, editing, importing, intake, making, packages, publishing
from generations.studio.importing import Imported
from tests.support.factories import (
    CHECKPOINT,
    add_published_version,
    make_asset,
    make_generation,
    make_output,
    make_server,
    make_template,
    txt2img_graph,
)
from tests.support.workflows import OBJECT_INFO, with_models

pytestmark = pytest.mark.django_db


def names(draft: TemplateDraft) -> list[str]:
    return [each["name"] for each in draft.parameters]


def new_template(user: Any, graph: Any = None, **options: Any) -> WorkflowTemplate:
    made, _notes = making.create(user, Imported(graph or txt2img_graph()), object_info=OBJECT_INFO, **options)
    return made


def test_new_template_is_a_draft_with_proposals(staff: Any) -> None:
    template = new_template(staff, source="my_first-workflow.json")
    assert (template.title, template.slug) == ("My First Workflow", "my-first-workflow")
    assert template.published_version is None and not template.versions.exists()
    draft = drafts.draft_of(template)
    assert names(draft)[:2] == ["prompt", "negative_prompt"]
    assert (draft.source, draft.changed_by) == ("my_first-workflow.json", staff)
    assert WorkflowTemplate.objects.published().count() == 0


def test_addresses_are_unique(staff: Any) -> None:
    assert [new_template(staff, title="Same").slug for _ in range(3)] == ["same", "same-2", "same-3"]
    assert new_template(staff, title="日本").slug == "template"


@pytest.mark.usefixtures("known_server")
def test_publishing_makes_a_version_and_ends_the_draft(staff: Any) -> None:
    template = new_template(staff)
    version = publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, note="First")
    template.refresh_from_db()
    assert template.published_version == version
    assert (version.number, version.note, version.created_by) == (1, "First", staff)
    assert version.published_at is not None
    assert not TemplateDraft.objects.exists()
    assert drafts.draft_of(template).is_like(version)


def test_draft_leaves_what_users_run_alone(staff: Any) -> None:
    template = make_template()
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    template.refresh_from_db()
    assert template.published_version is not None
    assert "prompt" in [each["name"] for each in template.published_version.parameters]
    assert "prompt" not in names(drafts.draft_of(template))


@pytest.mark.usefixtures("known_server")
def test_trying_makes_a_version_that_is_not_published_and_the_same_one_is_not_made_twice(staff: Any) -> None:
    template = make_template()
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    tried = publishing.freeze(template, staff, object_info=None)
    assert (tried.number, tried.published_at) == (2, None)
    assert publishing.freeze(template, staff, object_info=None) == tried
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.number == 1
    assert publishing.publish(template, None, user=staff, object_info=None, note="Fine") == tried
    tried.refresh_from_db()
    assert (tried.note, tried.published_at is not None) == ("Fine", True)


def test_draft_that_changed_meanwhile_is_not_published(staff: Any) -> None:
    template = new_template(staff)
    seen = drafts.draft_of(template).revision
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    with pytest.raises(publishing.StaleDraftError):
        publishing.publish(template, None, user=staff, object_info=None, revision=seen)
    assert not template.versions.exists()


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("steps", {"minimum": 30, "maximum": 10}, "greater than the maximum"),
        ("steps", {"minimum": 0}, "nothing below 1"),
        ("steps", {"name": "prompt"}, "same name"),
        ("cfg", {"type": "text", "minimum": None, "maximum": None, "step": None}, "does not fit"),
    ],
)
def test_what_is_wrong_keeps_it_from_becoming_a_version(staff: Any, name: str, changes: Any, words: str) -> None:
    template = new_template(staff)
    draft = drafts.draft_of(template)
    position = names(draft).index(name)
    drafts.change(
        template, staff, lambda draft: editing.redefine(draft, position, {**draft.parameters[position], **changes})
    )
    with pytest.raises(publishing.DraftError, match=words):
        publishing.publish(template, None, user=staff, object_info=OBJECT_INFO)
    assert not template.versions.exists()
    assert checks.valid_parameters(drafts.draft_of(template))  # the others can be previewed


def test_what_the_editor_kept_goes_into_the_version_and_its_copies(staff: Any) -> None:
    imported = Imported(txt2img_graph(), editor={"3": {"properties": {"mine": 1}}})
    template, _notes = making.create(staff, imported, object_info=OBJECT_INFO)
    version = publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, is_confirmed=True)
    assert version.editor == imported.editor
    assert drafts.draft_of(making.duplicate(template, staff)).editor == imported.editor
    intake.put(template, staff, Imported(txt2img_graph()), object_info=OBJECT_INFO)
    assert drafts.draft_of(template).editor is None
    assert drafts.restore(template, staff, version).editor == imported.editor


def test_empty_draft_is_no_version(staff: Any) -> None:
    template = WorkflowTemplate.objects.create(slug="x", title="X")
    with pytest.raises(publishing.DraftError, match="no workflow"):
        publishing.freeze(template, staff, object_info=None)


def test_what_no_server_can_run_needs_a_confirmation(staff: Any) -> None:
    make_server(object_info=with_models("other.safetensors"), object_info_at=timezone.now())
    template = new_template(staff)
    drafts.change(template, staff, lambda draft: editing.hide(draft, ("4", "ckpt_name")))
    with pytest.raises(publishing.UnfitError, match=CHECKPOINT):
        publishing.publish(template, None, user=staff, object_info=OBJECT_INFO)
    assert not template.versions.exists()
    assert publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, is_confirmed=True).number == 1


def test_another_workflow_keeps_what_still_fits(staff: Any) -> None:
    template = make_template()
    graph = txt2img_graph()
    graph["7"]["inputs"]["text"] = "something else"
    graph["3"]["class_type"] = "KSamplerOther"
    del graph["5"]
    graph["5b"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    graph["3"]["inputs"]["latent_image"] = ["5b", 0]
    draft, notes = intake.put(template, staff, Imported(graph), object_info=OBJECT_INFO)
    assert names(draft) == ["prompt", "negative_prompt"]
    assert "Seed" in notes[0] and "Width" in notes[0]


def test_what_comes_with_the_workflow_goes_before_what_there_was(staff: Any) -> None:
    template = make_template()
    given = [{"name": "only", "type": "text", "label": "Only", "bindings": [{"node_id": "6", "input_name": "text"}]}]
    draft, _notes = intake.put(template, staff, Imported(txt2img_graph(), parameters=given), object_info=None)
    assert names(draft) == ["only"]


def by_the_author(*keys: str) -> Imported:
    graph = txt2img_graph()
    inputs = [ChosenInput(((node_id, name),)) for node_id, name in (key.split(".") for key in keys)]
    return Imported(graph, chosen=chosen_parameters(graph, inputs, OBJECT_INFO), output_nodes=["9"])


def test_what_the_author_chose_is_what_users_set(staff: Any) -> None:
    template, _notes = making.create(staff, by_the_author("3.steps", "6.text"), object_info=OBJECT_INFO)
    draft = drafts.draft_of(template)
    assert (names(draft), draft.output_nodes) == (["steps", "prompt"], ["9"])
    assert checks.faults(draft, OBJECT_INFO) == {}


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


def test_version_from_before_there_were_roles_has_them_and_counts_as_unchanged(staff: Any) -> None:
    template = make_template()
    version = template.published_version
    assert version is not None and "role" not in version.parameters[0]
    assert [each.role for each in version.parsed_parameters][:2] == ["prompt", "negative_prompt"]
    draft = drafts.change(template, staff, lambda draft: None)
    assert draft.parameters[0]["role"] == "prompt"
    assert draft.is_like(version)
    assert publishing.freeze(template, staff, object_info=None) == version


def checked_graph() -> tuple[Any, Any]:
    """A workflow with a checker whose verdict is shown, and the node types that it takes."""
    graph = txt2img_graph()
    graph["20"] = {"class_type": "NSFWChecker", "inputs": {"image": ["8", 0]}}
    graph["21"] = {"class_type": "PreviewAny", "inputs": {"source": ["20", 1]}}
    info = {
        **OBJECT_INFO,
        "NSFWChecker": {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE", "BOOLEAN"]},
        "PreviewAny": {"input": {"required": {"source": ["*", {}]}}, "output": [], "output_node": True},
    }
    return graph, info


def test_node_that_shows_what_a_checker_found_tells_whether_results_are_safe(staff: Any) -> None:
    graph, info = checked_graph()
    template, _notes = making.create(staff, Imported(graph), object_info=info)
    assert drafts.draft_of(template).safety_node == "21"
    graph["21"]["inputs"]["source"] = ["20", 0]  # a picture is no verdict
    other, _notes = making.create(staff, Imported(graph), object_info=info)
    assert drafts.draft_of(other).safety_node == ""


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


def test_one_node_at_most_tells_whether_results_are_safe() -> None:
    draft = drafted()
    editing.set_safety_node(draft, "9", True, ["9", "21"])
    editing.set_safety_node(draft, "21", True, ["9", "21"])
    editing.set_safety_node(draft, "9", False, ["9", "21"])
    assert draft.safety_node == "21"
    editing.set_safety_node(draft, "3", True, ["9", "21"])  # without results
    assert draft.safety_node == "21"
    editing.set_safety_node(draft, "21", False, ["9", "21"])
    assert draft.safety_node == ""


# --------------------------------------------------------------------------------------------- parameters
def drafted(**fields: Any) -> TemplateDraft:
    return TemplateDraft(template=WorkflowTemplate(), graph=txt2img_graph(), **fields)


def test_exposed_input_is_described_by_its_part_in_the_graph() -> None:
    draft = drafted()
    assert editing.expose(draft, ("7", "text"), OBJECT_INFO) == "negative_prompt"
    assert editing.expose(draft, ("6", "text"), OBJECT_INFO) == "prompt"
    assert editing.expose(draft, ("9", "filename_prefix"), OBJECT_INFO) == "filename_prefix"
    assert editing.expose(draft, ("6", "text"), OBJECT_INFO) == ""  # it is already
    assert editing.expose(draft, ("3", "model"), OBJECT_INFO) == ""  # a link
    assert editing.expose(draft, ("404", "x"), OBJECT_INFO) == ""
    assert names(draft) == ["negative_prompt", "prompt", "filename_prefix"]
    assert [each["role"] for each in draft.parameters] == ["negative_prompt", "prompt", ""]
    assert checks.faults(draft, OBJECT_INFO) == {}


def test_hidden_input_takes_its_parameter_along_when_it_was_the_last() -> None:
    draft = drafted()
    editing.expose(draft, ("5", "width"), OBJECT_INFO)
    editing.join(draft, ("5", "height"), "width")
    assert len(draft.parameters[0]["bindings"]) == 2
    editing.hide(draft, ("5", "width"))
    assert [each["input_name"] for each in draft.parameters[0]["bindings"]] == ["height"]
    editing.hide(draft, ("5", "height"))
    assert draft.parameters == []


def test_parameters_move_and_go() -> None:
    draft = drafted()
    for key in (("6", "text"), ("7", "text"), ("3", "steps")):
        editing.expose(draft, key, OBJECT_INFO)
    editing.move(draft, 2, 0)
    assert names(draft) == ["steps", "prompt", "negative_prompt"]
    editing.move(draft, 0, 99)
    editing.move(draft, 7, 0)
    assert names(draft) == ["prompt", "negative_prompt", "steps"]
    editing.remove(draft, 1)
    assert names(draft) == ["prompt", "steps"]


def test_results_of_nodes_are_kept_or_not() -> None:
    draft = drafted()
    outputs = ("a", "b", "c")
    editing.keep_results(draft, "b", False, outputs)
    assert draft.output_nodes == ["a", "c"]
    editing.keep_results(draft, "b", True, outputs)
    assert draft.output_nodes == []  # all of them


def test_graph_of_the_draft_is_never_changed() -> None:
    draft = drafted()
    before = copy.deepcopy(draft.graph)
    for key in (("6", "text"), ("3", "seed")):
        editing.expose(draft, key, OBJECT_INFO)
    editing.hide(draft, ("3", "seed"))
    assert draft.graph == before


# ------------------------------------------------------------------------------------------ organisation
def test_old_version_becomes_the_draft(staff: Any) -> None:
    template = make_template()
    first = template.versions.get(number=1)
    add_published_version(template, graph={"1": {"class_type": "X", "inputs": {}}}, parameters=[])
    drafts.restore(template, staff, first)
    draft = drafts.draft_of(template)
    assert draft.is_like(first)
    assert draft.source == "Version 1"
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.number == 2


def test_copy_has_the_draft_the_groups_and_a_cover_of_its_own(staff: Any) -> None:
    template = make_template(category="People", tags=["x"])
    covers.set_cover_from(template, make_asset(staff))
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    copied = making.duplicate(template, staff)
    assert (copied.title, copied.slug, copied.category) == ("Text to image (copy)", "text-to-image-copy", "People")
    assert copied.published_version is None
    assert names(drafts.draft_of(copied)) == names(drafts.draft_of(template))
    assert copied.cover.name != template.cover.name
    copied.cover.delete()
    assert template.cover.storage.exists(template.cover.name)


def test_cover_must_be_a_picture(staff: Any) -> None:
    template = make_template()
    with pytest.raises(ValueError, match="video/mp4"):
        covers.set_cover_from(template, make_asset(staff, content_type="video/mp4"))


def test_package_carries_a_template_to_another_installation(
    staff: Any, django_capture_on_commit_callbacks: Any
) -> None:
    template = make_template(category="People", tags=["x"], description="**Bold**", credits_cost=3)
    template.output_nodes = []
    covers.set_cover_from(template, make_asset(staff))
    version = template.versions.get()
    package = packages.write(template, version)
    WorkflowTemplate.objects.update(published_version=None)
    TemplateVersion.objects.all().delete()
    WorkflowTemplate.objects.all().delete()
    imported = importing.read(json.dumps(package).encode(), None)
    with django_capture_on_commit_callbacks(execute=True):
        made, _notes = making.create(staff, imported, object_info=None)
    assert (made.title, made.category, made.tags, made.description, made.credits_cost) == (
        "Text to image", "People", ["x"], "**Bold**", 3
    )  # fmt: skip
    draft = drafts.draft_of(made)
    assert draft.is_like(version)
    with made.cover.open("rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"revision": 99}, "newer"),
        ({"graph": None}, "no workflow"),
        ({"safety_node": "404"}, "safety node of this template package is not in its workflow"),
        ({"safety_node": 9}, "safety node of this template package is not in its workflow"),
        ({"parameters": [{"name": "x"}]}, "damaged"),
        ({"output_nodes": ["404"]}, "are not in its workflow"),
    ],
)
def test_damaged_package_is_refused(changes: Any, words: str) -> None:
    template = make_template()
    package = {**packages.write(template, template.versions.get()), **changes}
    with pytest.raises(importing.GraphError, match=words):
        packages.read(package)


@pytest.mark.parametrize("cover", ["no base64!", "aGVsbG8=", 5, "A" * 20_000_000])
def test_package_with_a_damaged_cover_is_read_without_it(cover: Any) -> None:
    template = make_template()
    package = {**packages.write(template, template.versions.get()), "cover": cover, "title": 5, "tags": "x"}
    details = packages.read(package).details
    assert not {"cover", "title", "tags"} & details.keys()


def test_results_that_are_not_kept_are_not_stored(staff: Any, owner: Any) -> None:

    template = make_template(publish=False)
    version = add_published_version(template, graph=txt2img_graph(), parameters=[], output_nodes=["9"])
    generation = make_generation(
        owner, template=template, status=Status.STORING,
        upstream_outputs={"9": {"text": ["kept"]}, "12": {"text": ["left"]}, "9.0.1": {"text": ["also"]}},
    )  # fmt: skip
    assert generation.version == version
    storing.store_outputs(str(generation.pk))
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert [each.value for each in generation.outputs.order_by("position")] == ["kept", "also"]


def test_cover_from_a_result_replaces_the_old_file(staff: Any, django_capture_on_commit_callbacks: Any) -> None:
    template = make_template()
    output = make_output(make_generation(staff, template=template, status=Status.SUCCEEDED))
    assert output.asset is not None
    covers.set_cover_from(template, output.asset)
    old = template.cover.name
    with django_capture_on_commit_callbacks(execute=True):
        covers.set_cover_from(template, output.asset)
    assert not template.cover.storage.exists(old)
