"""Users and keys: addresses without case, and keys that give no more than they have."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from accounts.models import MAX_KEYS, ApiKey, KeyRefusedError, TooManyKeysError, User
from tests.support.factories import make_key, make_user
from tests.support.threads import AT_ONCE, at_once

pytestmark = pytest.mark.django_db


def test_the_rule_holds_for_whoever_issues(owner: User) -> None:
    weak, _ = ApiKey.objects.issue(user=owner, name="weak", scopes=["read"])
    with pytest.raises(KeyRefusedError):
        ApiKey.objects.issue(user=owner, name="strong", by=weak)


@pytest.mark.django_db(transaction=True)
def test_keys_that_are_made_at_once_stay_within_the_limit() -> None:
    user = make_user()
    for _ in range(MAX_KEYS - 1):
        make_key(user)
    outcomes = at_once(lambda: make_key(user))
    assert [type(each) for each in outcomes].count(TooManyKeysError) == AT_ONCE - 1, outcomes
    assert ApiKey.objects.filter(user=user).count() == MAX_KEYS


def test_addresses_are_unique_whatever_their_case() -> None:
    make_user("a@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="A@Example.com")
