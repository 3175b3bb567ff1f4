"""`manage.py remove_second_factors EMAIL`: lets somebody in again who lost app, passkeys and recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import second_factor
from accounts.models import User


class Command(BaseCommand):
    help = (
        "Remove every second factor and passkey of a user, who then signs in with the password alone. Make sure first "
        "that it is that person who asks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="E-mail address of the user.")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            msg = f"No user has the address {options['email']}."
            raise CommandError(msg)
        number = second_factor.remove_all(user, by=None)
        self.stdout.write(f"Removed {number} of {user}, and told {user} by mail." if number else "There were none.")
