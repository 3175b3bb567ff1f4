"""What keeps a draft from becoming a version."""

from __future__ import annotations

from typing import Any

import pytest

from generations.models import WorkflowTemplate
from generations.studio import checks, drafts, editing, publishing
from tests.support.drafts import new_template, parameter_names
from tests.support.workflows import OBJECT_INFO

pytestmark = pytest.mark.django_db


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
    position = parameter_names(draft).index(name)
    drafts.change(
        template, staff, lambda draft: editing.redefine(draft, position, {**draft.parameters[position], **changes})
    )
    with pytest.raises(publishing.DraftError, match=words):
        publishing.publish(template, None, user=staff, object_info=OBJECT_INFO)
    assert not template.versions.exists()
    assert checks.valid_parameters(drafts.draft_of(template))  # the others can be previewed


def test_empty_draft_is_no_version(staff: Any) -> None:
    template = WorkflowTemplate.objects.create(slug="x", title="X")
    with pytest.raises(publishing.DraftError, match="no workflow"):
        publishing.freeze(template, staff, object_info=None)
