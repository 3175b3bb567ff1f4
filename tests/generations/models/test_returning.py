"""An UPDATE that says what it changed: on both databases, with every kind of column."""

from __future__ import annotations

import uuid

import pytest
from django.db.models import Exists, F
from django.db.models.functions import Coalesce
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from generations.models import Generation, Status, Webhook
from generations.models.returning import update_returning
from tests.support.factories import make_generation, make_user

pytestmark = pytest.mark.django_db


def test_columns_come_back_as_they_are_now_and_expressions_beside_them(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    generation, now = make_generation(make_user(), status=Status.RUNNING, partner_key="secret"), timezone.now()
    rows = Generation.objects.filter(pk=generation.pk, status__in=(Status.RUNNING,)).order_by("created_at")
    changes = {"attempt": F("attempt") + 1, "started_at": Coalesce("started_at", now), "upstream_outputs": {"9": [1]}}
    hooks = Webhook.objects.filter(user=generation.user)
    with django_assert_num_queries(1):
        found = update_returning(
            rows, changes, "id", "attempt", "started_at", "upstream_outputs", "partner_key", Exists(hooks)
        )
    assert found == [(generation.pk, 1, now, {"9": [1]}, "secret", False)]
    Webhook.objects.create(user=generation.user, url="https://example.com")
    assert update_returning(rows, {"attempt": 7}, Exists(hooks), "attempt") == [(True, 7)]


def test_what_changes_nothing_returns_nothing() -> None:
    assert update_returning(Generation.objects.filter(pk=uuid.uuid4()), {"attempt": 1}, "id") == []
