"""The page “Storage”: what is used, and deleting uploads."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client

from accounts.models import Plan, User
from generations.models import Asset, Status
from tests.support.factories import make_asset, make_generation, make_output, make_team


@pytest.mark.django_db
def test_the_page_shows_what_is_used_and_deletes_uploads(owner: User, stranger: User, client_for: Any) -> None:
    owner.plan = Plan.objects.create(name="1 MB", max_storage_mb=1)
    owner.save()
    client = client_for(owner)
    free, needed = make_asset(owner, name="free.png"), make_asset(owner, name="needed.png")
    result = make_output(make_generation(owner, status=Status.SUCCEEDED)).asset
    theirs = make_asset(stranger, name="theirs.png")
    make_generation(owner, input_assets=[needed])
    html = client.get("/account/storage/").content.decode()
    assert "free.png" in html
    assert "In use" in html
    assert "theirs.png" not in html
    for pk in (theirs.pk, result.pk, uuid.uuid4()):
        assert client.post(f"/account/storage/{pk}/delete/").status_code == 404
    client.post(f"/account/storage/{needed.pk}/delete/")
    client.post(f"/account/storage/{free.pk}/delete/")
    assert set(Asset.objects.filter(user=owner)) == {needed, result}
    make_asset(owner)
    client.post("/account/storage/delete/")
    assert set(Asset.objects.filter(user=owner)) == {needed, result}
    assert Asset.objects.filter(pk=theirs.pk).exists()


@pytest.mark.django_db
def test_members_are_offered_what_they_may_delete(owner: User, stranger: User, client_for: Any) -> None:
    team = make_team(owner, member=stranger)
    made = [make_asset(each, workspace=team) for each in (owner, stranger)]
    for user, number in ((owner, 2), (stranger, 1)):
        client = client_for(user)
        session = client.session
        session["workspace"] = str(team.public_id)
        session.save()
        html = client.get("/account/storage/").content.decode()
        offered = [each for each in made if f"/account/storage/{each.pk}/delete/" in html]
        assert len(offered) == number
    assert offered == made[1:]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["", "delete/", f"{uuid.UUID(int=1)}/delete/"])
def test_the_page_is_for_people_who_are_signed_in(path: str, client: Client, owner: User, client_for: Any) -> None:
    for method in (client.get, client.post):
        assert method(f"/account/storage/{path}").status_code == 302
    assert client_for(owner).get(f"/account/storage/{path}").status_code == (302 if path else 200)
