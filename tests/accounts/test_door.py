"""One door: pages, operations and sockets ask for what belongs to workspaces only as the person who asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PEOPLE = ("Workspace", "Membership", "Invitation", "ApiKey")
ROWS = ("Generation", "Asset", "Output", "Webhook", "WebhookDelivery")
QUERY = re.compile(rf"\b((?:{'|'.join(PEOPLE + ROWS)})\.(?:_default_manager|_base_manager|objects)\.(\w+))")
AT_ONCE = re.compile(rf"(get_(?:object|list)_or_404\((?:{'|'.join(PEOPLE + ROWS)}))\s*[,)]")
# `in_workspace` and `looked_after_by` are given what `accounts.current` found among the person's workspaces. `of`,
# `addressed_to` and `personal_of` are a person's own; `with_token` needs the secret of a link, `is_of_dissolving`
# that of a key.
DOORS = {"for_member", "in_workspace", "looked_after_by", "issue", "of", "addressed_to", "personal_of"}
DOORS |= {"with_token", "is_of_dissolving"}
ROOMS = (
    "accounts/*_pages.py",
    "accounts/views.py",
    "accounts/current.py",
    "generations/api/**/*.py",
    "generations/web/*.py",
    "generations/live/*.py",
    "generations/files/delivery.py",
)


STAFF = {  # what only staff get to
    "generations/api/people.py": {
        "Generation.objects.made_by",  # numbers of a person
        "get_object_or_404(Workspace",  # that has no owner who can sign in
    },
    "generations/api/templates.py": {"Workspace.objects.open"},  # for which a template is
}


def beside_the_door(source: str) -> list[str]:
    """Queries that begin with anything but a door."""
    queries = [query for query, method in QUERY.findall(source) if method not in DOORS]
    return queries + AT_ONCE.findall(source)


@pytest.mark.parametrize(
    "path", sorted({path for room in ROOMS for path in ROOT.glob(room)}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_queries_go_through_the_door(path: Path) -> None:
    allowed = STAFF.get(str(path.relative_to(ROOT)), set())
    assert [each for each in beside_the_door(path.read_text()) if each not in allowed] == []


def test_a_query_beside_the_door_is_found() -> None:
    assert beside_the_door("Membership.objects.filter(pk=1)") == ["Membership.objects.filter"]
    assert beside_the_door("Membership.objects.for_member(user).filter(pk=1)") == []
    assert beside_the_door("Output.objects.filter(pk=1)") == ["Output.objects.filter"]
    assert beside_the_door("get_object_or_404(Webhook, pk=1)") == ["get_object_or_404(Webhook"]
