"""`manage.py create_api_key`: a key that works, and a sentence for what cannot be."""

from __future__ import annotations

import io
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey, AuditEntry, User


def create(*arguments: str) -> str:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_key_works_whatever_the_case_of_the_address(owner: User) -> None:
    key = ApiKey.objects.authenticate(create("OWNER@example.com", "--scopes", "read, run", "--days", "3"))
    assert key is not None
    assert key.user == owner
    assert key.scopes == ["read", "run"]
    assert key.expires_at is not None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody@example.com"], "No active user has the address nobody@example.com"),
        (["owner@example.com", "--days", "0"], "from 1 to 36500"),
        (["owner@example.com", "--days", "-5"], "from 1 to 36500"),
        (["owner@example.com", "--days", "9" * 30], "from 1 to 36500"),
        (["owner@example.com", "--name", "x" * 101], "1 to 100 characters"),
        (["owner@example.com", "--scopes", ""], "Unknown scopes: “”. Choose from read, run, raw, manage"),
    ],
)
def test_odd_arguments_are_refused_with_what_is_right(arguments: list[str], says: str, owner: User) -> None:
    with pytest.raises(CommandError, match=says):
        create(*arguments)
    assert not ApiKey.objects.exists()


def test_the_audit_log_has_it(owner: Any) -> None:
    call_command("create_api_key", owner.email, stdout=StringIO())
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.person, entry.target_type) == (None, owner, "accounts.apikey")


def test_create_api_key_prints_a_key_that_works_and_stores_only_its_hash(owner: Any) -> None:
    out = io.StringIO()
    call_command("create_api_key", owner.email.upper(), stdout=out)
    secret = out.getvalue().strip()
    found = ApiKey.objects.authenticate(secret)
    assert found is not None
    assert found.user == owner
    assert secret not in str(ApiKey.objects.values())
    with pytest.raises(CommandError, match="No active user"):
        call_command("create_api_key", "nobody@example.com")
