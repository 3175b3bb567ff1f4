"""Links are those that `reverse` makes, wherever the site is mounted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.urls import get_script_prefix, reverse, set_script_prefix

from generations.live.links import link


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    prefix = get_script_prefix()
    yield
    set_script_prefix(prefix)


@pytest.mark.parametrize("prefix", ["/", "/studio/"])
@pytest.mark.parametrize("name", ["asset", "asset-thumbnail", "api:getJob", "api:getJobEvents", "api:getAssetContent"])
def test_a_link_is_what_django_makes(name: str, prefix: str) -> None:
    set_script_prefix(prefix)
    for pk in (uuid.uuid4(), uuid.uuid4()):
        assert link(name, pk) == reverse(name, args=[pk])
        assert link(name, pk).startswith(prefix)
