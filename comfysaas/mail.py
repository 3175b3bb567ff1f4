"""Sends mails."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from accounts.concurrency import aside
from generations import database


class ReleasingBackend(EmailBackend):
    """SMTP that keeps no database connection while it talks to the mail server."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """The number of messages that the server accepted."""
        database.release()
        with aside():
            return super().send_messages(email_messages)
