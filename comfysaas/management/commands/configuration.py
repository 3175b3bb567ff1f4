"""`manage.py configuration`: writes docs/configuration.md from comfysaas/env.py, or checks that it is up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import SecretStr

from comfysaas.env import Env

HEAD = """# Configuration

Every setting comes from the environment. This page is generated from `comfysaas/env.py` by `make docs`.
A process that finds a wrong or missing value does not start, and names the variable.

| variable | default | what it does |
| --- | --- | --- |
"""


def page() -> str:
    """The page's Markdown."""
    rows = []
    for name, field in Env.model_fields.items():
        default = field.default
        shown = "" if default in (None, "", ()) or isinstance(default, SecretStr) else f"`{default}`"
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |\n")
    return HEAD + "".join(rows)


class Command(BaseCommand):
    help = "Write docs/configuration.md from comfysaas/env.py."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; fail if the page is out of date.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = settings.BASE_DIR / "docs" / "configuration.md"
        if not options["check"]:
            path.write_text(page())
        elif not path.exists() or path.read_text() != page():
            msg = "docs/configuration.md is out of date: run `make docs`."
            raise CommandError(msg)
