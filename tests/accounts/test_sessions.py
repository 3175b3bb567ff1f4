"""Sessions: what somebody sees of them, and that ending one ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts.models import User
from accounts.sessions import Activity, browser_of
from tests.accounts.guessing import PASSWORD, sign_in

pytestmark = pytest.mark.django_db
PAGE = "/accounts/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def browser(user: User, user_agent: str = FIREFOX) -> Client:
    client = Client(headers={"user-agent": user_agent})
    sign_in(client, user.email, PASSWORD)
    return client


def is_signed_in(client: Client) -> bool:
    return client.get("/account/keys/").status_code == 200


def test_the_page_lists_the_users_own_sessions(owner: User, stranger: User) -> None:
    browser(stranger, "curl/8.5")
    browser(owner, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0")
    page = browser(owner).get(PAGE).content.decode()
    assert "Firefox on Linux" in page
    assert "Edge on Windows" in page
    assert "curl" not in page
    assert page.count("This browser") == 1
    assert "203.0.113.1" in page
    assert Client().get(PAGE).status_code == 302


@pytest.mark.parametrize(("which", "left"), [("others", [True, False]), ("all", [False, False])])
def test_signing_out_everywhere(owner: User, stranger: User, which: str, left: list[bool]) -> None:
    mine, other, others = browser(owner), browser(owner), browser(stranger)
    assert mine.post(PAGE, {"end": which}).status_code == 302
    assert [is_signed_in(client) for client in (mine, other, others)] == [*left, True]


def test_one_session_is_ended_alone(owner: User) -> None:
    mine, other, third = browser(owner), browser(owner), browser(owner)
    session = UserSession.objects.get(session_key=other.session.session_key)
    mine.post(PAGE, {"end": session.pk})
    assert [is_signed_in(client) for client in (mine, other, third)] == [True, False, True]


@pytest.mark.parametrize("end", ["", "x", "-1", "999999999", "9" * 30])
def test_what_is_no_session_is_a_404(owner: User, end: str) -> None:
    assert browser(owner).post(PAGE, {"end": end}).status_code == 404


def test_somebody_elses_session_is_a_404(owner: User, stranger: User) -> None:
    mine, other = browser(owner), browser(stranger)
    session = UserSession.objects.get(session_key=other.session.session_key)
    assert mine.post(PAGE, {"end": session.pk}).status_code == 404
    assert is_signed_in(other)


def test_what_is_open_in_an_ended_session_hears_of_it(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _other = browser(owner), browser(owner)
    told: list[int] = []
    monkeypatch.setattr("generations.live.publisher.announce_access", told.append)
    mine.post(PAGE, {"end": "others"})
    assert told == [owner.pk]


def test_signing_in_begins_a_session_of_its_own(owner: User) -> None:
    """Nobody can give somebody a session beforehand and be signed in with them."""
    client = Client()
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies["sessionid"] = planted = session.session_key
    sign_in(client, owner.email, PASSWORD)
    assert client.cookies["sessionid"].value != planted
    other = Client()
    other.cookies["sessionid"] = planted
    assert not is_signed_in(other)


def test_sessions_that_were_there_before_are_listed_once_they_are_used(owner: User, client_for: Any) -> None:
    client = client_for(owner)
    UserSession.objects.all().delete()
    cache.clear()
    client.get("/")
    assert UserSession.objects.get().user == owner


def test_last_seen_is_written_now_and_then_and_not_with_each_request(
    owner: User, django_assert_num_queries: Any
) -> None:
    client = browser(owner)
    client.get("/account/keys/")
    long_ago = timezone.now() - timedelta(hours=1)
    UserSession.objects.update(last_seen_at=long_ago)
    client.get("/account/keys/")
    assert UserSession.objects.get().last_seen_at == long_ago
    cache.clear()
    client.get("/account/keys/")
    assert UserSession.objects.get().last_seen_at > long_ago


@pytest.mark.parametrize(
    ("proxies", "forwarded_for", "peer", "shown"),
    [
        (0, "", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9, 198.51.100.7", "10.0.0.1", "198.51.100.7"),
        (2, "198.51.100.7", "10.0.0.1", "10.0.0.1"),  # came past the outer proxy
        (1, "198.51.100.7:4711", "10.0.0.1", "0.0.0.0"),
        (1, "nonsense", "10.0.0.1", "0.0.0.0"),
        (0, "", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (0, "", "", "0.0.0.0"),  # a socket of the machine itself
    ],
)
def test_people_sign_in_from_wherever_they_are(
    owner: User, settings: Any, *, proxies: int, forwarded_for: str, peer: str, shown: str
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    client = Client(headers={"x-forwarded-for": forwarded_for} if forwarded_for else {})
    assert sign_in(client, owner.email, PASSWORD, peer)["Location"] == "/"
    assert UserSession.objects.get().ip == shown


def test_staff_at_work_as_somebody_leave_no_session_of_theirs(owner: User, client_for: Any) -> None:
    client = client_for(owner)
    session = client.session
    session["impersonation"] = {"person_id": owner.pk, "staff_id": 0, "until": 0.0, "kept": {}}
    session.save()
    request = RequestFactory().get("/")
    request.session, request.user = session, owner
    request.COOKIES["sessionid"] = session.session_key
    Activity(lambda _: HttpResponse()).process_request(request)
    assert not UserSession.objects.exists()


def test_a_cache_that_is_away_signs_nobody_out(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(owner)

    def fail(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr("accounts.sessions.cache.add", fail)
    assert is_signed_in(client)


@pytest.mark.parametrize(
    ("user_agent", "shown"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Mobile Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5", "curl"),
        ("Mozilla/5.0 (Windows NT 10.0)", "Windows"),
        ("a program " * 9, "a program a program a program a program "),
        ("", "Unknown browser"),
    ],
)
def test_browsers_are_named_in_few_words(user_agent: str, shown: str) -> None:
    assert browser_of(user_agent) == shown
