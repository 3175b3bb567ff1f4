"""Sentences about a workflow, which remember the node that they speak of."""

from __future__ import annotations

import json

from generations.comfy.notes import Note


def test_a_note_is_a_text_that_knows_its_node() -> None:
    note = Note("This node is muted.", "3", is_flag=False)
    assert (note, note.node_id, note.is_flag) == ("This node is muted.", "3", False)
    assert json.dumps([note]) == '["This node is muted."]'
    assert (Note("Look at this.").node_id, Note("Look at this.").is_flag) == ("", True)
