"""`manage.py standalone`: the whole product in one process."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from comfysaas import standalone


def _manage() -> str:
    """How to run a management command on the same data, from the folder of manage.py."""
    python = Path(sys.prefix) / "bin" / "python"
    short = python.relative_to(settings.BASE_DIR) if python.is_relative_to(settings.BASE_DIR) else "python"
    is_usual = settings.ENV.database_url or settings.BASE_DIR / "var" == settings.DATA_DIR
    return f"{'' if is_usual else f'DATA_DIR={shlex.quote(str(settings.DATA_DIR))} '}{short} manage.py"


class Command(BaseCommand):
    help = "Run web server, relay and worker in one process. Needs nothing but a folder for its data."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.ENV.host)
        parser.add_argument("--port", type=int, default=settings.ENV.port)

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if port != settings.ENV.port:
            # Links, cookies and trusted origins follow from PORT, and were settled when Django started.
            os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PORT": str(port)})  # noqa: S606
        self._check_port(host, port)
        if not settings.ENV.database_url and not settings.ENV.database_file.exists():
            self._print(f"  Preparing a new database in {settings.DATA_DIR} …")
        # At once, not when the site answers: whatever happens until then, nobody sees the passwords a second time.
        self._announce_accounts(standalone.prepare())
        url = f"http://{host}:{port}"
        try:
            standalone.serve(host=host, port=port, on_ready=lambda simulator: self._announce(url, simulator))
        except standalone.CannotStartError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped. Generations that were under way go on at the next start.")

    def _check_port(self, host: str, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                msg = f"Cannot listen on {host}:{port} ({getattr(error, 'strerror', error)}). Set PORT to another one."
                raise CommandError(msg) from error

    def _announce_accounts(self, accounts: list[standalone.Account]) -> None:
        new = [account for account in accounts if account.is_new]
        if new:
            rows = [
                f"    {account.email:<20} {account.generated or f'with the password that {account.variable} gives'}"
                for account in new
            ]
            only_now = " (passwords are shown only now)" if any(account.generated for account in new) else ""
            self._print(f"  Accounts made for you{only_now}:", *rows)
        if old := [account for account in accounts if not account.is_new]:
            self._print(
                f"  Accounts: {', '.join(account.email for account in old)}",
                f"  To set a new password: {_manage()} changepassword {old[0].email}",
                *[
                    f"  {account.variable} changes nothing: it counts when the account is made."
                    for account in old
                    if account.is_given
                ],
            )

    def _announce(self, url: str, simulator_url: str | None) -> None:
        if simulator_url:
            source = [
                "  No ComfyUI is connected: the bundled SIMULATOR draws the pictures.",
                "  Set COMFYUI_URLS=http://host:8188 to use a real one.",
            ]
            if recording := settings.ENV.simulator_object_info:
                source.append(f"  It has the node types of {recording}, and runs those that it can simulate.")
        else:
            source = [f"  ComfyUI: {address}" for address in settings.COMFYUI_URLS]
        self._print(
            f"  comfysaas is ready at {url}",
            f"  Data is kept in {settings.DATA_DIR}",
            *source,
            "  Ctrl-C stops it.",
        )

    def _print(self, *lines: str) -> None:
        self.stdout.write("\n".join(("", *lines, "")))
        self.stdout.flush()
