"""The audit log: who, what, whom; only ever added to, and written in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory

from accounts import audit
from accounts.models import ApiKey, AppendOnlyError, AuditEntry, User
from tests.support.factories import make_user

CODE = Path(__file__).parents[2]


@pytest.fixture
def entry(owner: User, staff: User) -> AuditEntry:
    """Something that staff did to the owner."""
    return audit.record(audit.SUSPENDED, by=staff, target=owner, address="192.0.2.1", details={"reason": "spam"})


def test_an_entry_says_who_did_what_to_whom(entry: AuditEntry, owner: User, staff: User) -> None:
    entry.refresh_from_db()
    assert (entry.actor, entry.actor_label) == (staff, staff.email)
    assert (entry.target_type, entry.target_id, entry.target_label) == ("accounts.user", str(owner.pk), owner.email)
    assert (entry.person, entry.address, entry.details) == (owner, "192.0.2.1", {"reason": "spam"})


def test_a_thing_of_somebody_concerns_that_person(owner: User, staff: User) -> None:
    key, _secret = ApiKey.objects.issue(user=owner, name="laptop")
    made = audit.record(audit.KEY_REVOKED, by=staff, target=key, person=owner)
    assert list(AuditEntry.objects.about(owner.pk)) == [made]
    assert made.target_type == "accounts.apikey"


def test_a_request_brings_its_sender_and_address(owner: User, staff: User) -> None:
    request: Any = RequestFactory().post("/", REMOTE_ADDR="192.0.2.7")
    request.user = staff
    assert audit.note(request, audit.CHANGED, owner, fields=["plan"]).address == "192.0.2.7"
    request.user, request.impersonator = owner, staff
    assert audit.note(request, audit.IMPERSONATED, owner).actor == staff


def test_an_operators_command_has_no_actor(owner: User) -> None:
    made = audit.record(audit.ADDED, by=None, target=owner)
    assert (made.actor, made.actor_label) == (None, audit.COMMAND)


def test_entries_outlive_everybody_they_name(entry: AuditEntry, owner: User, staff: User) -> None:
    names = (staff.email, owner.email)
    owner.delete()
    staff.delete()
    entry = AuditEntry.objects.get()
    assert (entry.actor_label, entry.target_label) == names


def test_entries_are_neither_changed_nor_deleted(entry: AuditEntry) -> None:
    entry.verb = "nothing"
    for change in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(verb="nothing"),
        lambda: AuditEntry.objects.bulk_update([entry], ["verb"]),
    ):
        with pytest.raises(AppendOnlyError):
            change()
    assert AuditEntry.objects.get().verb == audit.SUSPENDED


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_auditentry SET verb = 'nothing'", "DELETE FROM accounts_auditentry"]
)
def test_the_database_refuses_it_too(entry: AuditEntry, statement: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get().verb == audit.SUSPENDED


def test_entries_are_written_in_one_place() -> None:
    writes = re.compile(r"AuditEntry\(|AuditEntry\.objects\.(create|bulk_create|get_or_create|update_or_create)")
    places = [
        str(path.relative_to(CODE))
        for room in ("accounts", "generations", "comfysaas")
        for path in (CODE / room).rglob("*.py")
        if writes.search(path.read_text().replace("class AuditEntry(", ""))
    ]
    assert places == ["accounts/audit.py"]


def test_long_labels_fit(staff: User) -> None:
    person = make_user(f"{'x' * 60}@{'y' * 60}.example.com")
    assert audit.record(audit.CHANGED, by=staff, target=person).target_label == person.email
