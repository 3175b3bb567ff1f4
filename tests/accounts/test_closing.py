"""Asking for an account to be deleted, keeping it after all, and what becomes of teams."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from accounts import closing, profile, standing, workspaces
from accounts.models import ApiKey, Avatar, Membership, OutgoingMail, Role, User, Workspace
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_team, make_user
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def mails_are_rows(settings: Any) -> None:
    """As in earnest; nobody sends them."""
    settings.EMAIL_BACKEND = "comfysaas.mail.Outbox"


def subjects() -> list[str]:
    return list(OutgoingMail.objects.order_by("created_at").values_list("subject", flat=True))


def its_time_comes(person: User) -> None:
    closed_at = timezone.now() - timedelta(days=15)
    changes = {"closed_at": closed_at, "suspended_at": closed_at, "delete_after": timezone.now() - timedelta(days=1)}
    User.objects.filter(pk=person.pk).update(**changes)
    person.refresh_from_db()


def test_closing_ends_sessions_and_keys_at_once_and_a_mail_says_so(owner: User, client_for: Any) -> None:
    client, key = client_for(owner), make_key(owner)
    after = closing.close(owner)
    assert timedelta(days=13) < after - timezone.now() < timedelta(days=15)
    assert client.get("/generations/").status_code == 302
    refused = error_of(Client(headers={"Authorization": f"Bearer {key}"}).get("/api/v2/me"), 403, "account_suspended")
    assert "will be deleted on" in refused["message"]
    assert any("will be deleted on" in each for each in subjects())


def test_signing_in_only_asks_whether_to_keep_it(owner: User) -> None:
    closing.close(owner)
    client = Client()
    page = client.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    assert "Keep my account" in page.content.decode()
    assert client.get("/generations/").status_code == 302  # not signed in
    wrong = Client().post("/accounts/login/", {"login": owner.email, "password": "wrong"}).content.decode()
    assert "Keep my account" not in wrong
    kept = client.post("/account/keep/", {"pass": closing.pass_for(owner)})
    assert kept["Location"] == "/accounts/login/"
    owner.refresh_from_db()
    assert not owner.is_suspended
    assert subjects()[-1].endswith("Your account stays")
    assert client.post("/accounts/login/", {"login": owner.email, "password": PASSWORD}).status_code == 302


def test_a_pass_works_only_for_that_closing(owner: User, stranger: User) -> None:
    assert closing.holder_of(closing.pass_for(owner)) is None  # nothing is closed
    closing.close(owner)
    token = closing.pass_for(owner)
    for wrong in ("", "x", token[:-2], closing.pass_for(stranger)):
        assert closing.holder_of(wrong) is None
    assert closing.holder_of(token) == owner
    assert closing.keep(owner)
    closing.close(owner)
    assert closing.holder_of(token) is None


def test_it_is_too_late_when_its_time_has_come(owner: User) -> None:
    closing.close(owner)
    token = closing.pass_for(owner)
    its_time_comes(owner)
    assert closing.holder_of(token) is None
    assert not closing.keep(owner)
    page = Client().post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    assert page.status_code == 403


def test_closing_twice_is_refused(owner: User) -> None:
    closing.close(owner)
    with pytest.raises(closing.ClosingError, match="already"):
        closing.close(owner)


def test_who_is_suspended_besides_cannot_keep_it_until_reinstated(owner: User, staff: User) -> None:
    closing.close(owner)
    assert standing.suspend(owner, by=staff, reason="spam")
    assert not owner.may_keep
    page = Client().post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    assert page.status_code == 403
    assert standing.reinstate(owner, by=staff)
    assert owner.may_keep  # still closed: that is not for staff to change
    assert not standing.reinstate(owner, by=staff)
    assert closing.keep(owner)
    assert not owner.is_suspended


def test_the_last_owner_of_a_team_with_others_gives_it_away_first(owner: User, stranger: User) -> None:
    team = make_team(owner, member=stranger, name="Film crew")
    with pytest.raises(closing.NeedsOwnerError, match="Film crew"):
        closing.close(owner)
    assert not User.objects.get(pk=owner.pk).is_suspended
    Membership.objects.filter(workspace=team, user=stranger).update(role=Role.OWNER)
    closing.close(owner)
    with pytest.raises(closing.NeedsOwnerError):  # an owner who leaves looks after nothing
        closing.close(stranger)
    with pytest.raises(workspaces.LastOwnerError):
        workspaces.leave(acting=stranger, workspace=team)


def test_a_team_without_others_goes_with_it_and_comes_back_with_it(owner: User) -> None:
    alone, before = make_team(owner, name="Alone"), make_team(owner, name="Dissolved before")
    workspaces.dissolve(acting=owner, workspace=before)
    closing.close(owner)
    alone.refresh_from_db()
    assert alone.dissolve_after == owner.delete_after
    closing.keep(owner)
    alone.refresh_from_db()
    before.refresh_from_db()
    assert not alone.is_dissolving
    assert before.is_dissolving


def test_the_only_superuser_stays(staff: User) -> None:
    with pytest.raises(closing.ClosingError, match="only superuser"):
        closing.close(staff)
    make_user("another@example.com", is_superuser=True)
    closing.close(staff)


@pytest.mark.django_db(transaction=True)
def test_of_superusers_who_close_their_accounts_at_once_one_stays() -> None:
    leaving = iter([make_user(f"{name}@example.com", is_superuser=True) for name in ("one", "two")])
    outcomes = at_once(lambda: closing.close(next(leaving)), times=2)
    assert sorted(type(each).__name__ for each in outcomes) == ["ClosingError", "datetime"], outcomes


def test_an_older_copy_of_the_row_opens_nothing(owner: User) -> None:
    stale = User.objects.get(pk=owner.pk)
    closing.close(owner)
    stale.first_name = "New"
    stale.save()
    assert User.objects.get(pk=owner.pk).is_closed


def test_parting_leaves_a_team_with_an_owner(owner: User, stranger: User) -> None:
    team = make_team(owner, member=stranger)
    key, _secret = ApiKey.objects.issue(user=owner, name="k", workspace=team)
    assert closing.part(owner)
    assert Membership.objects.get(workspace=team).role == Role.OWNER
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert closing.part(owner)  # as after a kill


def test_parting_waits_for_a_team_that_goes_too(owner: User) -> None:
    team = make_team(owner)
    assert not closing.part(owner)
    team.refresh_from_db()
    assert team.is_dissolving
    workspaces.delete_dissolved()
    assert closing.part(owner)


def test_forgetting_deletes_the_row_and_frees_the_address(owner: User, client_for: Any) -> None:
    session = client_for(owner).session.session_key
    address = owner.email
    closing.close(owner)
    its_time_comes(owner)
    closing.forget(owner, leaves_work=False)
    assert not User.objects.filter(pk=owner.pk).exists()
    assert not Workspace.objects.filter(person=owner.pk).exists()
    assert not EmailAddress.objects.filter(email=address).exists()
    assert subjects()[-1].endswith("Your account was deleted")
    assert session
    make_user(address)


def test_of_who_worked_for_teams_a_nameless_row_stays(owner: User) -> None:
    owner.first_name = "Ada"
    owner.save()
    profile.set_avatar(owner, b"a picture")
    make_key(owner)
    closing.close(owner)
    its_time_comes(owner)
    closing.forget(owner, leaves_work=True)
    row = User.objects.get(pk=owner.pk)
    assert (row.shown_name, row.is_active, row.has_usable_password()) == ("Deleted account", False, False)
    assert "owner" not in row.email
    assert not row.avatar_hash and not Avatar.objects.exists()
    assert not row.api_keys.exists()
    assert not EmailAddress.objects.filter(user=row).exists()
    assert not Membership.objects.filter(user=row).exists()
    assert not closing.due().exists()
    make_user("owner@example.com")


def test_forgetting_somebody_who_is_not_due_does_nothing(owner: User) -> None:
    closing.forget(owner, leaves_work=False)
    closing.close(owner)
    closing.forget(owner, leaves_work=False)
    assert User.objects.filter(pk=owner.pk).exists()
