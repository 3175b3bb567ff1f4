"""What members of a team see of each other, and what nobody else sees: in pages, the API and files."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Role, User, Workspace
from generations.models import Asset, Generation, Webhook
from generations.webhooks import outbox
from tests.support.factories import (
    make_asset,
    make_generation,
    make_key,
    make_output,
    make_team,
    make_template,
    own,
    parameter,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]


@pytest.fixture
def team(owner: User, staff: User) -> Workspace:
    """Of an owner and a member. The other one of the cast stays outside."""
    owner.first_name = "Ana"
    owner.save()
    return make_team(owner, member=staff)


def program(user: User, workspace: Workspace) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_key(user, workspace=workspace)}"})


def browser(user: User, workspace: Workspace | None = None) -> Client:
    client = Client()
    client.force_login(user)
    if workspace is not None:
        session = client.session
        session["workspace"] = str(workspace.public_id)
        session.save()
    return client


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.fixture
def made(owner: User, team: Workspace) -> Generation:
    """The owner's, with a result."""
    generation = make_generation(owner, workspace=team, status="succeeded", template=make_template())
    make_output(generation, asset=make_asset(owner, workspace=team))
    return generation


def test_members_see_results_and_who_made_them(made: Generation, staff: User, team: Workspace) -> None:
    client = browser(staff, team)
    assert "by Ana" in text(client.get("/generations/"))
    page = text(client.get(f"/generations/{made.pk}/"))
    assert "Made by" in page
    assert "Ana</a> in Studio" in page
    asset = made.outputs.get().asset
    assert asset is not None
    assert client.get(f"/assets/{asset.pk}/").status_code == 200
    api = program(staff, team)
    job = api.get(f"/api/v2/jobs/{made.pk}").json()
    assert job["created_by"] == {"email": made.user.email, "name": "Ana"}
    assert [each["created_by"]["name"] for each in api.get("/api/v2/jobs").json()["jobs"]] == ["Ana"]
    assert api.get(f"/api/v2/assets/{asset.pk}").status_code == 200
    assert api.get(f"/api/v2/assets/{asset.pk}/content").status_code == 200


def addresses(made: Generation) -> list[str]:
    asset = made.outputs.get().asset
    assert asset is not None
    return [
        f"/generations/{made.pk}/",
        f"/generations/{made.pk}/panel/",
        f"/assets/{asset.pk}/",
        f"/assets/{asset.pk}/thumbnail/",
        f"/api/v2/jobs/{made.pk}",
        f"/api/v2/jobs/{made.pk}/events",
        f"/api/v2/jobs/{made.pk}/workflow",
        f"/api/v2/assets/{asset.pk}",
        f"/api/v2/assets/{asset.pk}/content",
    ]


def test_nobody_else_sees_them(made: Generation, owner: User, stranger: User) -> None:
    for address in addresses(made):
        assert browser(stranger).get(address).status_code == 404, address
        assert Client().get(address).status_code in {302, 401}, address
        if "/api/" in address:
            assert program(stranger, own(stranger)).get(address).status_code == 404, address
    # A key of another workspace of the same person does not, either.
    api = program(owner, own(owner))
    for address in addresses(made):
        if "/api/" in address:
            assert api.get(address).status_code == 404, address
    assert api.get("/api/v2/jobs").json()["jobs"] == []
    assert str(made.pk) not in text(browser(stranger).get("/generations/"))


def test_whoever_was_removed_sees_nothing_any_more(made: Generation, staff: User, team: Workspace) -> None:
    client = browser(staff, team)
    Membership.objects.get(workspace=team, user=staff).delete()
    for address in addresses(made):
        assert client.get(address).status_code == 404, address
    assert str(made.pk) not in text(client.get("/generations/"))


def test_a_team_that_is_being_dissolved_shows_nothing(made: Generation, owner: User, team: Workspace) -> None:
    Workspace.objects.filter(pk=team.pk).update(dissolve_after=timezone.now())
    client = browser(owner, team)
    for address in addresses(made):
        assert client.get(address).status_code == 404, address


def test_switching_changes_what_pages_show_and_act_on(owner: User, team: Workspace) -> None:
    template = make_template()
    here = make_generation(owner, workspace=team, status="succeeded", template=template)
    there = make_generation(owner, status="succeeded", template=template)
    make_asset(owner, workspace=team, name="team.png")
    make_asset(owner, name="mine.png")
    for workspace, url in ((team, "https://team.example/"), (own(owner), "https://mine.example/")):
        Webhook.objects.create(user=owner, workspace=workspace, url=url)
    in_team, at_home = browser(owner, team), browser(owner)
    assert str(here.pk) in text(in_team.get("/generations/"))
    assert str(there.pk) not in text(in_team.get("/generations/"))
    assert str(there.pk) in text(at_home.get("/generations/"))
    assert str(here.pk) not in text(at_home.get("/generations/"))
    for address, names in (
        ("/account/storage/", ("team.png", "mine.png")),
        ("/account/webhooks/", ("team.example", "mine.example")),
    ):
        assert [name in text(in_team.get(address)) for name in names] == [True, False], address
        assert [name in text(at_home.get(address)) for name in names] == [False, True], address
    # What is open in another workspace of the same person is found all the same: links lead there.
    assert at_home.get(f"/generations/{here.pk}/").status_code == 200


def test_history_by_member(made: Generation, owner: User, staff: User, stranger: User, team: Workspace) -> None:
    theirs = make_generation(staff, workspace=team, status="succeeded", template=made.version.template)
    client = browser(owner, team)
    page = text(client.get(f"/generations/?member={staff.pk}"))
    assert (str(theirs.pk) in page, str(made.pk) in page) == (True, False)
    for nobody in (stranger.pk, 10**17, "x", "1" * 40):
        assert client.get(f"/generations/?member={nobody}").status_code == 404
    api = program(owner, team)
    found = api.get("/api/v2/jobs", {"member": staff.email.upper()}).json()["jobs"]
    assert [each["id"] for each in found] == [str(theirs.pk)]
    assert api.get("/api/v2/jobs", {"member": stranger.email}).json()["jobs"] == []


def test_usage_of_the_team_and_of_a_member(made: Generation, owner: User, staff: User, team: Workspace) -> None:
    make_generation(staff, workspace=team, template=made.version.template)
    make_generation(owner, template=made.version.template)
    api = program(staff, team)
    assert sum(api.get("/api/v2/usage").json()["jobs"].values()) == 2
    assert sum(api.get("/api/v2/usage", {"member": owner.email}).json()["jobs"].values()) == 1
    assert sum(api.get("/api/v2/usage", {"member": "nobody@example.com"}).json()["jobs"].values()) == 0
    assert api.get("/api/v2/usage").json()["files"] == 1


def test_members_change_what_they_made_and_admins_everything(
    made: Generation, owner: User, staff: User, team: Workspace
) -> None:
    client, api = browser(staff, team), program(staff, team)
    waiting = make_generation(owner, workspace=team, template=made.version.template)
    assert "Ana made this" in text(client.post(f"/generations/{made.pk}/delete/", follow=True))
    assert "Ana made this" in text(client.post(f"/generations/{waiting.pk}/cancel/", follow=True))
    assert api.delete(f"/api/v2/jobs/{made.pk}").status_code == 403
    assert api.post(f"/api/v2/jobs/{waiting.pk}/cancel").status_code == 403
    body = {"action": "delete", "ids": [str(made.pk)]}
    assert api.post("/api/v2/jobs/bulk", body, "application/json").json()["results"][0]["result"] == "forbidden"
    upload = make_asset(owner, workspace=team)
    assert api.delete(f"/api/v2/assets/{upload.pk}").status_code == 403
    assert "Ana made this" in text(client.post(f"/account/storage/{upload.pk}/delete/", follow=True))
    assert Generation.objects.count() == 2
    assert Asset.objects.count() == 2
    Membership.objects.filter(workspace=team, user=staff).update(role=Role.ADMIN)
    assert api.delete(f"/api/v2/assets/{upload.pk}").status_code == 204
    assert api.delete(f"/api/v2/jobs/{made.pk}").status_code == 204
    assert api.post(f"/api/v2/jobs/{waiting.pk}/cancel").status_code == 200


def test_members_look_after_their_own_webhooks_and_admins_after_all(owner: User, staff: User, team: Workspace) -> None:
    hooks = [Webhook.objects.create(user=user, workspace=team, url="https://example.com/") for user in (owner, staff)]
    for client in (browser(staff, team), program(staff, team)):
        is_page = bool(client.cookies)
        address = "/account/webhooks/{}/" if is_page else "/api/v2/webhooks/{}"
        assert [client.get(address.format(hook.pk)).status_code for hook in hooks] == [404, 200]
    listed = program(owner, team).get("/api/v2/webhooks").json()["webhooks"]
    assert {each["id"] for each in listed} == {str(hook.pk) for hook in hooks}


def test_webhooks_of_the_workspace_hear_of_every_members_jobs(made: Generation, staff: User, team: Workspace) -> None:
    hook = Webhook.objects.create(user=staff, workspace=team, url="https://example.com/")
    Webhook.objects.create(user=made.user, url="https://example.com/")  # of the maker's own workspace
    outbox.notify(made)
    assert hook.deliveries.get().payload["data"]["created_by"]["name"] == "Ana"


def test_a_members_file_becomes_another_members_input_only_in_the_team(
    owner: User, staff: User, team: Workspace
) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    template = make_template(graph=graph, parameters=[parameter("photo", "image", "1", "image", required=True)])
    file = make_asset(owner, workspace=team)
    body = {"inputs": {"photo": str(file.pk)}}
    here = program(staff, team).post(f"/api/v2/templates/{template.slug}/jobs", body, "application/json")
    there = program(staff, own(staff)).post(f"/api/v2/templates/{template.slug}/jobs", body, "application/json")
    assert (here.status_code, there.status_code) == (201, 422), (here.content, there.content)


def test_what_another_member_made_is_run_again_as_ones_own(made: Generation, staff: User, team: Workspace) -> None:
    browser(staff, team).post(f"/generations/{made.pk}/rerun/")
    again = Generation.objects.exclude(pk=made.pk).get()
    assert (again.user, again.workspace) == (staff, team)


def test_keys_are_each_members_own(owner: User, staff: User, team: Workspace) -> None:
    make_key(owner, workspace=team)
    theirs = program(staff, team)
    assert len(theirs.get("/api/v2/keys").json()["keys"]) == 1
    key = owner.api_keys.get(workspace=team)
    assert theirs.delete(f"/api/v2/keys/{key.prefix}").status_code == 404
    assert browser(staff, team).post(f"/keys/{key.prefix}/revoke/").status_code == 404
