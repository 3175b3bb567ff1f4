"""Mails about runs that took long: to whom, about what, and each once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.utils import timezone

from accounts import profile
from accounts.models import Membership, Setback, User
from generations.lifecycle import notices
from generations.models import Generation, Status
from tests.support.factories import make_generation, make_team

pytestmark = pytest.mark.django_db


def wants(user: User, minutes: int | None = 5) -> None:
    profile.notify(user, after_minutes=minutes)
    if minutes:
        User.objects.filter(pk=user.pk).update(notified_until=timezone.now() - timedelta(hours=2))


def ended(user: User, *, minutes: float = 6, ago: timedelta = timedelta(minutes=1), **fields: Any) -> Generation:
    generation = make_generation(user, status=fields.pop("status", Status.SUCCEEDED), **fields)
    at = timezone.now() - ago
    Generation.objects.filter(pk=generation.pk).update(finished_at=at, created_at=at - timedelta(minutes=minutes))
    return generation


def test_a_long_run_is_mailed_once(owner: User) -> None:
    wants(owner)
    run = ended(owner)
    assert (notices.send_due(), notices.send_due()) == (1, 0)
    (sent,) = mail.outbox
    assert sent.to == [owner.email] and "is done" in sent.subject
    assert f"/generations/{run.pk}/" in sent.body and "/account/profile/" in sent.body
    ended(owner, status=Status.FAILED, ago=timedelta(seconds=30))
    assert notices.send_due() == 1 and "failed" in mail.outbox[1].subject


def test_several_come_in_one_mail(owner: User) -> None:
    wants(owner)
    for number in range(notices.NAMED + 2):
        ended(owner, ago=timedelta(minutes=2, seconds=number))
    assert notices.send_due() == 1
    assert "22 of your runs" in mail.outbox[0].subject and "And 2 more." in mail.outbox[0].body


def test_nothing_is_mailed_that_nobody_asked_for(owner: User, stranger: User) -> None:
    ended(owner)  # off by default
    wants(stranger)
    ended(stranger, minutes=4)  # shorter than they said
    ended(stranger, status=Status.CANCELED)
    ended(stranger, ago=timedelta(seconds=1))  # next time
    ended(stranger, ago=timedelta(hours=3))  # before they asked
    assert notices.send_due() == 0
    wants(stranger, None)
    ended(stranger)
    assert notices.send_due() == 0 and not mail.outbox


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"suspended_at": timezone.now()},
    ],
)
def test_who_cannot_sign_in_gets_none(owner: User, change: dict[str, Any]) -> None:
    wants(owner)
    ended(owner)
    User.objects.filter(pk=owner.pk).update(**change)
    assert notices.send_due() == 0


def test_an_address_that_is_not_confirmed_gets_none(owner: User) -> None:
    wants(owner)
    ended(owner)
    EmailAddress.objects.update(verified=False)
    assert notices.send_due() == 0 and not mail.outbox


def test_who_left_a_team_hears_nothing_of_it(owner: User, stranger: User) -> None:
    team = make_team(owner, member=stranger)
    wants(stranger)
    ended(stranger, workspace=team)
    Membership.objects.filter(user=stranger, workspace=team).delete()
    assert notices.send_due() == 0


def test_the_window_that_is_looked_through_moves_on(owner: User) -> None:
    wants(owner)
    assert notices.send_due() == 0
    owner.refresh_from_db()
    assert owner.notified_until and timezone.now() - owner.notified_until < timedelta(minutes=1)
    stale = User.objects.get(pk=owner.pk)
    User.objects.filter(pk=owner.pk).update(notified_until=timezone.now())
    stale.save()
    owner.refresh_from_db()
    assert owner.notified_until != stale.notified_until  # who saves an older copy mails nothing twice


def test_only_lengths_that_are_offered_can_be_chosen(owner: User, client_for: Any) -> None:
    with pytest.raises(ValueError, match="7 is not among"):
        profile.notify(owner, after_minutes=7)
    client = client_for(owner)
    assert client.post("/account/profile/", {"notify": "7"}).status_code == 422
    assert client.post("/account/profile/", {"notify": "15"}).status_code == 302
    owner.refresh_from_db()
    assert owner.notify_after_minutes == 15
    assert client.post("/account/profile/", {"notify": ""}).status_code == 302
    owner.refresh_from_db()
    assert owner.notify_after_minutes is None and owner.notified_until is None


def test_who_cannot_be_mailed_now_is_later_and_others_are_now(
    owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (owner, stranger):
        wants(person)
        ended(person)
    tell = notices._tell

    def fail_for_the_owner(person: User, runs: list[Generation]) -> bool:
        if person == owner:
            raise RuntimeError
        return tell(person, runs)

    with monkeypatch.context() as patch:
        patch.setattr(notices, "_tell", fail_for_the_owner)
        assert notices.send_due() == 1
    assert [each.to for each in mail.outbox] == [[stranger.email]]
    assert notices.send_due() == 0  # not at once again
    Setback.objects.update(retry_at=timezone.now())
    assert notices.send_due() == 1
    assert mail.outbox[1].to == [owner.email]
