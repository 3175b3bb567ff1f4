"""The page “Your data”: exports for their owner alone, asked for by whoever shows once more who they are."""

from __future__ import annotations

import io
import uuid
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone

from accounts.models import User, Workspace
from generations.lifecycle import exporting
from generations.models import DataExport
from tests.accounts.guessing import PASSWORD, sign_in
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db(transaction=True)
PAGE, EXPORT = "/account/data/", "/account/data/export/"


def ready(user: User) -> DataExport:
    export = exporting.request(user)
    exporting.make_export(str(export.pk))
    export.refresh_from_db()
    assert export.is_ready
    return export


async def body(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.streaming_content])


def test_pages_are_for_people_who_are_signed_in(owner: User) -> None:
    export = ready(owner)
    for path in (PAGE, EXPORT, f"{PAGE}{export.pk}/"):
        assert Client().get(path)["Location"].startswith("/accounts/login/")
    assert Client().post(EXPORT)["Location"].startswith("/accounts/login/")


def test_the_owner_gets_the_archive_and_nobody_else(owner: User, stranger: User, staff: User, client_for: Any) -> None:
    export = ready(owner)
    path = f"{PAGE}{export.pk}/"
    for other in (stranger, staff):
        assert client_for(other).get(path).status_code == 404
    assert client_for(owner).get(f"{PAGE}{uuid.uuid4()}/").status_code == 404
    response = client_for(owner).get(path)
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith("attachment")
    assert "private" in response["Cache-Control"]
    with zipfile.ZipFile(io.BytesIO(async_to_sync(body)(response))) as archive:
        assert "account.json" in archive.namelist()
    assert path in client_for(owner).get(PAGE).content.decode()
    DataExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client_for(owner).get(path).status_code == 404


def test_asking_twice_is_refused_with_a_reason(owner: User, client_for: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ask", lambda *_: None)
    client = client_for(owner)
    assert "send you a mail" in client.post(EXPORT, follow=True).content.decode()
    assert "being made already" in client.post(EXPORT, follow=True).content.decode()
    assert DataExport.objects.count() == 1


def test_asking_needs_another_look_at_who_it_is(owner: User, client_for: Any) -> None:
    client = client_for(owner)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": 1.0}]
    session.save()
    assert "reauthenticate" in client.post(EXPORT)["Location"]
    assert not DataExport.objects.exists()


def test_whoever_has_just_signed_in_is_not_asked_again(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ask", lambda *_: None)
    client = Client()
    sign_in(client, owner.email, PASSWORD)
    assert client.post(EXPORT)["Location"] == PAGE
    assert DataExport.objects.count() == 1
    DataExport.objects.all().delete()
    assert client.post("/api/v2/me/export").status_code == 202


def test_an_owner_has_a_team_exported_from_its_page(owner: User, stranger: User, client_for: Any) -> None:
    team = make_team(owner, admin=stranger, name="Film crew")
    page, path = f"/account/workspaces/{team.public_id}/", f"/account/workspaces/{team.public_id}/export/"
    assert [path in client_for(user).get(page).content.decode() for user in (owner, stranger)] == [True, False]
    assert client_for(stranger).post(path).status_code == 403
    client = client_for(owner)
    assert "archive of the team" in client.post(path, follow=True).content.decode()
    export = DataExport.objects.get()
    exporting.make_export(str(export.pk))
    shown = client.get(PAGE).content.decode()
    assert "Export of “Film crew”" in shown
    assert f"/account/data/{export.pk}/" in shown
    assert client_for(stranger).get(f"/account/data/{export.pk}/").status_code == 404
    assert client.get(f"/account/data/{export.pk}/").status_code == 200
    own = Workspace.objects.personal_of(owner)
    assert client.post(f"/account/workspaces/{own.public_id}/export/").status_code == 403


@pytest.mark.parametrize("state", list(DataExport.State))
def test_the_page_says_where_an_export_stands(owner: User, client_for: Any, state: str) -> None:
    DataExport.objects.create(user=owner, state=state, expires_at=timezone.now() - timedelta(days=1))
    words = {"waiting": "Being made", "ready": "It was deleted", "failed": "could not be made"}
    assert words[state] in client_for(owner).get(PAGE).content.decode()
