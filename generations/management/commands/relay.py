"""`manage.py relay`: works for the ComfyUI servers until SIGINT or SIGTERM. Run two or more."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from accounts import garbage
from generations.database import commit_lazily
from generations.relay.supervisor import Supervisor


class Command(BaseCommand):
    help = "Claim queued generations, run them on the ComfyUI servers and follow them."
    requires_system_checks = ()  # they import every page and form, which a relay never needs again

    def handle(self, *args: Any, **options: Any) -> None:
        commit_lazily()
        if connection.vendor == "sqlite":
            connection.ensure_connection()  # a missing file does not come by waiting, as a restarting PostgreSQL does
        supervisor = Supervisor()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: supervisor.stop())
        self.stderr.write(f"Relay {supervisor.owner} is working. Ctrl-C stops it.")
        garbage.settle()
        supervisor.run()
