"""Signing in, and guessing passwords."""

from __future__ import annotations

from typing import Any

from django.test import Client

PASSWORD = "correct horse battery"

TOO_MANY = "Too many failed login attempts"


def sign_in(client: Client, email: str, password: str, address: str = "203.0.113.1") -> Any:
    """The answer to the form of the sign-in, sent from that address."""
    return client.post("/accounts/login/", {"login": email, "password": password}, REMOTE_ADDR=address)


def guess(email: str, times: int, *, address: str = "198.51.100.7", client: Client | None = None) -> str:
    """The page after so many wrong passwords."""
    pages = [sign_in(client or Client(), email, "wrong", address).content.decode() for _ in range(times)]
    return pages[-1]


def confirm(client: Client, password: str = PASSWORD) -> Any:
    """The answer to the form that asks once more who is there, before what is dangerous."""
    return client.post("/accounts/reauthenticate/", {"password": password})
