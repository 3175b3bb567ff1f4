"""A person's page in the admin: for whom, what it shows, and its buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts import standing, workspaces
from accounts.models import ApiKey, AuditEntry, User
from generations.models import Status
from tests.support.factories import make_generation, make_user


def address(person: User, name: str = "person") -> str:
    return f"/admin/accounts/user/{person.pk}/{name}/"


def test_it_shows_use_and_keys_and_nothing_of_what_was_made(admin: Client, owner: User) -> None:
    make_generation(owner, status=Status.SUCCEEDED, inputs={"prompt": "a secret prompt"})
    make_generation(owner)
    key, secret = ApiKey.objects.issue(user=owner, name="laptop")
    html = admin.get(address(owner)).content.decode()
    for words in ("1 done", "1 queued", "laptop", key.hint, owner.email, "Impersonate", "Suspend", "Never suspended"):
        assert words in html, words
    assert "a secret prompt" not in html
    assert secret not in html


def test_it_is_for_staff_who_may_view_users(
    owner: User, stranger: User, helper: Callable[..., Client], client_for: Any
) -> None:
    assert Client().get(address(owner)).status_code == 302
    assert client_for(stranger).get(address(owner), follow=True).status_code == 403
    assert helper("view_apikey").get(address(owner)).status_code == 403


def test_staff_without_further_permissions_only_look(owner: User, helper: Callable[..., Client]) -> None:
    browser = helper("view_user")
    html = browser.get(address(owner)).content.decode()
    assert "What you can do" not in html
    assert "What staff did" not in html
    for name in ("suspend", "reinstate", "sign-out", "impersonate"):
        assert browser.post(address(owner, name), {"reason": "x"}).status_code == 403
        assert browser.get(address(owner, name)).status_code == 405
    owner.refresh_from_db()
    assert not owner.is_suspended
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("name", ["suspend", "reinstate", "sign-out"])
def test_buttons_are_closed_to_everybody_else(owner: User, stranger: User, client_for: Any, name: str) -> None:
    for browser in (Client(), client_for(stranger), client_for(owner)):
        assert browser.post(address(owner, name), {"reason": "x"}).status_code == 302
    owner.refresh_from_db()
    assert not owner.is_suspended
    assert owner.session_epoch == 0


def test_suspending_and_reinstating(owner: User, helper: Callable[..., Client]) -> None:
    browser = helper("view_user", "suspend_user", "view_auditentry")
    page = browser.post(address(owner, "suspend"), {"reason": "spam"}, follow=True).content.decode()
    assert "is suspended." in page
    assert "Reinstate" in page
    assert "spam" in page
    owner.refresh_from_db()
    assert owner.is_suspended
    again = browser.post(address(owner, "suspend"), {"reason": "more"}, follow=True).content.decode()
    assert "was suspended already" in again
    page = browser.post(address(owner, "reinstate"), follow=True).content.decode()
    assert "may sign in again" in page
    owner.refresh_from_db()
    assert not owner.is_suspended
    history = [(each.verb, each.actor_label) for each in AuditEntry.objects.order_by("pk")]
    assert history == [("suspended", "helper@example.com"), ("reinstated", "helper@example.com")]
    assert "is not suspended" in browser.post(address(owner, "reinstate"), follow=True).content.decode()


@pytest.mark.parametrize("reason", ["", " ", "x" * 1001])
def test_a_suspension_needs_a_reason(owner: User, admin: Client, reason: str) -> None:
    response = admin.post(address(owner, "suspend"), {"reason": reason})
    assert response.status_code == 422
    owner.refresh_from_db()
    assert not owner.is_suspended


def test_it_shows_teams_and_roles(admin: Client, owner: User, stranger: User) -> None:
    workspaces.create_team(acting=owner, name="Painters")
    html = admin.get(address(owner)).content.decode()
    assert "Painters" in html
    assert "their own" in html
    assert "Painters" not in admin.get(address(stranger)).content.decode()


def test_it_shows_where_somebody_is_signed_in(admin: Client, owner: User) -> None:
    theirs = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"})
    theirs.post("/accounts/login/", {"login": owner.email, "password": "correct horse battery"})
    assert "Firefox on Linux" in admin.get(address(owner)).content.decode()
    admin.post(address(owner, "sign-out"))
    assert "Not signed in anywhere" in admin.get(address(owner)).content.decode()


def test_inviting_by_mail(helper: Callable[..., Client]) -> None:
    browser = helper("view_user", "add_user")
    assert "Invite somebody" in browser.get("/admin/accounts/user/").content.decode()
    assert browser.get("/admin/accounts/user/invite/").status_code == 200
    page = browser.post("/admin/accounts/user/invite/", {"email": "New@Example.com"}, follow=True).content.decode()
    assert "We sent an invitation to new@example.com." in page
    assert "Send the invitation again" in page
    person = User.objects.get(email="new@example.com")
    assert "again" in browser.post(address(person, "remind"), follow=True).content.decode()
    assert [sent.to for sent in mail.outbox] == [["new@example.com"]] * 2


@pytest.mark.parametrize("email", ["", "x", "OWNER@example.com"])
def test_an_invitation_needs_a_new_address(admin: Client, owner: User, email: str) -> None:
    response = admin.post("/admin/accounts/user/invite/", {"email": email})
    assert response.status_code == 422
    assert "errorlist" in response.content.decode()
    assert not mail.outbox


def test_inviting_is_for_staff_who_may_add_people(
    owner: User, stranger: User, helper: Callable[..., Client], client_for: Any
) -> None:
    for browser, status in ((Client(), 302), (client_for(stranger), 302), (helper("view_user"), 403)):
        assert browser.post("/admin/accounts/user/invite/", {"email": "new@example.com"}).status_code == status
        assert browser.post(address(owner, "remind")).status_code == status
    assert "Invite somebody" not in browser.get("/admin/accounts/user/").content.decode()
    assert not User.objects.filter(email="new@example.com").exists()


def test_who_has_a_password_is_not_reminded(admin: Client, owner: User) -> None:
    assert "needs no invitation" in admin.post(address(owner, "remind"), follow=True).content.decode()
    assert not mail.outbox


def test_signing_out_everywhere(owner: User, admin: Client, client_for: Any) -> None:
    theirs = client_for(owner)
    assert "signed out everywhere" in admin.post(address(owner, "sign-out"), follow=True).content.decode()
    assert theirs.get("/").status_code == 302


def test_accounts_with_powers_are_for_superusers(helper: Callable[..., Client], staff: User) -> None:
    browser = helper("view_user", "suspend_user", "impersonate_user")
    other = make_user("other@example.com", is_staff=True)
    for person in (other, staff, User.objects.get(email="helper@example.com")):
        assert "What you can do" not in browser.get(address(person)).content.decode()
        for name in ("suspend", "reinstate", "sign-out", "impersonate"):
            assert browser.post(address(person, name), {"reason": "x"}).status_code == 403


def test_a_missing_person_is_a_404(admin: Client) -> None:
    assert admin.get("/admin/accounts/user/999999/person/").status_code == 404


def test_the_list_leads_to_the_page_and_finds_the_suspended(admin: Client, owner: User, staff: User) -> None:
    make_user("fine@example.com")
    standing.suspend(owner, by=staff, reason="spam")
    html = admin.get("/admin/accounts/user/?suspended_at__isempty=0").content.decode()
    assert address(owner) in html
    assert "fine@example.com" not in html
    assert address(owner) in admin.get(f"/admin/accounts/user/{owner.pk}/change/").content.decode()


def test_the_page_costs_the_same_however_much_there_is(
    admin: Client, owner: User, staff: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(8):
        make_generation(owner)
        ApiKey.objects.issue(user=owner, name=str(number))
        standing.sign_out_everywhere(owner, by=staff)
    with django_assert_max_num_queries(22):
        admin.get(address(owner))
