"""Second factors and passkeys: what django-allauth leaves to us."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.utils.functional import SimpleLazyObject
from encrypted_fields.fields import EncryptedTextField

from accounts.models import User

SITE_NAME = "comfysaas"


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    """Secrets lie in the database encrypted; passkeys belong to the public host."""

    def encrypt(self, text: str) -> str:
        """With the key that encrypts all other stored secrets."""
        return str(_field().f.encrypt(text.encode()).decode())

    def decrypt(self, encrypted_text: str) -> str:
        """Also what a former SECRET_KEY encrypted."""
        return str(_field().f.decrypt(encrypted_text.encode()).decode())

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


def remove_all(user: User) -> int:
    """Take away every second factor and passkey of somebody who lost them; how many these were.

    The password alone opens the account again, so ask first who it is that has lost them.
    """
    number, _by_model = Authenticator.objects.filter(user=user).delete()
    return int(number)


@cache
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
