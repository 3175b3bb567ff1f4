"""What a draft keeps of its import's notes, and whether it is like a version."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.notes import Note
from generations.models import TemplateDraft, TemplateVersion
from tests.support.drafts import drafted
from tests.support.factories import txt2img_graph, txt2img_parameters


@pytest.fixture
def draft() -> TemplateDraft:
    """Two flags and a remark, not saved."""
    found = drafted()
    found.take_notes([Note("Look at this", "3"), Note("By the way", is_flag=False), Note("And at that", "4")])
    return found


def texts(notes: Any) -> list[str]:
    return [note["text"] for note in notes]


def test_flags_are_open_until_somebody_ticks_them_off(draft: TemplateDraft) -> None:
    assert texts(draft.flags) == texts(draft.open_flags) == ["Look at this", "And at that"]
    assert texts(draft.remarks) == ["By the way"]
    first = draft.flags[0]["id"]
    draft.tick_off([first], is_checked=True)
    assert (texts(draft.open_flags), texts(draft.flags)) == (["And at that"], ["Look at this", "And at that"])
    draft.tick_off([first], is_checked=False)
    assert len(draft.open_flags) == 2


def test_only_flags_are_ticked_off_and_only_those_that_are_meant(draft: TemplateDraft) -> None:
    before = draft.notes
    draft.tick_off([draft.remarks[0]["id"], "no note", ""], is_checked=True)
    assert draft.notes == before


def test_another_import_leaves_nothing_of_the_notes_before(draft: TemplateDraft) -> None:
    draft.tick_off([note["id"] for note in draft.notes], is_checked=True)
    ids = {note["id"] for note in draft.notes}
    draft.take_notes([Note("Look at this", "3")])
    assert texts(draft.notes) == texts(draft.open_flags) == ["Look at this"]
    assert draft.notes[0]["id"] not in ids  # a tick that is on its way in a browser hits nothing


@pytest.mark.parametrize(
    "changes",
    [
        {"graph": {}},
        {"parameters": []},
        {"output_nodes": ["9"]},
        {"safety_node": "9"},
        {"editor": {"6": {}}},
    ],
)
def test_a_draft_is_like_a_version_until_something_that_runs_is_changed(changes: dict[str, Any]) -> None:
    content = {"graph": txt2img_graph(), "parameters": txt2img_parameters()}
    version = TemplateVersion(**content)
    draft = drafted(parameters=txt2img_parameters(), source="cats.png", revision=7)
    assert draft.is_like(version)
    assert not draft.is_like(None)
    assert not draft.is_like(TemplateVersion(**content | changes))
