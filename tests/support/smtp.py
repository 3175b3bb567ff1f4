"""Somebody's mail server: it keeps what it accepts, and a test says what it refuses."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.processes import free_port


@dataclass(slots=True)
class Mailbox:
    """What arrived. The server answers recipients in `refused` with their answer, and every message with `answer`."""

    port: int
    refused: dict[str, str] = field(default_factory=dict)
    answer: str = "250 OK"
    received: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _: Any) -> str:
        """One recipient."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """One message."""
        if self.answer.startswith("250"):
            content = envelope.content
            raw = content.encode() if isinstance(content, str) else content or b""
            self.received.append(email.message_from_bytes(raw, policy=email.policy.default))  # type: ignore[arg-type]
        return self.answer


@contextmanager
def mail_server(port: int | None = None) -> Iterator[Mailbox]:
    """Runs one on this port of this machine, or a free one, until the block ends."""
    mailbox = Mailbox(port or free_port())
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
