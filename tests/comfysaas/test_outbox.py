"""The outbox: staff of a site for one machine read its mails there; nobody else finds the page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Permission
from django.core.mail import send_mail
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.models.outgoing_mail import OutgoingMail
from tests.accounts.guessing import PASSWORD, sign_in
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def without_a_server(settings: Any) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "comfysaas.mail.Outbox", ""
    settings.SIGNUP_OPEN, settings.IS_CLUSTER = True, False


def opened(client: Client, mail: OutgoingMail | None = None) -> str:
    """The page of this mail, or of the newest one; "" when it is not shown."""
    page = client.get(f"/outbox/{(mail or OutgoingMail.objects.latest('created_at')).pk}/")
    return page.content.decode() if page.status_code == 200 else ""


def make_helper() -> User:
    """Staff without all powers, who may impersonate people."""
    helper = make_user("helper@example.com", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="impersonate_user"))
    return helper


def test_nobody_but_staff_finds_the_page(owner: User, staff: User, client_for: Any) -> None:
    clients = [Client(), client_for(owner), client_for(staff)]
    assert [client.get("/outbox/").status_code for client in clients] == [404, 404, 200]
    assert client_for(staff).post("/outbox/").status_code == 405


def test_a_cluster_has_none(settings: Any, admin: Any) -> None:
    settings.IS_CLUSTER = True
    assert admin.get("/outbox/").status_code == 404
    assert 'href="/outbox/"' not in admin.get("/").content.decode()


def test_the_page_is_linked_for_staff_alone(admin: Any, owner: User, client_for: Any) -> None:
    assert 'href="/outbox/"' in admin.get("/").content.decode()
    assert 'href="/outbox/"' not in client_for(owner).get("/").content.decode()


def test_the_whole_flow_works_without_a_mail_server(admin: Any) -> None:
    new = Client()
    data = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
    new.post("/accounts/signup/", data)
    assert "new@example.com" in admin.get("/outbox/").content.decode()
    box = opened(admin)
    link = re.search(r'href="http://127\.0\.0\.1:8000(/accounts/confirm-email/[^"]+)"', box)
    assert link is not None
    assert "Confirm the address" not in Client().get(link[1]).content.decode()
    Client().post(link[1])
    assert sign_in(Client(), "new@example.com", PASSWORD)["Location"] == "/"


def test_staff_without_all_powers_do_not_read_mails_that_open_accounts_with_powers(
    staff: User, owner: User, client_for: Any
) -> None:
    helper = make_helper()
    for user in (staff, owner):
        Client().post("/accounts/password/reset/", {"email": user.email.upper()})
    read = {user: [opened(client_for(user), mail) for mail in OutgoingMail.objects.all()] for user in (staff, helper)}
    assert [sum("/password/reset/key/" in page for page in pages) for pages in read.values()] == [2, 1]
    listed = client_for(helper).get("/outbox/").content.decode()
    assert listed.count('href="/outbox/') - listed.count('href="/outbox/"') == 1
    assert "/password/reset/key/" not in listed


def test_only_staff_who_may_impersonate_people_read_what_opens_their_accounts(owner: User, client_for: Any) -> None:
    helper = make_user("helper@example.com", is_staff=True)
    for user in (owner, helper):
        Client().post("/accounts/password/reset/", {"email": user.email})
    client, mails = client_for(helper), list(OutgoingMail.objects.order_by("created_at"))
    assert ["/password/reset/key/" in opened(client, mail) for mail in mails] == [False, True]
    page = client.get("/outbox/").content.decode()
    assert owner.email in page
    assert f"/outbox/{mails[0].pk}/" not in page
    assert not AuditEntry.objects.exists()


def test_an_address_that_is_only_claimed_makes_no_mail_ones_own(owner: User, client_for: Any) -> None:
    helper = make_user("helper@example.com", is_staff=True)
    EmailAddress.objects.create(user=helper, email="claimed@example.com", verified=False)
    send_mail("Subject", "Body", "site@example.com", ["claimed@example.com"])
    assert not opened(client_for(helper))


def test_with_a_mail_server_there_is_none(settings: Any, admin: Any) -> None:
    settings.EMAIL_HOST = "mail.example.com"
    send_mail("A subject", "A secret body", "site@example.com", ["anna@example.com"])
    mail = OutgoingMail.objects.get()
    assert [admin.get(path).status_code for path in ("/outbox/", f"/outbox/{mail.pk}/")] == [404, 404]
    assert 'href="/outbox/"' not in admin.get("/").content.decode()


def test_opening_a_mail_to_somebody_else_is_logged_and_ones_own_is_not(
    staff: User, owner: User, client_for: Any
) -> None:
    client = client_for(staff)
    for to in (owner.email.upper(), staff.email, "nobody@example.com"):
        send_mail(f"To {to.lower()}", "Body", "site@example.com", [to])
    client.get("/outbox/")
    assert not AuditEntry.objects.exists()  # the list says nothing of what is in them
    for mail in OutgoingMail.objects.order_by("created_at"):
        assert "Body" in opened(client, mail)
    entries = list(AuditEntry.objects.order_by("pk").values_list("verb", "actor", "person"))
    assert entries == [("read a mail", staff.pk, owner.pk), ("read a mail", staff.pk, None)]
    assert "To owner@example.com" in AuditEntry.objects.order_by("pk")[0].target_label


def test_nobody_but_staff_opens_a_mail(owner: User, staff: User, client_for: Any) -> None:
    send_mail("Subject", "Body", "site@example.com", [owner.email])
    path = f"/outbox/{OutgoingMail.objects.get().pk}/"
    assert [client.get(path).status_code for client in (Client(), client_for(owner))] == [404, 404]
    assert client_for(staff).get("/outbox/00000000-0000-0000-0000-000000000000/").status_code == 404
    assert client_for(staff).post(path).status_code == 405
    assert not AuditEntry.objects.exists()


def test_the_list_shows_what_a_newcomer_waits_for_until_there_is_an_account(admin: Any) -> None:
    data = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
    Client().post("/accounts/signup/", data)
    page = admin.get("/outbox/").content.decode()
    (link,) = set(re.findall(r"/accounts/confirm-email/[^\"'<\s]+", page))
    assert not AuditEntry.objects.exists()
    Client().post(link)
    assert "/accounts/confirm-email/" not in admin.get("/outbox/").content.decode()


def test_the_list_shows_nothing_that_opens_an_account_that_is_there(admin: Any, owner: User) -> None:
    owner.emailaddress_set.all().delete()  # made by hand, and signed in to once
    User.objects.filter(pk=owner.pk).update(last_login=timezone.now())
    send_mail("A subject", "the secret of another", None, [owner.email.upper()])
    assert "the secret of another" not in admin.get("/outbox/").content.decode()


def test_mails_come_in_pages(admin: Any) -> None:
    for number in range(30):
        send_mail(f"Subject {number:02}", "Body", "site@example.com", ["anna@example.com"])
        OutgoingMail.objects.filter(subject=f"Subject {number:02}").update(
            created_at=timezone.now() + timedelta(seconds=number)
        )
    first, second = (admin.get(f"/outbox/?page={page}").content.decode() for page in (1, 2))
    assert "Subject 29" in first
    assert "Subject 04" not in first
    assert "Subject 04" in second
    assert admin.get("/outbox/?page=x").status_code == 200
