"""One door: pages and operations ask for workspaces, members and invitations only as the person who asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

QUERY = re.compile(r"\b((?:Workspace|Membership|Invitation)\.(?:_default_manager|_base_manager|objects)\.(\w+))")
# `of`, `addressed_to` and `personal_of` are a person's own; `with_token` needs the secret of a link.
DOORS = {"for_member", "of", "addressed_to", "personal_of", "with_token"}
ROOMS = (
    "accounts/*_pages.py",
    "accounts/views.py",
    "accounts/current.py",
    "generations/api/**/*.py",
    "generations/web/*.py",
)


def beside_the_door(source: str) -> list[str]:
    """Queries that begin with anything but a door."""
    return [query for query, method in QUERY.findall(source) if method not in DOORS]


@pytest.mark.parametrize(
    "path", sorted({path for room in ROOMS for path in ROOT.glob(room)}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_queries_go_through_the_door(path: Path) -> None:
    assert beside_the_door(path.read_text()) == []


def test_a_query_beside_the_door_is_found() -> None:
    assert beside_the_door("Membership.objects.filter(pk=1)") == ["Membership.objects.filter"]
    assert beside_the_door("Membership.objects.for_member(user).filter(pk=1)") == []
