"""`manage.py create_api_key EMAIL`: makes an API key for that user and prints its secret."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import ALL_SCOPES, MAX_KEYS, ApiKey, KeyRefusedError, TooManyKeysError, User

MAX_DAYS = 36_500


def _days(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text[:9]) <= MAX_DAYS):
        msg = f"must be a number of days from 1 to {MAX_DAYS}"
        raise ArgumentTypeError(msg)
    return int(text)


def _name(text: str) -> str:
    longest = ApiKey._meta.get_field("name").max_length or 0
    if not 1 <= len(text) <= longest:
        msg = f"must have 1 to {longest} characters"
        raise ArgumentTypeError(msg)
    return text


class Command(BaseCommand):
    help = "Make an API key for a user and print its secret, which is not shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="E-mail address of the user.")
        parser.add_argument("--name", type=_name, default="command line", help="What the key is for.")
        parser.add_argument(
            "--scopes", default=",".join(ALL_SCOPES), help="Scopes, separated by commas. Default: read,run,raw,manage."
        )
        parser.add_argument("--days", type=_days, help="Days until the key expires. Default: never.")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"], is_active=True).first()
        if user is None:
            msg = f"No active user has the address {options['email']}."
            raise CommandError(msg)
        days = options["days"]
        expires_at = timezone.now() + timedelta(days=days) if days is not None else None
        scopes = {scope.strip() for scope in options["scopes"].split(",")}
        if unknown := scopes - set(ALL_SCOPES):
            msg = f"Unknown scopes: “{', '.join(sorted(unknown))}”. Choose from {', '.join(ALL_SCOPES)}."
            raise CommandError(msg)
        try:
            with transaction.atomic():
                key, secret = ApiKey.objects.issue(
                    user=user, name=options["name"], scopes=scopes, expires_at=expires_at
                )
                audit.record(audit.ADDED, by=None, target=key, person=user, details={"scopes": key.scopes})
        except TooManyKeysError as error:
            msg = f"{user} already has {MAX_KEYS} keys, the most that is possible. Revoke one first."
            raise CommandError(msg) from error
        except KeyRefusedError as error:
            msg = f"{user} has not confirmed this address yet. Open the link in the e-mail first."
            raise CommandError(msg) from error
        self.stdout.write(secret)
