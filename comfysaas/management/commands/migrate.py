"""`manage.py migrate`: Django's, after making the data folder."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate


class Command(migrate.Command):
    def execute(self, *args: Any, **options: Any) -> Any:
        """Prepares the folder before `handle`: Django's system checks read the database."""
        if not (options["plan"] or options["check_unapplied"]):
            try:
                settings.ENV.prepare_data_dir(settings.SECRET_KEY)
            except OSError as error:
                msg = f"DATA_DIR={settings.DATA_DIR} cannot be written: {error.strerror}. Choose another folder."
                raise CommandError(msg) from error
        return super().execute(*args, **options)
