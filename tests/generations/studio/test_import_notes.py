"""What an import says stays with the draft, until somebody looked at it or another workflow comes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from django.utils import timezone

from generations.comfy.notes import Note
from generations.models import TemplateDraft, WorkflowTemplate
from generations.studio import drafts, editing, importing, intake, making, publishing
from generations.studio.importing import Imported
from tests.support.factories import CHECKPOINT, make_server, make_user, txt2img_graph
from tests.support.threads import AT_ONCE, at_once
from tests.support.workflows import OBJECT_INFO, editor_workflow, with_models

pytestmark = pytest.mark.django_db
LEFT_OUT = Note("Sticky (node 3): Left out.", "3")
GONE = Note("The author wanted users to set “text” of node 99, which is not in the file; they cannot set it.")
CHOSE = Note("Taken from the workflow's app mode: 1 setting.", is_flag=False)


@pytest.fixture(autouse=True)
def _server(db: None) -> None:
    make_server(object_info=with_models(CHECKPOINT), object_info_at=timezone.now())


def flagged(user: Any, *notes: Note) -> WorkflowTemplate:
    imported = Imported(txt2img_graph(), notes=list(notes))
    made, _notes = making.create(user, imported, object_info=OBJECT_INFO)
    return made


def ids(template: WorkflowTemplate) -> list[str]:
    return [flag["id"] for flag in drafts.draft_of(template).flags]


def texts(notes: Any) -> list[str]:
    return [note["text"] for note in notes]


def publish(template: WorkflowTemplate, user: Any, **options: Any) -> Any:
    return publishing.publish(template, None, user=user, object_info=OBJECT_INFO, **options)


def test_note_is_its_sentence_and_keeps_its_node_in_copies() -> None:
    assert LEFT_OUT == "Sticky (node 3): Left out."
    for each in (copy.deepcopy(LEFT_OUT), pickle.loads(pickle.dumps(LEFT_OUT))):
        assert (each, each.node_id, each.is_flag) == (LEFT_OUT, "3", True)


def test_notes_of_an_import_stay_with_the_draft_with_their_nodes(staff: Any) -> None:
    draft = drafts.draft_of(flagged(staff, LEFT_OUT, CHOSE, GONE))
    assert [(each["text"], each["node_id"], each["is_checked"]) for each in draft.flags] == [
        (LEFT_OUT, "3", False),
        (GONE, "", False),
    ]
    assert texts(draft.remarks) == [CHOSE]


def test_flags_are_ticked_off_one_by_one_all_at_once_and_back(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT, CHOSE, GONE)
    first, second = ids(template)
    drafts.tick_off(template, [first], is_checked=True)
    assert texts(drafts.draft_of(template).open_flags) == [GONE]
    drafts.tick_off(template, None, is_checked=True)
    assert drafts.draft_of(template).open_flags == []
    drafts.tick_off(template, [second], is_checked=False)
    assert texts(drafts.draft_of(template).open_flags) == [GONE]
    assert [note["is_checked"] for note in drafts.draft_of(template).remarks] == [False]


def test_ticking_off_changes_nothing_that_is_published(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT)
    before = drafts.draft_of(template).revision
    drafts.tick_off(template, None, is_checked=True)
    assert drafts.draft_of(template).revision == before
    publish(template, staff, revision=before)


def test_other_changes_of_the_draft_leave_flags_alone(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT, GONE)
    drafts.tick_off(template, ids(template)[:1], is_checked=True)
    before = drafts.draft_of(template).notes
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    assert drafts.draft_of(template).notes == before


def test_next_import_has_flags_of_its_own_even_with_the_same_words(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT, GONE)
    old = ids(template)
    drafts.tick_off(template, None, is_checked=True)
    intake.put(template, staff, Imported(txt2img_graph(), notes=[GONE]), object_info=OBJECT_INFO)
    assert texts(drafts.draft_of(template).open_flags) == [GONE]
    assert drafts.tick_off(template, old[1:], is_checked=True) is None  # from a page that shows the import before
    assert texts(drafts.draft_of(template).open_flags) == [GONE]
    intake.put(template, staff, Imported(txt2img_graph()), object_info=OBJECT_INFO)
    assert drafts.draft_of(template).notes == []


def test_setting_that_a_new_workflow_has_no_place_for_is_a_flag(staff: Any) -> None:
    template = flagged(staff)
    label = drafts.draft_of(template).parameters[0]["label"]
    smaller = {node_id: node for node_id, node in txt2img_graph().items() if node_id != "6"}
    intake.put(template, staff, Imported(smaller), object_info=OBJECT_INFO)
    sentence = f"The new workflow has no place for {label}: users can no longer set it."
    assert texts(drafts.draft_of(template).open_flags) == [sentence]


def test_what_servers_differ_about_is_a_flag_at_its_node(staff: Any) -> None:
    newer = copy.deepcopy(with_models(CHECKPOINT))
    newer["KSampler"]["input"]["required"]["guidance"] = ["FLOAT", {"default": 1.0}]
    make_server("newer", "http://127.0.0.1:2", object_info=newer)
    flags = drafts.draft_of(flagged(staff)).open_flags
    assert [flag["node_id"] for flag in flags] == ["3"]
    assert "newer requires the input “guidance”" in flags[0]["text"]


def test_open_flags_keep_a_draft_from_being_published_until_they_are_ticked_off_or_accepted(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT, GONE, CHOSE)
    with pytest.raises(publishing.UncheckedError, match="There are 2 things to check in this workflow first") as caught:
        publish(template, staff)
    assert texts(caught.value.flags) == [LEFT_OUT, GONE]
    assert not template.versions.exists()  # nothing is left of the attempt
    drafts.tick_off(template, ids(template)[:1], is_checked=True)
    with pytest.raises(publishing.UncheckedError, match="There is 1 thing to check"):
        publish(template, staff)
    assert publish(template, staff, are_flags_accepted=True).number == 1
    assert publish(flagged(staff, CHOSE), staff).number == 1


def test_confirming_that_no_server_can_run_it_accepts_no_flags(staff: Any) -> None:
    with pytest.raises(publishing.UncheckedError):
        publish(flagged(staff, LEFT_OUT), staff, is_confirmed=True)


def test_version_that_was_tried_is_kept_back_by_the_flags_of_its_workflow(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT)
    version = publishing.freeze(template, staff, object_info=OBJECT_INFO)
    with pytest.raises(publishing.UncheckedError):
        publishing.publish(template, version, user=staff, object_info=OBJECT_INFO)
    drafts.restore(template, staff, version)
    assert texts(drafts.draft_of(template).open_flags) == [LEFT_OUT]  # it is the same workflow
    drafts.tick_off(template, None, is_checked=True)
    assert publishing.publish(template, version, user=staff, object_info=OBJECT_INFO) == version


def test_old_version_of_another_workflow_has_no_flags(staff: Any) -> None:
    template = flagged(staff)
    version = publish(template, staff)
    other = txt2img_graph()
    other["3"]["inputs"]["steps"] = 7
    intake.put(template, staff, Imported(other, notes=[GONE]), object_info=OBJECT_INFO)
    assert publishing.publish(template, version, user=staff, object_info=OBJECT_INFO) == version
    assert drafts.restore(template, staff, version).notes == []


def test_copy_of_a_template_has_its_flags(staff: Any) -> None:
    template = flagged(staff, LEFT_OUT)
    made = making.duplicate(template, staff)
    drafts.tick_off(made, None, is_checked=True)
    assert texts(drafts.draft_of(template).open_flags) == [LEFT_OUT]


def test_draft_that_is_not_saved_has_nothing_to_tick_off(staff: Any) -> None:
    template = flagged(staff)
    publish(template, staff)
    assert drafts.tick_off(template, None, is_checked=True) is None
    assert not TemplateDraft.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_ticks_and_changes_at_the_same_time_undo_none_of_each_other() -> None:
    user = make_user("editor@example.com", is_staff=True)
    template = flagged(user, *(Note(f"Note {number}", "3") for number in range(AT_ONCE)))
    left, before = ids(template), drafts.draft_of(template).revision

    def run() -> None:
        own = left.pop()
        drafts.change(template, None, lambda draft: None)
        drafts.tick_off(template, [own], is_checked=True)

    assert at_once(run) == [None] * AT_ONCE
    draft = drafts.draft_of(template)
    assert (draft.open_flags, draft.revision) == ([], before + AT_ONCE)


def test_what_convert_and_app_mode_flag_names_its_node() -> None:
    workflow = editor_workflow()
    workflow.setdefault("extra", {})["linearData"] = {
        "inputs": [["3", "steps"], ["3", "no_such_input"], ["99", "text"]],
        "outputs": ["6"],
    }
    workflow["nodes"].append({"id": 50, "type": "Sticky", "title": "Remember", "mode": 0, "inputs": [], "outputs": []})
    notes = importing.read(json.dumps(workflow).encode(), OBJECT_INFO).notes
    assert [(each.node_id, each.is_flag) for each in notes] == [
        ("50", True), ("", False), ("3", True), ("", True), ("6", True),
    ]  # fmt: skip
