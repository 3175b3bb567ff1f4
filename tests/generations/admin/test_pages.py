"""What the admin's pages about one template have in common."""

from __future__ import annotations

import pytest

from generations.admin.pages import is_number, to_studio
from generations.models import WorkflowTemplate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", True),
        ("7", True),
        ("999999999", True),
        ("1" + "0" * 9, False),  # more than the database takes
        ("9" * 5000, False),  # more than int() takes
        ("", False),
        ("-1", False),
        ("1.5", False),
        (" 1", False),
        ("٣", False),
        ("²", False),
    ],
)
def test_numbers_are_those_that_the_database_takes(text: str, expected: bool) -> None:
    assert is_number(text) is expected


def test_a_template_leads_to_its_studio() -> None:
    response = to_studio(WorkflowTemplate(pk=7))
    assert (response.status_code, response["Location"]) == (302, "/admin/generations/workflowtemplate/7/studio/")
