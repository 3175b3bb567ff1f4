"""`manage.py starters`: adds the starter templates that are not there yet."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from generations.studio import starters


class Command(BaseCommand):
    help = "Add and publish the starter templates that are not there yet."

    def handle(self, *args: Any, **options: Any) -> None:
        added = starters.install()
        for template in added:
            self.stdout.write(f"Added “{template.title}”.")
        if not added:
            self.stdout.write("Every starter is there already.")
