"""`manage.py migrate`: Django's, which makes the data folder first."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate


class Command(migrate.Command):
    def execute(self, *args: Any, **options: Any) -> Any:
        """Before `handle`, because the system checks ask the database, too."""
        if not (options["plan"] or options["check_unapplied"]):
            try:
                settings.ENV.prepare_data_dir(settings.SECRET_KEY)
            except OSError as error:
                msg = f"Cannot write to DATA_DIR={settings.DATA_DIR}: {error.strerror}."
                raise CommandError(msg) from error
        return super().execute(*args, **options)
