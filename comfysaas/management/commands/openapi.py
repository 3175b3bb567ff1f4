"""`manage.py openapi`: writes docs/openapi.json, the part that every installation shares, or checks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generations.api.openapi import static_document


class Command(BaseCommand):
    help = "Write docs/openapi.json, the API's document without templates."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; fail if the document is out of date.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = settings.BASE_DIR / "docs" / "openapi.json"
        text = json.dumps(static_document(), indent=1, ensure_ascii=False) + "\n"
        if not options["check"]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            msg = "docs/openapi.json is out of date: run `make docs`."
            raise CommandError(msg)
