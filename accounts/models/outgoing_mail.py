"""Mails on their way out: rows written with what the mails report. None is lost while a mail server is down."""

from __future__ import annotations

import email
import email.policy
import uuid
from datetime import datetime, timedelta
from typing import Any, Self, cast

from django.core.mail import EmailMessage
from django.core.mail.message import SafeMIMEText, sanitize_address
from django.db import models
from django.utils import timezone

from accounts.models.encrypted import SecretTextField, revealed

# After the first attempt and after each further one; the last pause goes on until a mail is GIVEN_UP_AFTER old.
RETRY_SECONDS = (5, 30, 120, 300, 600, 1800)
GIVEN_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=30)


class OutgoingMailQuerySet(models.QuerySet["OutgoingMail"]):
    def put(self, mail: EmailMessage, *, next_attempt_at: datetime | None) -> OutgoingMail:
        """A row for this mail, which is ready to send. Without `next_attempt_at` nobody sends it: it is only read."""
        message = cast("SafeMIMEText", mail.message()).as_bytes(linesep="\r\n")
        return self.create(
            sender=sanitize_address(mail.from_email, "utf-8"),
            recipients=[sanitize_address(each, "utf-8") for each in mail.recipients()],
            subject=str(mail.subject)[:300],
            message=message.decode("latin-1"),  # gives back the same bytes, whatever they are
            next_attempt_at=next_attempt_at,
        )

    def due(self) -> Self:
        """Those whose time has come, the oldest first."""
        return self.filter(next_attempt_at__lte=timezone.now()).order_by("next_attempt_at")

    def claim(self, pk: uuid.UUID, *, seconds: float) -> int:
        """Take one for so long; 0 when somebody else is at it."""
        now = timezone.now()
        return self.filter(pk=pk, next_attempt_at__lte=now).update(
            next_attempt_at=now + timedelta(seconds=seconds), attempts=models.F("attempts") + 1
        )

    def old(self) -> Self:
        """Those that were kept long enough."""
        return self.filter(created_at__lt=timezone.now() - KEPT, next_attempt_at=None)


class OutgoingMail(models.Model):
    """One mail that waits, was given up, or is kept to be read on a site without a mail server.

    What a mail server accepted is deleted. The message is encrypted, because it may hold a link that opens an account.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sender = models.CharField(max_length=320)
    recipients = models.JSONField()
    subject = models.CharField(max_length=300)
    message = SecretTextField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True, help_text="Why the last attempt failed.")

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at"], name="mail_age"),
            models.Index(
                fields=["next_attempt_at"], name="mail_due", condition=models.Q(next_attempt_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} -> {', '.join(self.recipients)}"

    @property
    def raw(self) -> bytes:
        """The message as SMTP wants it: headers and body, lines ending with CR LF. UnreadableError."""
        return revealed(self.message, "The mail").encode("latin-1")

    @property
    def text(self) -> str:
        """The plain text of the message, or "" if it has none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML of the message, or "" if it has none."""
        return self._body("html")

    @property
    def state(self) -> str:
        """One word: waiting (for its next attempt), failed, or kept."""
        if self.next_attempt_at is not None:
            return "waiting"
        return "failed" if self.error else "kept"

    def retry_at(self, now: datetime) -> datetime | None:
        """When it is tried next, after an attempt that failed now; None when it is given up."""
        pause = RETRY_SECONDS[min(self.attempts, len(RETRY_SECONDS)) - 1]
        return None if now - self.created_at > GIVEN_UP_AFTER else now + timedelta(seconds=pause)

    def _body(self, kind: str) -> str:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        part: Any = parsed.get_body(preferencelist=(kind,))
        return "" if part is None else str(part.get_content()).replace("\r\n", "\n")
