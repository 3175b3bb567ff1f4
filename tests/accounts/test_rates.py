"""How many pages somebody may open: users by their plan, others by their address."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import rates
from accounts.models import Plan, User

pytestmark = pytest.mark.django_db
HOME, LOGIN = "/", "/accounts/login/"


@pytest.fixture
def two_pages(owner: User, client_for: Any) -> Client:
    """Somebody whose plan lets them open two pages a minute."""
    owner.plan = Plan.objects.create(name="Two pages", pages_per_minute=2)
    owner.save()
    client: Client = client_for(owner)
    for _ in range(2):
        assert client.get(HOME).status_code == 200
    return client


def test_a_user_who_opens_too_many_pages_reads_when_to_go_on(two_pages: Client) -> None:
    page = two_pages.get(HOME)
    assert page.status_code == 429
    assert 0 < int(page["Retry-After"]) <= 120
    html = page.content.decode()
    assert "You may open 2 pages a minute" in html
    assert "css/site.css" in html


def test_parts_of_pages_say_it_where_messages_stand(two_pages: Client) -> None:
    part = two_pages.get("/generations/", headers={"HX-Request": "true"})
    assert part.status_code == 429
    assert (part["HX-Retarget"], part["HX-Reswap"]) == ("#notices", "innerHTML")
    assert part.content.decode().strip().startswith('<p class="notice error">You may open 2 pages')
    assert "<html" not in part.content.decode()


def test_others_and_the_api_are_not_concerned(two_pages: Client, stranger: User, client_for: Any) -> None:
    assert two_pages.get(HOME).status_code == 429
    assert client_for(stranger).get(HOME).status_code == 200
    assert Client().get(LOGIN).status_code == 200
    assert two_pages.get("/api/v2/me").status_code == 200


def test_pages_of_the_api_count_too(two_pages: Client) -> None:
    for path in ("/api/docs", "/api/v2/openapi.json", "/admin/", "/account/keys/", "/nowhere/"):
        assert two_pages.get(path).status_code == 429, path


def test_no_limit_is_no_limit(owner: User, client_for: Any) -> None:
    owner.plan = Plan.objects.create(name="As they like", pages_per_minute=0)
    owner.save()
    client = client_for(owner)
    assert {client.get(HOME).status_code for _ in range(5)} == {200}


def test_visitors_are_counted_by_address(settings: Any) -> None:
    settings.ANONYMOUS_PAGES_PER_MINUTE = 2
    statuses = [Client(REMOTE_ADDR="192.0.2.1").get(LOGIN).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert Client(REMOTE_ADDR="192.0.2.2").get(LOGIN).status_code == 200
    # What the client writes itself counts for nothing without a proxy that says so.
    forged = Client(REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": "198.51.100.7"})
    assert forged.get(LOGIN).status_code == 429


def test_probes_and_static_files_are_never_refused(settings: Any) -> None:
    settings.ANONYMOUS_PAGES_PER_MINUTE = 1
    client = Client()
    assert [client.get(LOGIN).status_code for _ in range(2)] == [200, 429]
    for path in ("/healthz", "/readyz", "/static/css/site.css"):
        assert client.get(path).status_code == 200, path


def test_a_cache_that_is_away_takes_no_page_along(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.ANONYMOUS_PAGES_PER_MINUTE = 1

    def broken(*_args: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(cache, "add", broken)
    monkeypatch.setattr(rates.cache, "get", broken)
    assert [Client().get(LOGIN).status_code for _ in range(3)] == [200, 200, 200]
