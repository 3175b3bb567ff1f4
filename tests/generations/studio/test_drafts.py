"""A draft is beside what users run, and begins as a version."""

from __future__ import annotations

from typing import Any

import pytest

from generations.studio import drafts, editing, publishing
from tests.support.drafts import parameter_names
from tests.support.factories import add_published_version, make_template

pytestmark = pytest.mark.django_db


def test_draft_leaves_what_users_run_alone(staff: Any) -> None:
    template = make_template()
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    template.refresh_from_db()
    assert template.published_version is not None
    assert "prompt" in [each["name"] for each in template.published_version.parameters]
    assert "prompt" not in parameter_names(drafts.draft_of(template))


def test_version_from_before_there_were_roles_has_them_and_counts_as_unchanged(staff: Any) -> None:
    template = make_template()
    version = template.published_version
    assert version is not None and "role" not in version.parameters[0]
    assert [each.role for each in version.parsed_parameters][:2] == ["prompt", "negative_prompt"]
    draft = drafts.change(template, staff, lambda draft: None)
    assert draft.parameters[0]["role"] == "prompt"
    assert draft.is_like(version)
    assert publishing.freeze(template, staff, object_info=None) == version


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
