"""`manage.py standalone`: the whole product in one process."""

from __future__ import annotations

import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from comfysaas import standalone


class Command(BaseCommand):
    help = "Run web server, relay and worker in one process. Needs nothing but a folder for its data."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.ENV.host)
        parser.add_argument("--port", type=int, default=settings.ENV.port)

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        self._check_port(host, port)
        # At once, not when the site answers: whatever happens until then, nobody sees them a second time.
        self._announce_passwords(standalone.prepare())
        url = f"http://{host}:{port}"
        try:
            standalone.serve(host=host, port=port, announce=lambda simulator: self._announce(url, simulator))
        except standalone.CannotStartError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped. Generations that were under way go on at the next start.")

    def _check_port(self, host: str, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                msg = f"Cannot listen on {host}:{port} ({error.strerror}). Set PORT to another one."
                raise CommandError(msg) from error

    def _announce_passwords(self, passwords: dict[str, str]) -> None:
        if passwords:
            rows = [f"    {email:<20} {password}" for email, password in passwords.items()]
            self._print("  Accounts made for you (passwords are shown only now):", *rows)

    def _announce(self, url: str, simulator_url: str | None) -> None:
        if simulator_url:
            source = [
                "  No ComfyUI is connected: the bundled SIMULATOR draws the pictures.",
                "  Set COMFYUI_URLS=http://host:8188 to use a real one.",
            ]
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
