"""Mails are rows until a mail server has accepted them; a server that is down costs nobody anything but time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage, send_mail
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.models.outgoing_mail import GIVEN_UP_AFTER, KEPT, OutgoingMail
from comfysaas.mail import forget_mails, send_mails
from tests.accounts.guessing import PASSWORD, sign_in
from tests.support.smtp import Mailbox, mail_server

pytestmark = pytest.mark.django_db(transaction=True)
ANNA, BEN = "anna@example.com", "ben@example.com"


@pytest.fixture(autouse=True)
def through_the_outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "comfysaas.mail.Outbox"
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = 9  # nobody answers there


@pytest.fixture
def mailbox(settings: Any) -> Any:
    with mail_server() as running:
        settings.EMAIL_PORT = running.port
        yield running


def write(to: str = ANNA, subject: str = "Grüße") -> OutgoingMail:
    send_mail(subject, "Ein Gruß.\n.\n", "site@example.com", [to])
    return OutgoingMail.objects.latest("created_at")


def make_due() -> None:
    OutgoingMail.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now())


def test_a_mail_arrives_as_it_was_written_and_leaves_no_row(mailbox: Mailbox) -> None:
    write()
    assert send_mails() == 1
    (mail,) = mailbox.received
    assert (mail["To"], mail["Subject"], mail["From"]) == (ANNA, "Grüße", "site@example.com")
    assert mail.get_content().splitlines() == ["Ein Gruß.", "."]
    assert not OutgoingMail.objects.exists()


@pytest.mark.usefixtures("eager_tasks")
def test_a_worker_is_asked_at_once_after_the_commit(mailbox: Mailbox) -> None:
    with transaction.atomic():
        write()
        assert mailbox.received == []
    assert len(mailbox.received) == 1


def test_a_transaction_that_fails_sends_nothing(mailbox: Mailbox) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        write()
        raise RuntimeError
    assert send_mails() == 0
    assert mailbox.received == []


def test_a_server_that_is_down_gets_the_mail_later() -> None:
    mail = write()
    assert send_mails() == 0
    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == ("waiting", 1)
    assert "cannot be used" in mail.error
    assert mail.next_attempt_at is not None
    assert timezone.now() < mail.next_attempt_at < timezone.now() + timedelta(seconds=10)
    assert send_mails() == 0  # not before its time
    mail.refresh_from_db()
    assert mail.attempts == 1


def test_pauses_grow_until_a_mail_is_given_up() -> None:
    mail, now = OutgoingMail(created_at=timezone.now()), timezone.now()
    pauses = []
    for attempts in range(1, 9):
        mail.attempts = attempts
        retry_at = mail.retry_at(now)
        assert retry_at is not None
        pauses.append((retry_at - now).total_seconds())
    assert pauses == [5, 30, 120, 300, 600, 1800, 1800, 1800]
    mail.created_at = now - GIVEN_UP_AFTER - timedelta(seconds=1)
    assert mail.retry_at(now) is None


def test_after_an_outage_everything_goes_out(settings: Any) -> None:
    for _ in range(5):
        write()
    send_mails()
    with mail_server() as mailbox:
        settings.EMAIL_PORT = mailbox.port
        make_due()
        assert send_mails() == 5
        assert len(mailbox.received) == 5


@pytest.mark.parametrize(("answer", "state"), [("550 No such user", "failed"), ("451 Try again", "waiting")])
def test_an_address_that_is_refused_for_good_is_given_up(mailbox: Mailbox, answer: str, state: str) -> None:
    mailbox.refused[ANNA] = answer
    refused, other = write(ANNA), write(BEN)
    assert send_mails() == 1
    refused.refresh_from_db()
    assert (refused.state, refused.error) == (state, f"The mail server refused the address: {answer}")
    assert [mail["To"] for mail in mailbox.received] == [BEN]
    assert not OutgoingMail.objects.filter(pk=other.pk).exists()


def test_a_message_that_is_refused_holds_up_no_other(mailbox: Mailbox) -> None:
    mailbox.answer = "554 Spam"
    mail = write()
    send_mails()
    mail.refresh_from_db()
    assert (mail.state, mail.error) == ("failed", "The mail server refused the message: 554 Spam")


def test_two_workers_never_send_the_same_mail(mailbox: Mailbox) -> None:
    mail = write()
    assert OutgoingMail.objects.claim(mail.pk, seconds=60) == 1
    assert OutgoingMail.objects.claim(mail.pk, seconds=60) == 0
    assert send_mails() == 0


def test_nobody_is_locked_out_while_the_server_is_down(settings: Any, owner: User) -> None:
    settings.SIGNUP_OPEN = True
    data = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
    assert Client().post("/accounts/signup/", data).status_code == 302
    assert Client().post("/accounts/password/reset/", {"email": owner.email}).status_code == 302
    assert sign_in(Client(), owner.email, PASSWORD)["Location"] == "/"
    assert OutgoingMail.objects.filter(next_attempt_at__isnull=False).count() == 2


def test_no_mail_lies_readable_in_the_database(settings: Any) -> None:
    from django.db import connection

    write(subject="Choose a new password")
    with connection.cursor() as cursor:
        cursor.execute("SELECT message FROM accounts_outgoingmail")
        assert "Gru" not in cursor.fetchone()[0]


def test_without_a_server_mails_are_kept_and_forgotten_after_a_month(settings: Any) -> None:
    settings.EMAIL_HOST = ""
    kept, old = write(), write()
    OutgoingMail.objects.filter(pk=old.pk).update(created_at=timezone.now() - KEPT - timedelta(minutes=1))
    assert send_mails() == 0
    assert forget_mails() == 1
    assert [mail.pk for mail in OutgoingMail.objects.all()] == [kept.pk]
    assert (kept.state, kept.text.strip()) == ("kept", "Ein Gruß.\n.")


def test_a_mail_that_waits_is_never_forgotten() -> None:
    mail = write()
    OutgoingMail.objects.update(created_at=timezone.now() - 2 * KEPT)
    assert forget_mails() == 0
    assert OutgoingMail.objects.filter(pk=mail.pk).exists()


def test_a_mail_to_nobody_is_none() -> None:
    assert EmailMessage("Subject", "Body", "site@example.com", []).send() == 0
    assert not OutgoingMail.objects.exists()


def test_a_mail_that_cannot_be_read_holds_up_no_other(mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    bad = write()
    good = write(BEN)
    OutgoingMail.objects.filter(pk=bad.pk).update(message="€")  # none of our bytes
    OutgoingMail.objects.filter(pk=bad.pk).update(next_attempt_at=timezone.now() - timedelta(hours=1))  # comes first
    assert send_mails() == 1
    assert [each["To"] for each in mailbox.received] == [BEN]
    assert not OutgoingMail.objects.filter(pk=good.pk).exists()
    bad = OutgoingMail.objects.defer("message").get(pk=bad.pk)
    assert "cannot be sent" in bad.error and bad.attempts == 1
    assert bad.next_attempt_at is not None and bad.next_attempt_at > timezone.now()
