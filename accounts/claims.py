"""Addresses that an account claims: whoever wants to change theirs types a new one, which is somebody's only once it is
confirmed. Until then it must neither open that account nor keep the address's owner out.
"""

from __future__ import annotations

from collections.abc import Iterable

from allauth.account.models import EmailAddress
from django.db.models import F, QuerySet

from accounts.models import User


def is_held(email: str) -> bool:
    """True when an account has this address, or confirmed it; a claim does not count."""
    is_confirmed = EmailAddress.objects.filter(email__iexact=email, verified=True).exists()
    return bool(is_confirmed or User.objects.filter(email__iexact=email).exists())


def holders(users: Iterable[User], email: str) -> list[User]:
    """Those of these users who have the address and do not just claim it."""
    claiming = set(_claims(email).values_list("user", flat=True))
    return [user for user in users if user.pk not in claiming]


def drop(email: str) -> None:
    """Forget all claims of this address, which somebody else has just proved to have."""
    _claims(email).delete()


def _claims(email: str) -> QuerySet[EmailAddress]:
    found: QuerySet[EmailAddress] = EmailAddress.objects.filter(email__iexact=email, verified=False)
    return found.exclude(user__email__iexact=F("email"))
