"""New templates and copies of templates."""

from __future__ import annotations

from typing import Any

import pytest

from generations.models import WorkflowTemplate
from generations.studio import checks, covers, drafts, editing, making
from generations.studio.importing import Imported
from tests.support.drafts import by_the_author, checked_graph, new_template, parameter_names
from tests.support.factories import make_asset, make_template
from tests.support.workflows import OBJECT_INFO

pytestmark = pytest.mark.django_db


def test_new_template_is_a_draft_with_proposals(staff: Any) -> None:
    template = new_template(staff, source="my_first-workflow.json")
    assert (template.title, template.slug) == ("My First Workflow", "my-first-workflow")
    assert template.published_version is None and not template.versions.exists()
    draft = drafts.draft_of(template)
    assert parameter_names(draft)[:2] == ["prompt", "negative_prompt"]
    assert (draft.source, draft.changed_by) == ("my_first-workflow.json", staff)
    assert WorkflowTemplate.objects.published().count() == 0


def test_addresses_are_unique(staff: Any) -> None:
    assert [new_template(staff, title="Same").slug for _ in range(3)] == ["same", "same-2", "same-3"]
    assert new_template(staff, title="日本").slug == "template"


def test_what_the_author_chose_is_what_users_set(staff: Any) -> None:
    template, _notes = making.create(staff, by_the_author("3.steps", "6.text"), object_info=OBJECT_INFO)
    draft = drafts.draft_of(template)
    assert (parameter_names(draft), draft.output_nodes) == (["steps", "prompt"], ["9"])
    assert checks.faults(draft, OBJECT_INFO) == {}


def test_node_that_shows_what_a_checker_found_tells_whether_results_are_safe(staff: Any) -> None:
    graph, info = checked_graph()
    template, _notes = making.create(staff, Imported(graph), object_info=info)
    assert drafts.draft_of(template).safety_node == "21"
    graph["21"]["inputs"]["source"] = ["20", 0]  # a picture is no verdict
    other, _notes = making.create(staff, Imported(graph), object_info=info)
    assert drafts.draft_of(other).safety_node == ""


def test_copy_has_the_draft_the_groups_and_a_cover_of_its_own(staff: Any) -> None:
    template = make_template(category="People", tags=["x"])
    covers.set_cover_from(template, make_asset(staff))
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    copied = making.duplicate(template, staff)
    assert (copied.title, copied.slug, copied.category) == ("Text to image (copy)", "text-to-image-copy", "People")
    assert copied.published_version is None
    assert parameter_names(drafts.draft_of(copied)) == parameter_names(drafts.draft_of(template))
    assert copied.cover.name != template.cover.name
    copied.cover.delete()
    assert template.cover.storage.exists(template.cover.name)
