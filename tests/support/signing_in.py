"""Browsers of people who have signed in."""

from __future__ import annotations

import time
from typing import Any

from django.test import Client


def signed_in(user: Any) -> Client:
    """A test client of this user, who has just shown once more who they are."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "reauthenticated": True}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client
