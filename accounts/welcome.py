"""Staff invite people to the site: an account without a password, and a mail with the link that sets one."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.forms import default_token_generator
from allauth.account.models import EmailAddress
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts import audit
from accounts.models import Plan, User


class KnownAddressError(Exception):
    """An account has this address already."""

    def __init__(self) -> None:
        super().__init__("An account has this address already.")


def invite(email: str, *, by: User, plan: Plan | None = None, address: str = "") -> User:
    """Make the account and mail its link. Only who reads that mailbox can sign in. KnownAddressError.

    The mail is a row of the same transaction: a mail server that is away gets it later.
    """
    email = email.strip().lower()
    with transaction.atomic():
        is_known = User.objects.filter(email__iexact=email).exists()
        if is_known or EmailAddress.objects.filter(email__iexact=email, verified=True).exists():
            raise KnownAddressError
        person = User.objects.create_user(email, plan=plan)
        _send(person, by, address)
    return person


def is_waiting(person: User) -> bool:
    """True for somebody who has neither a password nor ever signed in: they can be reminded."""
    return person.last_login is None and not person.has_usable_password() and not person.is_suspended


def remind(person: User, *, by: User, address: str = "") -> bool:
    """Mail the link once more. False: they do not wait for one any more."""
    if not is_waiting(person):
        return False
    with transaction.atomic():
        _send(person, by, address)
    return True


def _send(person: User, by: User, address: str) -> None:
    key = {"uidb36": user_pk_to_url_str(person), "key": default_token_generator.make_token(person)}
    link = f"{settings.PUBLIC_ORIGIN}{reverse('account_reset_password_from_key', kwargs=key)}"
    audit.record(audit.INVITED, by=by, target=person, address=address)
    get_adapter().send_mail("account/email/staff_invitation", person.email, {"user": person, "invitation_url": link})
