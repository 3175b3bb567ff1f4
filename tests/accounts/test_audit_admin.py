"""The audit log in the admin: for whom, and what of it can be changed (nothing)."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts import audit, audit_admin
from accounts.models import AuditEntry, User
from tests.support.factories import make_user

LIST = "/admin/accounts/auditentry/"
pytestmark = [
    pytest.mark.django_db(transaction=True),  # the file is read in threads
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators"),
]


@pytest.fixture
def entry(owner: User, staff: User) -> AuditEntry:
    """Something that staff did to the owner."""
    return audit.record(audit.SUSPENDED, by=staff, target=owner, details={"reason": "=HYPERLINK(1)"})


@pytest.fixture
def other(stranger: User, staff: User) -> AuditEntry:
    """Something else, to somebody else."""
    return audit.record(audit.REINSTATED, by=staff, target=stranger)


def looker(*permissions: str) -> User:
    user = make_user("looker@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def rows_of(response: Any) -> list[dict[str, str]]:
    text = b"".join(response).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_it_is_for_staff_with_the_permission(entry: AuditEntry, owner: User, client_for: Any) -> None:
    without, permitted = client_for(looker()), None
    for address in (LIST, f"{LIST}{entry.pk}/change/"):
        assert Client().get(address).status_code == 302
        assert client_for(owner).get(address, follow=True).status_code == 403
        assert without.get(address).status_code == 403
    for browser, status in ((Client(), 302), (client_for(owner), 302), (without, 403)):
        assert browser.post(f"{LIST}export/").status_code == status
    User.objects.get(email="looker@example.com").user_permissions.add(
        Permission.objects.get(codename="view_auditentry")
    )
    permitted = client_for(User.objects.get(email="looker@example.com"))
    assert "suspended" in permitted.get(LIST).content.decode()
    assert permitted.get(f"{LIST}{entry.pk}/change/").status_code == 200
    assert permitted.post(f"{LIST}export/").status_code == 200
    assert permitted.get(f"{LIST}export/").status_code == 405


def test_nobody_adds_changes_or_deletes(entry: AuditEntry, admin: Client) -> None:
    assert admin.post(f"{LIST}add/", {}).status_code == 403
    assert admin.post(f"{LIST}{entry.pk}/change/", {"verb": "x"}).status_code == 403
    assert admin.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert AuditEntry.objects.get().verb == audit.SUSPENDED


@pytest.mark.parametrize(
    "query", ["verb=suspended", "q=owner@", "person={owner}", "verb=suspended&target_type=accounts.user"]
)
def test_filters_narrow_the_list_and_the_file(
    entry: AuditEntry, other: AuditEntry, owner: User, admin: Client, query: str
) -> None:
    query = query.format(owner=owner.pk)
    assert list(admin.get(f"{LIST}?{query}").context["cl"].result_list) == [entry]
    assert [row["to"] for row in rows_of(admin.post(f"{LIST}export/?{query}"))] == [owner.email]


def test_a_wrong_filter_leads_back(admin: Client) -> None:
    assert admin.post(f"{LIST}export/?person=x").status_code == 302


def test_the_file_has_everything_in_pages_and_is_logged(
    owner: User, staff: User, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_admin, "ROWS_AT_ONCE", 2)
    for _ in range(5):
        audit.record(audit.SUSPENDED, by=staff, target=owner)
    rows = rows_of(admin.post(f"{LIST}export/"))
    assert [row["what"] for row in rows] == [audit.EXPORTED, *[audit.SUSPENDED] * 5]
    assert rows[0]["by"] == staff.email


def test_texts_that_begin_like_formulas_are_harmless(entry: AuditEntry, admin: Client) -> None:
    assert audit_admin._harmless("=1+1") == "'=1+1"
    assert audit_admin._harmless(None) == ""
    (row,) = rows_of(admin.post(f"{LIST}export/?verb=suspended"))
    assert "HYPERLINK" in row["details"]


def test_details_are_shown_as_text(staff: User, owner: User, admin: Client) -> None:
    made = audit.record(audit.SUSPENDED, by=staff, target=owner, details={"reason": "<script>alert(1)</script>" * 9})
    for page in (LIST, f"{LIST}{made.pk}/change/"):
        assert "<script>alert" not in admin.get(page).content.decode()
