"""Second factors and passkeys: what django-allauth leaves to us."""

from __future__ import annotations

import hashlib
import logging
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from cryptography.fernet import InvalidToken
from django import forms
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils.functional import SimpleLazyObject
from encrypted_fields.fields import EncryptedTextField

from accounts import audit
from accounts.models import User
from accounts.models.encrypted import UnreadableError

logger = logging.getLogger(__name__)

SITE_NAME = "comfysaas"
NAME_LENGTH = 60
MAX_PASSKEYS = 20
USED_SECONDS = 120  # longer than a code works


class _OnceForm(forms.Form):
    """A code that was used is used up. allauth forgets that after one period, and a code is accepted for three."""

    user: User

    def clean_code(self) -> str:
        """The code; ValidationError when it was used a moment ago."""
        code = str(super().clean_code())  # type: ignore[misc]  # allauth's forms have it
        typed = "".join(filter(str.isalnum, code)).upper()
        digest = hashlib.sha256(f"{self.user.pk} {typed}".encode()).hexdigest()
        if not cache.add(f"allauth.code.{digest}", True, USED_SECONDS):
            raise SecondFactorAdapter().validation_error("incorrect_code")
        return code


class CodeForm(_OnceForm, AuthenticateForm):  # type: ignore[misc]  # see below
    """Asks for the second factor."""


class CodeAgainForm(_OnceForm, ReauthenticateForm):  # type: ignore[misc]  # see below
    """Asks for it once more."""


class AddPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]  # see below
    """A new passkey or security key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].help_text = "To tell it from others, such as the name of the device."
        self.fields["name"].widget.attrs["maxlength"] = NAME_LENGTH
        field = self.fields["passwordless"]
        field.initial = True
        field.label = "Sign in with it instead of a password"
        field.help_text = "A passkey. Otherwise it is a second factor that is asked for after the password."

    def clean_name(self) -> str:
        """The name, cut to its length: a credential that the device keeps by now is not refused for it."""
        return str(super().clean_name())[:NAME_LENGTH]

    def clean(self) -> dict[str, Any]:
        """ValidationError for one more than anybody needs."""
        if Authenticator.objects.filter(user=self.user, type=Authenticator.Type.WEBAUTHN).count() >= MAX_PASSKEYS:
            msg = f"You have {MAX_PASSKEYS} passkeys, the most that is possible. Remove one first."
            raise forms.ValidationError(msg)
        cleaned: dict[str, Any] = super().clean()
        return cleaned


class RenamePasskeyForm(EditWebAuthnForm):  # type: ignore[misc]  # see below
    """Another name for a passkey."""

    name = forms.CharField(max_length=NAME_LENGTH)


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    """Secrets lie in the database encrypted; passkeys belong to the public host."""

    def encrypt(self, text: str) -> str:
        """With the key that encrypts all other stored secrets."""
        return str(_field().f.encrypt(text.encode()).decode())

    def decrypt(self, encrypted_text: str) -> str:
        """Also what a former SECRET_KEY encrypted; ValidationError when it is under none that is known."""
        try:
            return str(_field().f.decrypt(encrypted_text.encode()).decode())
        except InvalidToken as error:
            logger.error("A second factor: %s", UnreadableError("Its secret"))
            msg = "Your second factor cannot be read any more. Ask the people who run this site to remove it."
            raise forms.ValidationError(msg) from error

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        """What a new passkey is called unless its owner says otherwise."""
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The host that passkeys are made for: PUBLIC_URL's, whatever Host header a request has."""
        return {"id": passkey_host(), "name": SITE_NAME}


def passkey_host() -> str:
    """The public host, or localhost for a browser on this machine, which takes no numbers for passkeys."""
    public = urlsplit(settings.PUBLIC_URL).hostname or ""
    asked = context.request.get_host().partition(":")[0]
    return asked if asked == "localhost" and _is_loopback(public) else public


def has_passkeys() -> bool:
    """Whether a browser makes passkeys for this host: none does for one without a name."""
    return not _is_number(passkey_host())


@transaction.atomic
def remove_all(user: User, *, by: User | None, address: str = "") -> int:
    """Take away every second factor and passkey of somebody who lost them; how many these were.

    The password alone opens the account again, so ask first who it is that has lost them. The person gets a mail, and
    the audit log an entry: `by` is who did it, from which `address`; None for an operator's command.
    """
    number, _by_model = Authenticator.objects.filter(user=user).delete()
    if number:
        details = {"second factors": [number, 0]}
        audit.record(audit.CHANGED, by=by, target=user, address=address, details=details)
        get_adapter().send_mail("mfa/email/factors_removed", user.email, {})
    return int(number)


@lru_cache
def _field() -> EncryptedTextField:
    return EncryptedTextField()


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_number(host) and ip_address(host).is_loopback)


def passkeys(request: object) -> dict[str, object]:
    """For page templates: `has_passkeys`, asked only by those that show them."""
    return {"has_passkeys": SimpleLazyObject(has_passkeys)}
