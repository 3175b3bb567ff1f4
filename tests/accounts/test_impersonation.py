"""Sessions of staff at work as somebody else. What is open to them is in `tests/comfysaas/test_impersonating.py`."""

from __future__ import annotations

import time
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory

from accounts import audit, impersonation
from accounts.access import Access
from accounts.impersonation import Impersonation
from accounts.models import AuditEntry, User, access_changed
from accounts.standing import OutOfReachError
from tests.support.factories import make_user


def request_of(user: User, client: Client) -> Any:
    """A request with the session of this browser."""
    request: Any = RequestFactory().post("/")
    request.user, request.session = user, SessionStore(client.session.session_key)
    request.session.load()
    request.session.accessed = True
    return request


@pytest.fixture
def request_of_staff(staff: User, client_for: Any) -> Any:
    """A request of staff who are signed in."""
    return request_of(staff, client_for(staff))


def test_the_session_becomes_that_persons_and_comes_back_as_it_was(request_of_staff: Any, owner: User) -> None:
    session = request_of_staff.session
    session["workspace"] = "mine"
    before = dict(session.items())
    impersonation.start(request_of_staff, owner, reason="ticket")
    found = Impersonation.of(session)
    assert found is not None
    assert (found.person_id, found.kept) == (owner.pk, before)
    assert "workspace" not in session
    assert Access(owner.pk, session_key=session.session_key).holds()
    assert impersonation.end(request_of_staff, why=impersonation.ASKED) == found
    assert dict(session.items()) == before
    assert impersonation.end(request_of_staff, why=impersonation.ASKED) is None


def test_what_is_open_on_both_sides_is_told(request_of_staff: Any, owner: User, staff: User) -> None:
    heard: list[int] = []

    def hear(user_id: int, **_: Any) -> None:
        heard.append(user_id)

    access_changed.connect(hear)
    try:
        impersonation.start(request_of_staff, owner, reason="ticket")
    finally:
        access_changed.disconnect(hear)
    assert heard == [owner.pk, staff.pk]


def test_an_hour_is_the_longest(request_of_staff: Any, owner: User) -> None:
    impersonation.start(request_of_staff, owner, reason="ticket")
    found = Impersonation.of(request_of_staff.session)
    assert found is not None
    assert 3500 < found.until - time.time() <= 3600
    assert not found.is_over
    assert AuditEntry.objects.get().details == {"reason": "ticket", "for_seconds": 3600.0}


def test_what_cannot_be_logged_does_not_begin(
    request_of_staff: Any, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(AuditEntry.objects, "create", fail)
    with pytest.raises(RuntimeError):
        impersonation.start(request_of_staff, owner, reason="ticket")
    assert Impersonation.of(request_of_staff.session) is None


def test_who_may(owner: User, staff: User) -> None:
    helper = make_user("helper@example.com", is_staff=True)
    for by, person in ((helper, owner), (staff, staff), (owner, helper)):
        with pytest.raises(OutOfReachError):
            impersonation.ensure_may(by, person)
    impersonation.ensure_may(staff, owner)
    impersonation.ensure_may(staff, helper)


def test_an_ordinary_session_holds_at_no_cost(owner: User, client_for: Any, django_assert_num_queries: Any) -> None:
    session = client_for(owner).session
    assert session.get("impersonation") is None  # reads it, as every request of a browser does
    with django_assert_num_queries(0):
        assert impersonation.holds(session)


def test_signing_out_is_noted_as_the_end(request_of_staff: Any, owner: User) -> None:
    impersonation.note_sign_out(None, request_of_staff)
    impersonation.note_sign_out(None, None)
    assert not AuditEntry.objects.exists()
    impersonation.start(request_of_staff, owner, reason="ticket")
    impersonation.note_sign_out(None, request_of_staff)
    last = AuditEntry.objects.order_by("pk").last()
    assert last is not None
    assert last.verb == audit.IMPERSONATION_ENDED


def test_staff_are_none_of_the_persons_sessions(staff: User, owner: User, client_for: Any) -> None:
    browser = client_for(staff)
    browser.post(f"/admin/accounts/user/{owner.pk}/impersonate/", {"reason": "ticket"})
    browser.get("/generations/")
    assert not UserSession.objects.filter(user=owner).exists()
