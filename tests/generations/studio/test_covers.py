"""Covers of templates."""

from __future__ import annotations

from typing import Any

import pytest

from generations.models import Status
from generations.studio import covers
from tests.support.factories import make_asset, make_generation, make_output, make_template

pytestmark = pytest.mark.django_db


def test_cover_must_be_a_picture(staff: Any) -> None:
    template = make_template()
    with pytest.raises(ValueError, match="video/mp4"):
        covers.set_cover_from(template, make_asset(staff, content_type="video/mp4"))


def test_cover_from_a_result_replaces_the_old_file(staff: Any, django_capture_on_commit_callbacks: Any) -> None:
    template = make_template()
    output = make_output(make_generation(staff, template=template, status=Status.SUCCEEDED))
    assert output.asset is not None
    covers.set_cover_from(template, output.asset)
    old = template.cover.name
    with django_capture_on_commit_callbacks(execute=True):
        covers.set_cover_from(template, output.asset)
    assert not template.cover.storage.exists(old)
