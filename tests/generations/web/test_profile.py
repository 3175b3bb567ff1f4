"""The profile page, and who sees pictures of people."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from PIL import Image

from accounts.models import Plan, User, Workspace
from generations.web import profile
from tests.support import bombs
from tests.support.factories import make_team
from tests.support.pictures import picture

pytestmark = pytest.mark.django_db
ClientFor = Callable[[Any], Client]
PAGE = "/account/profile/"
SETTINGS = (
    "/account/profile/", "/accounts/email/", "/accounts/password/change/", "/accounts/2fa/", "/accounts/sessions/",
    "/account/keys/", "/account/webhooks/", "/account/storage/", "/account/workspaces/", "/account/data/",
)  # fmt: skip


def send(client: Client, content: bytes, name: str = "me.png") -> str:
    """What the page says afterwards."""
    file = SimpleUploadedFile(name, content)
    return client.post(f"{PAGE}picture/", {"picture": file}, follow=True).content.decode()


def address_of(user: User) -> str:
    return f"/account/people/{user.pk}/picture/"


@pytest.mark.parametrize("path", SETTINGS)
def test_every_settings_page_leads_to_all_the_others(owner: User, client_for: ClientFor, path: str) -> None:
    html = client_for(owner).get(path).content.decode()
    assert all(f'href="{other}"' in html for other in SETTINGS)
    assert f'<a href="{path}" aria-current="page">' in html


def test_name_and_time_zone_are_saved(owner: User, client_for: ClientFor) -> None:
    client = client_for(owner)
    answer = client.post(PAGE, {"name": " Ada  Lovelace ", "time_zone": "Europe/Berlin"}, follow=True)
    assert "Your profile was saved." in answer.content.decode()
    owner.refresh_from_db()
    assert (owner.get_full_name(), owner.time_zone) == ("Ada Lovelace", "Europe/Berlin")
    for bad in ({"name": "x" * 101}, {"name": "a\u202eb"}, {"time_zone": "Europe/Nowhere"}):
        assert client.post(PAGE, bad).status_code == 422
    owner.refresh_from_db()
    assert owner.time_zone == "Europe/Berlin"


def test_a_zone_that_a_program_chose_by_another_name_stays(owner: User, client_for: ClientFor) -> None:
    User.objects.update(time_zone="US/Eastern")
    assert client_for(owner).post(PAGE, {"name": "", "time_zone": "US/Eastern"}).status_code == 302


def test_whoever_is_not_signed_in_is_sent_to_sign_in(owner: User) -> None:
    for path in (PAGE, address_of(owner)):
        assert Client().get(path).status_code == 302
    assert Client().post(f"{PAGE}picture/").status_code == 302


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_encoded_anew_without_its_notes(owner: User, client_for: ClientFor, kind: str) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "SECRETPLACE"
    Image.new("RGB", (900, 600), "teal").save(file, kind, exif=exif)
    client = client_for(owner)
    assert "Your picture was saved." in send(client, file.getvalue())
    answer = client.get(address_of(owner))
    assert answer["Content-Type"] == "image/webp" and b"SECRETPLACE" not in answer.content
    assert answer["X-Content-Type-Options"] == "nosniff" and "private" in answer["Cache-Control"]
    assert max(Image.open(io.BytesIO(answer.content)).size) == 512
    assert address_of(owner) in client.get("/").content.decode()  # in the header
    client.post(f"{PAGE}picture/", {"remove": "1"})
    assert client.get(address_of(owner)).status_code == 404
    assert address_of(owner) not in client.get("/").content.decode()


@pytest.mark.parametrize("content", [b"", b"no picture", b"<svg/>", picture("PNG")[:60], bombs.icon(picture())])
def test_what_is_no_picture_is_refused(owner: User, client_for: ClientFor, content: bytes) -> None:
    assert 'class="notice error"' in send(client_for(owner), content)
    owner.refresh_from_db()
    assert owner.avatar_hash == ""


def test_limits_come_before_work(owner: User, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_for(owner)
    monkeypatch.setattr("generations.comfy.decoders.ask", None)  # nothing is decoded
    assert "larger than 5 MB" in send(client, b"\x89PNG\r\n\x1a\n" + bytes(profile.MAX_MEGABYTES * 1024 * 1024))
    assert "Choose a picture first." in client.post(f"{PAGE}picture/", follow=True).content.decode()
    Workspace.objects.update(plan=Plan.objects.create(name="slow", uploads_per_minute=1))
    send(client, b"no picture")
    assert "a minute" in send(client, picture("PNG"))


def test_only_who_shares_a_workspace_sees_a_picture(
    owner: User, stranger: User, staff: User, client_for: ClientFor
) -> None:
    send(client_for(owner), picture("PNG"))
    for user, status in ((owner, 200), (stranger, 404), (staff, 404)):
        assert client_for(user).get(address_of(owner)).status_code == status
    team = make_team(owner, member=stranger)
    assert client_for(stranger).get(address_of(owner)).status_code == 200
    assert address_of(owner) in client_for(stranger).get(f"/account/workspaces/{team.public_id}/").content.decode()
    assert client_for(owner).get(address_of(stranger)).status_code == 404  # has none
    assert client_for(owner).get("/account/people/999999/picture/").status_code == 404
    Workspace.objects.filter(pk=team.pk).update(dissolve_after=timezone.now() + timedelta(days=1))
    assert client_for(stranger).get(address_of(owner)).status_code == 404
