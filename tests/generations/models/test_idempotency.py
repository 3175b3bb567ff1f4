"""Keys that make a request count once."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from generations.lifecycle import services
from generations.models import Generation, IdempotencyKey
from generations.models.idempotency import KEPT, KeyReuseError
from tests.support.factories import make_server, make_template
from tests.support.threads import at_once


@pytest.mark.django_db(transaction=True)
def test_the_same_key_at_the_same_time_makes_one_job(owner: User) -> None:
    make_server()
    version = make_template().published_version
    assert version is not None

    def submit() -> str:
        extras = services.Extras(idempotency_key="at once")
        try:
            services.submit(user=owner, version=version, inputs={"prompt": "x"}, extras=extras)
        except KeyReuseError:
            return "refused"
        return "made"

    outcomes = cast("list[str]", at_once(submit, times=4))
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert Generation.objects.count() == 1


@pytest.mark.django_db
def test_a_used_key_is_refused_at_once_and_at_last_but_only_to_its_user(owner: User, stranger: User) -> None:
    IdempotencyKey.objects.ensure_unused(owner, "order-7")
    IdempotencyKey.objects.claim(owner, "order-7")
    for ask in (IdempotencyKey.objects.ensure_unused, IdempotencyKey.objects.claim):
        with pytest.raises(KeyReuseError):
            ask(owner, "order-7")
        ask(stranger, f"order-7 {ask.__name__}")
    IdempotencyKey.objects.claim(stranger, "order-7")
    IdempotencyKey.objects.claim(owner, "order-8")


@pytest.mark.django_db
def test_what_was_not_done_gives_its_key_back(owner: User) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        IdempotencyKey.objects.claim(owner, "order-7")
        raise ZeroDivisionError
    IdempotencyKey.objects.ensure_unused(owner, "order-7")
    IdempotencyKey.objects.claim(owner, "order-7")


@pytest.mark.django_db
def test_a_key_may_be_used_again_after_its_time(owner: User) -> None:
    IdempotencyKey.objects.claim(owner, "order-7")
    for age, is_free in ((KEPT - timedelta(minutes=1), False), (KEPT + timedelta(minutes=1), True)):
        IdempotencyKey.objects.update(created_at=timezone.now() - age)
        assert IdempotencyKey.objects.expired().exists() is is_free
    IdempotencyKey.objects.ensure_unused(owner, "order-7")
    IdempotencyKey.objects.claim(owner, "order-7")
    assert IdempotencyKey.objects.count() == 1  # the old one made room


@pytest.mark.django_db
def test_an_empty_key_is_none(owner: User) -> None:
    for _ in range(2):
        IdempotencyKey.objects.ensure_unused(owner, "")
        IdempotencyKey.objects.claim(owner, "")
    assert not IdempotencyKey.objects.exists()
