"""What the studio's page shows anew after each change of a draft."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from generations.admin.parts import changing_parts
from generations.comfy.notes import Note
from generations.models import TemplateDraft, WorkflowTemplate
from generations.studio import drafts
from tests.support.factories import make_template
from tests.support.workflows import OBJECT_INFO

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("server")]


@pytest.fixture
def template(db: None) -> WorkflowTemplate:
    return make_template()


def parts_of(draft: TemplateDraft) -> dict[str, Any]:
    return changing_parts(draft.template, draft, OBJECT_INFO)


def test_a_draft_is_changed_as_soon_as_it_differs_from_what_users_run(template: WorkflowTemplate, staff: User) -> None:
    parts = parts_of(drafts.draft_of(template))
    assert (parts["is_changed"], parts["has_versions"], parts["published"]) == (
        False, True, template.published_version
    )  # fmt: skip
    assert (parts["fault_count"], parts["general_faults"]) == (0, [])

    def rename(draft: TemplateDraft) -> None:
        draft.parameters[0]["label"] = "What to draw"

    parts = parts_of(drafts.change(template, staff, rename))
    assert parts["is_changed"]
    assert parts["cards"][0].definition["label"] == "What to draw"
    assert {"node_id": "6", "input_name": "text", "label": "What to draw"} in parts["exposed"]


def test_faults_are_counted_and_those_of_the_whole_workflow_stand_apart(
    template: WorkflowTemplate, staff: User
) -> None:
    def break_it(draft: TemplateDraft) -> None:
        draft.parameters[3] |= {"minimum": 9, "maximum": 1}

    assert parts_of(drafts.change(template, staff, break_it))["fault_count"] >= 1

    def empty(draft: TemplateDraft) -> None:
        draft.graph, draft.parameters = {}, []

    parts = parts_of(drafts.change(template, staff, empty))
    assert (parts["fault_count"], parts["general_faults"]) == (0, ["There is no workflow yet."])
    assert (parts["cards"], parts["reports"], parts["is_unfit"]) == ([], [], True)


def test_a_draft_that_no_server_can_run_says_so(template: WorkflowTemplate, staff: User) -> None:
    def need_more(draft: TemplateDraft) -> None:
        draft.graph["20"] = {"class_type": "SaveSticker", "inputs": {"images": ["8", 0]}}

    parts = parts_of(drafts.change(template, staff, need_more))
    assert parts["is_unfit"] and parts["is_unfit_as_it_is"]
    assert any("SaveSticker" in lacking for report in parts["reports"] for lacking in report.missing)


def test_flags_know_whether_their_node_is_still_there(template: WorkflowTemplate, staff: User) -> None:
    def note(draft: TemplateDraft) -> None:
        draft.take_notes([Note("Look", "3"), Note("It is gone", "99"), Note("By the way", "3", is_flag=False)])

    flags = parts_of(drafts.change(template, staff, note))["flags"]
    assert [(flag["text"], is_there) for flag, is_there in flags] == [("Look", True), ("It is gone", False)]
