"""Staff's list of generations: pages by cursor, and searches that an index answers."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from generations.admin.generations import GenerationAdmin
from generations.models import Generation, Status
from tests.support.factories import make_generation, make_user

LIST = "/admin/generations/generation/"


def shown(html: str) -> list[str]:
    return re.findall(r'name="_selected_action" value="([0-9a-f-]+)"', html) or re.findall(
        r'value="([0-9a-f-]{36})"[^>]*name="_selected_action"', html
    )


def older(html: str) -> str:
    found = re.search(r'href="(\?[^"]*)" rel="next"', html)
    return found[1].replace("&amp;", "&") if found else ""


@pytest.fixture
def seven(owner: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids, newest first, two of the same moment; three fit on a page."""
    monkeypatch.setattr(GenerationAdmin, "list_per_page", 3)
    now = timezone.now()
    for number in range(7):
        status = Status.FAILED if number % 2 else Status.QUEUED
        make_generation(owner, status=status, created_at=now - timedelta(minutes=number // 2))
    return [str(pk) for pk in Generation.objects.newest_first().values_list("pk", flat=True)]


def test_pages_have_every_generation_once_newest_first(admin: Client, seven: list[str]) -> None:
    found, address = [], "?"
    while address:
        html = admin.get(LIST + address).content.decode()
        found.append(shown(html))
        address = older(html)
    assert found == [seven[:3], seven[3:6], seven[6:]]
    assert 'href="?"' in html  # back to the newest


def test_filters_go_with_the_pages_and_begin_at_the_newest(admin: Client, seven: list[str]) -> None:
    first = admin.get(f"{LIST}?status__exact=queued").content.decode()
    rest = admin.get(LIST + older(first)).content.decode()
    queued = [str(pk) for pk in Generation.objects.filter(status="queued").newest_first().values_list("pk", flat=True)]
    assert shown(first) + shown(rest) == queued
    assert not re.search(r'href="\?[^"]*before=[^"]*status__exact', rest)


def test_a_cursor_that_is_none_leads_back_to_the_list(admin: Client, seven: list[str]) -> None:
    assert admin.get(f"{LIST}?before=nonsense").status_code == 302
    assert admin.get(f"{LIST}?before=nonsense", follow=True).status_code == 200


def test_an_order_of_ones_own_is_ignored(admin: Client, seven: list[str]) -> None:
    assert shown(admin.get(f"{LIST}?o=1").content.decode()) == seven[:3]


def test_search_finds_ids_by_their_beginning_and_owners_by_their_address(admin: Client, owner: Any) -> None:
    mine, theirs = make_generation(owner), make_generation(make_user("deadbeef@example.com"))
    for term, expected in (
        (str(mine.pk), [mine]), (str(mine.pk)[:10], [mine]), (mine.pk.hex.upper(), [mine]), ("OWNER@", [mine]),
        ("example", [theirs, mine]), ("nobody", []), (str(owner.pk + 1000), []), (" ", [theirs, mine]),
    ):  # fmt: skip
        html = admin.get(LIST, {"q": term}).content.decode()
        assert shown(html) == [str(each.pk) for each in expected], term
