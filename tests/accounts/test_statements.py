"""Statements that are kept: the same rows as Django's own, whatever kind of column, and never those of another call."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, models, transaction
from django.db.models import Exists, F, Value
from django.db.models.functions import Coalesce
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import ApiKey, Plan, User
from accounts.statements import Columns, Kept, KeptUpdate, Slot, prepared
from generations.models import Generation, Status, Webhook
from tests.support.factories import make_generation, make_user

pytestmark = pytest.mark.django_db
PK, NUMBER = Slot("pk", models.UUIDField()), models.BigIntegerField()


def test_rows_and_their_relations_come_with_one_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    kept = Kept(lambda: ApiKey.objects.select_related("user__plan").filter(name=Slot("name", models.CharField())))
    with_plan, without = make_user(plan=Plan.objects.create(name="three", weight=3.0)), make_user("other@example.com")
    for number, user in enumerate((with_plan, without)):
        ApiKey.objects.issue(user=user, name=f"key {number}")
    for number, user in enumerate((with_plan, without)):
        with django_assert_num_queries(1):
            key = kept.first(name=f"key {number}")
            assert key is not None
            assert key.user.plan == user.plan
        assert {name: value for name, value in vars(key).items() if name != "_state"} == {
            name: value for name, value in vars(ApiKey.objects.get(user=user)).items() if name != "_state"
        }
        assert key._state.adding is False
    assert kept.first(name="another one") is None


def test_columns_come_as_tuples_converted_as_django_does() -> None:
    kept = Kept(lambda: Generation.objects.filter(pk=PK).values_list("pk", "inputs", "created_at", "is_memory_retry"))
    generation = make_generation(make_user(), inputs={"a": [1]})
    assert kept.all(pk=generation.pk) == [(generation.pk, {"a": [1]}, generation.created_at, False)]
    assert kept.all(pk=uuid.uuid4()) == []


def test_annotations_are_attributes_and_deferred_columns_are_read_later() -> None:
    kept = Kept(lambda: Generation.objects.defer("inputs").annotate(next=F("attempt") + 1).filter(pk=PK))
    generation = make_generation(make_user(), inputs={"a": 1})
    found: Any = kept.first(pk=generation.pk)
    assert found.next == generation.attempt + 1
    assert found.get_deferred_fields() == {"inputs"}
    assert found.inputs == {"a": 1}


@pytest.mark.parametrize("text", ["it's", "100 %", "%s", "a\\b", '"', "ünï✓"])
def test_constants_and_values_are_taken_as_they_are(text: str) -> None:
    generation = make_generation(make_user(), error_class_type=text)
    make_generation(generation.user, error_class_type="another")
    as_constant = Kept(lambda: Generation.objects.filter(error_class_type=text))
    as_value = Kept(lambda: Generation.objects.filter(error_class_type=Slot("text", models.TextField())))
    for _ in range(2):
        assert as_constant.all() == as_value.all(text=text) == [generation]


def test_a_moment_is_never_part_of_the_text() -> None:
    kept = Kept(lambda: Generation.objects.filter(created_at__lt=timezone.now()))
    if connection.vendor == "postgresql":
        with pytest.raises(TypeError, match="must be a slot"):
            kept.all()
    later = Kept(lambda: Generation.objects.filter(created_at__lt=Slot("now", models.DateTimeField())))
    generation, now = make_generation(make_user()), timezone.now()
    assert later.all(now=now) == [generation]
    assert later.all(now=now - timedelta(hours=1)) == []


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        Kept(lambda: Generation.objects.filter(pk=PK)).all()


@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_only_within_a_transaction() -> None:
    kept = Kept(lambda: User.objects.select_for_update().filter(pk=Slot("pk", NUMBER)))
    user = make_user()
    with transaction.atomic():
        assert kept.first(pk=user.pk) == user
    if connection.features.has_select_for_update:
        with pytest.raises(transaction.TransactionManagementError):
            kept.first(pk=user.pk)


def test_an_update_returns_columns_as_they_are_now_and_expressions_beside_them(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    generation, now = make_generation(make_user(), status=Status.RUNNING, partner_key="secret"), timezone.now()
    change = KeptUpdate(
        lambda: (
            Generation.objects.filter(pk=PK, status__in=(Status.RUNNING,)).order_by("created_at"),
            {
                "attempt": F("attempt") + 1,
                "started_at": Coalesce("started_at", Slot("now", models.DateTimeField())),
                "upstream_outputs": Slot("outputs", models.JSONField()),
            },
            (
                "id",
                "attempt",
                "started_at",
                "upstream_outputs",
                "partner_key",
                Exists(Webhook.objects.filter(user=Slot("user", NUMBER))),
            ),
        )
    )
    values = {"pk": generation.pk, "now": now, "outputs": {"9": [1]}, "user": generation.user_id}
    with django_assert_num_queries(1):
        assert change(**values) == [(generation.pk, 1, now, {"9": [1]}, "secret", False)]
    Webhook.objects.create(user=generation.user, url="https://example.com")
    later = now + timedelta(seconds=1)
    assert change(**values | {"now": later}) == [(generation.pk, 2, now, {"9": [1]}, "secret", True)]
    assert change(**values | {"pk": uuid.uuid4()}) == []


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite plans nothing in advance")
def test_postgresql_plans_it_once_in_a_connection() -> None:
    kept = Kept(lambda: User.objects.filter(pk=Slot("pk", NUMBER)))
    user = make_user()
    with CaptureQueriesContext(connection):
        for _ in range(3):
            kept.first(pk=user.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_prepared_statements WHERE statement LIKE 'SELECT \"accounts_user\"%'")
        assert len(cursor.fetchall()) == 1


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite plans nothing in advance")
def test_a_pooler_that_knows_no_prepared_statements_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.ensure_connection()
    monkeypatch.setattr(connection.connection, "prepare_threshold", None)  # as with DATABASE_PREPARED=false
    kept = Kept(lambda: User.objects.filter(pk=Slot("pk", NUMBER)).annotate(mark=Value("only here")))
    assert kept.first(pk=make_user().pk) is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_prepared_statements WHERE statement LIKE '%only here%'")
        assert cursor.fetchall() == []


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite plans nothing in advance")
@pytest.mark.django_db(transaction=True)
def test_a_migration_that_changes_a_columns_type_costs_nothing_but_the_plans() -> None:
    kept = Kept(lambda: User.objects.filter(pk=Slot("pk", NUMBER)))
    user = make_user()
    kept.first(pk=user.pk)

    def migrate(size: int) -> None:
        names = ("host", "port", "user", "password", "dbname")
        own = {name: value for name, value in connection.get_connection_params().items() if name in names}
        with psycopg.connect(**own, autocommit=True) as other:
            other.execute(f"ALTER TABLE accounts_user ALTER COLUMN first_name TYPE varchar({size})")

    migrate(200)
    try:
        assert kept.first(pk=user.pk) == user
        assert kept.first(pk=user.pk) == user
    finally:
        migrate(150)


def test_other_statements_are_asked_as_before() -> None:
    with prepared():
        pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", ["text"])
        assert cursor.fetchone() == ("text",)


def test_records_hold_what_django_would_write() -> None:
    generation = make_generation(make_user(), partner_key="secret", inputs={"a": [1, "ü"]}, tag=0.1 + 0.2)
    (record,) = json.loads(Columns(Generation).records([generation]))
    assert uuid.UUID(record["id"]) == generation.pk
    assert record["inputs"] == {"a": [1, "ü"]}
    assert record["tag"] == 0.1 + 0.2
    assert "secret" not in json.dumps(record)  # it is encrypted
    assert record.keys() == set(Columns(Generation).names)
