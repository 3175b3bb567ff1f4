"""Sends mails: requests only write a row (`OutgoingMail`), and workers talk to the mail server.

Nobody waits for a mail server or fails because of it, and the time of an answer does not show whether there is a mail.
"""

from __future__ import annotations

import contextlib
import logging
import smtplib
import time
from collections.abc import Sequence
from functools import partial

from celery import shared_task
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend
from django.db import transaction
from django.utils import timezone

from accounts.models.encrypted import UnreadableError
from accounts.models.outgoing_mail import OutgoingMail
from generations import database
from generations.broker import ask

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 120.0
SENDING_SECONDS = 60.0  # the next sweep goes on
LOOK_AT = 100
DELETE_AT_ONCE = 1000


class Outbox(BaseEmailBackend):
    """Django's way out for mails: each becomes a row, in the transaction that is open."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """The number of mails; those without recipients do not count."""
        is_sent = bool(settings.EMAIL_HOST)
        mails = [mail for mail in email_messages if mail.recipients()]
        for mail in mails:
            OutgoingMail.objects.put(mail, next_attempt_at=timezone.now() if is_sent else None)
        if mails and is_sent:
            transaction.on_commit(partial(ask, send_mails))
        return len(mails)


@shared_task(name="comfysaas.mail.send_mails", ignore_result=True, expires=CLAIM_SECONDS)
def send_mails() -> int:
    """Send what is due, all over one connection; returns how many mails the server accepted.

    A server that does not answer ends it: each mail then waits for its own next attempt.
    """
    until, number = time.monotonic() + SENDING_SECONDS, 0
    with contextlib.closing(_Server()) as server:
        while time.monotonic() < until:
            found = list(OutgoingMail.objects.due().values_list("pk", flat=True)[:LOOK_AT])
            for pk in found:
                if not OutgoingMail.objects.claim(pk, seconds=CLAIM_SECONDS):
                    continue
                mail = OutgoingMail.objects.defer("message").get(pk=pk)
                problem = _sent(server, mail)
                _record(mail, problem, is_final=server.refused_for_good)
                number += not problem
                if not server.is_up or time.monotonic() > until:
                    return number
            if not found:
                break
    return number


@shared_task(name="comfysaas.mail.forget_mails", ignore_result=True, expires=settings.HOUSEKEEPING_SECONDS)
def forget_mails() -> int:
    """Delete mails that were kept long enough; returns how many."""
    old = OutgoingMail.objects.old().order_by("created_at")
    return database.in_batches(
        partial(database.delete_some, old),
        size=DELETE_AT_ONCE,
        until=time.monotonic() + settings.HOUSEKEEPING_SECONDS / 2,
    )


def _sent(server: _Server, mail: OutgoingMail) -> str:
    """What went wrong; "" if nothing did. A mail that cannot even be read holds up no other."""
    try:
        raw = mail.raw
        database.release()
        return server.send(mail, raw)
    except UnreadableError as error:
        return str(error)
    except Exception as error:
        logger.exception("The mail %s cannot be sent", mail.pk)
        return f"The mail cannot be sent: {type(error).__name__}: {_said(error)}"


def _record(mail: OutgoingMail, problem: str, *, is_final: bool) -> None:
    row = OutgoingMail.objects.filter(pk=mail.pk)
    if not problem:
        row.delete()
        return
    retry_at = None if is_final else mail.retry_at(timezone.now())
    if retry_at is None:
        logger.error("A mail to %s is given up: %s", ", ".join(mail.recipients), problem)
    else:
        logger.warning("A mail was not sent and is tried again at %s: %s", retry_at.isoformat("T", "seconds"), problem)
    row.update(next_attempt_at=retry_at, error=problem[:300])


class _Server:
    """The mail server: connected when the first mail is sent."""

    def __init__(self) -> None:
        self._backend = EmailBackend()
        self.is_up = True
        self.refused_for_good = False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._backend.close()

    def send(self, mail: OutgoingMail, raw: bytes) -> str:
        """What went wrong; "" when the server accepted it for everybody, or for somebody at least."""
        self.refused_for_good = False
        try:
            self._backend.open()
        except (OSError, smtplib.SMTPException) as error:
            self.is_up = False
            return f"The mail server cannot be used: {_said(error)}"
        connection = self._backend.connection
        assert connection is not None  # noqa: S101  (opened just now)
        try:
            connection.sendmail(mail.sender, mail.recipients, raw)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            self.refused_for_good = all(code >= 500 for code in codes)
            return f"The mail server refused the address: {_said(next(iter(error.recipients.values())))}"
        except smtplib.SMTPDataError as error:
            self.refused_for_good = error.smtp_code >= 500
            return f"The mail server refused the message: {_said(error)}"
        except (OSError, smtplib.SMTPException) as error:
            self.is_up = False
            return f"The mail server did not take it: {_said(error)}"
        return ""


def _said(error: object) -> str:
    """In one line what a server answered, or what an error says."""
    answer = getattr(error, "args", error)
    parts = answer if isinstance(answer, tuple) else (answer,)
    words = [part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in parts]
    return " ".join(" ".join(words).split())
