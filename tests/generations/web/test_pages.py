"""Each page: works, anonymous, stranger, missing, bad input."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import workspaces
from accounts.models import ApiKey, Plan, Role, Workspace
from generations.models import Asset, Generation, Status, Webhook
from tests.support.factories import (
    make_asset,
    make_generation,
    make_output,
    make_server,
    make_team,
    make_template,
    parameter,
    txt2img_graph,
)
from tests.support.pictures import png

ClientFor = Callable[[Any], Client]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def client_of_owner(owner: Any, client_for: ClientFor) -> Client:
    return client_for(owner)


def urls(generation: Generation) -> list[str]:
    return [f"/generations/{generation.pk}/", f"/generations/{generation.pk}/panel/"]


# ------------------------------------------------------------------------------------------ who may come in
@pytest.mark.parametrize("path", ["/", "/templates/text-to-image/", "/generations/"])
def test_anonymous_visitors_are_sent_to_sign_in(db: None, path: str) -> None:
    make_template()
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize("action", ["", "panel/", "cancel/", "rerun/", "delete/"])
@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_somebody_elses_generation_is_a_404_for_everybody(
    owner: Any, who: str, action: str, client_for: ClientFor, request: pytest.FixtureRequest
) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    client = client_for(request.getfixturevalue(who))
    send = client.get if action in {"", "panel/"} else client.post
    assert send(f"/generations/{generation.pk}/{action}").status_code == 404
    assert Generation.objects.get(pk=generation.pk).status == Status.SUCCEEDED


@pytest.mark.parametrize("action", ["cancel/", "rerun/", "delete/"])
def test_actions_are_post_only_and_csrf_checked(owner: Any, client_of_owner: Client, action: str) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    path = f"/generations/{generation.pk}/{action}"
    assert client_of_owner.get(path)["Location"] == f"/generations/{generation.pk}/"
    assert client_of_owner.put(path).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client_of_owner.cookies
    assert strict.post(path).status_code == 403


def test_unknown_generations_are_a_404(client_of_owner: Client) -> None:
    assert client_of_owner.get(f"/generations/{uuid.uuid4()}/").status_code == 404
    assert client_of_owner.get("/generations/nonsense/").status_code == 404


# ------------------------------------------------------------------------------------------ gallery and template
def test_the_gallery_shows_what_one_may_run_and_nothing_else(owner: Any, staff: Any, client_for: ClientFor) -> None:
    make_template("open", title="For everybody")
    make_template("draft", title="Unpublished", publish=False)
    closed = make_template("closed", title="For members", visibility="groups")
    group = Group.objects.create(name="members")
    closed.groups.add(group)
    page = client_for(owner).get("/").content.decode()
    assert "For everybody" in page
    assert "Unpublished" not in page
    assert "For members" not in page
    assert client_for(owner).get("/templates/closed/").status_code == 404
    assert client_for(owner).get("/templates/draft/").status_code == 404
    owner.groups.add(group)
    assert "For members" in client_for(owner).get("/").content.decode()
    assert client_for(owner).get("/templates/closed/").status_code == 200


@pytest.mark.usefixtures("known_server")
def test_a_template_of_a_workspace_comes_and_goes_with_the_switch(owner: Any, client_for: ClientFor) -> None:
    team, client = make_team(owner, name="Film"), client_for(owner)
    template = make_template("films", title="For films", visibility="workspaces")
    template.workspaces.add(team)
    for is_there in (False, True):
        if is_there:
            client.post(f"/account/workspaces/{team.public_id}/switch/")
        assert ("For films" in client.get("/").content.decode()) is is_there
        assert client.get("/templates/films/").status_code == (200 if is_there else 404)
        assert client.post("/templates/films/", {}).status_code == (302 if is_there else 404)


def test_the_gallery_can_be_searched_and_says_when_it_is_empty(client_of_owner: Client) -> None:
    assert "No templates yet" in client_of_owner.get("/").content.decode()
    make_template(title="Portraits")
    assert "Portraits" in client_of_owner.get("/?q=portr").content.decode()
    assert "No templates match “zebra”" in client_of_owner.get("/?q=zebra").content.decode()


@pytest.mark.usefixtures("known_server")
def test_submitting_without_scripts_leads_to_the_generation(owner: Any, client_of_owner: Client) -> None:
    make_template()
    data = {"prompt": "a fox", "seed": str(2**64 - 1), "steps": "7", "cfg": "3.5", "width": "64", "height": "128"}
    response = client_of_owner.post("/templates/text-to-image/", data)
    generation = Generation.objects.get()
    assert response["Location"] == f"/generations/{generation.pk}/"
    assert generation.inputs == {
        "prompt": "a fox", "negative_prompt": "watermark", "seed": str(2**64 - 1), "steps": 7, "cfg": 3.5, "width": 64,
        "height": 128,
    }  # fmt: skip
    assert generation.user == owner


@pytest.mark.usefixtures("known_server")
def test_submitting_with_htmx_answers_with_the_live_panel(client_of_owner: Client) -> None:
    make_template()
    response = client_of_owner.post("/templates/text-to-image/", {"prompt": "a fox"}, headers=HTMX)
    generation = Generation.objects.get()
    assert f'data-prompt-id="{generation.pk}"' in response.content.decode()
    assert generation.inputs["seed"].isdigit()  # drawn, and kept


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", "0"), ("steps", "99"), ("steps", "many"), ("cfg", "NaN"), ("seed", str(2**64)), ("prompt", " ")],
)
def test_a_wrong_value_is_said_beside_its_field(client_of_owner: Client, name: str, value: str) -> None:
    make_template()
    data = {"prompt": "a fox", name: value}
    for headers in ({}, HTMX):
        response = client_of_owner.post("/templates/text-to-image/", data, headers=headers)
        assert response.status_code == 422
        assert list(response.context["form"].errors) == [name]
        assert "errorlist" in response.content.decode()
    assert response["HX-Retarget"] == "#run-form"
    assert not Generation.objects.exists()


def test_an_earlier_generations_inputs_can_be_edited_but_not_a_strangers(
    owner: Any, stranger: Any, client_of_owner: Client
) -> None:
    mine = make_generation(owner, inputs={"prompt": "my own words"})
    theirs = make_generation(stranger, inputs={"prompt": "their secret"})
    assert "my own words" in client_of_owner.get(f"/templates/text-to-image/?from={mine.pk}").content.decode()
    assert "their secret" not in client_of_owner.get(f"/templates/text-to-image/?from={theirs.pk}").content.decode()
    assert client_of_owner.get("/templates/text-to-image/?from=nonsense").status_code == 200


def picture_template(*others: Any) -> None:
    graph = txt2img_graph()
    graph["10"] = {"class_type": "LoadImage", "inputs": {"image": "x.png"}}
    definitions = [parameter("image", "image", "10", "image", required=True), *others]
    make_template("picture", graph=graph, parameters=definitions)


@pytest.mark.usefixtures("known_server")
def test_an_uploaded_picture_becomes_an_asset_of_its_owner(owner: Any, client_of_owner: Client) -> None:
    picture_template()
    client_of_owner.post("/templates/picture/", {"image": SimpleUploadedFile("a.png", png(), "image/png")})
    asset = Asset.objects.get()
    assert asset.user == owner
    assert Generation.objects.get().inputs == {"image": str(asset.pk)}


@pytest.mark.usefixtures("known_server")
@pytest.mark.parametrize("is_htmx", [True, False])
def test_a_file_stays_chosen_when_something_else_is_wrong(client_of_owner: Client, is_htmx: bool) -> None:
    number = parameter("steps", "integer", "3", "steps", minimum=1, maximum=50, required=True)
    picture_template(number)
    headers = HTMX if is_htmx else {}
    sent = {"image": SimpleUploadedFile("a.png", png(), "image/png"), "steps": "500"}
    refused = client_of_owner.post("/templates/picture/", sent, headers=headers)
    assert refused.status_code == 422
    assert list(refused.context["form"].errors) == ["steps"]
    asset = Asset.objects.get()
    hidden = f'<input type="hidden" name="image_asset" value="{asset.pk}" id="id_image_asset">'
    assert hidden in refused.content.decode()
    again = {"image_asset": str(asset.pk), "steps": "5"}
    assert client_of_owner.post("/templates/picture/", again, headers=headers).status_code in {200, 302}
    assert Generation.objects.get().inputs == {"image": str(asset.pk), "steps": 5}


@pytest.mark.parametrize("content", [b"<svg onload='x'/>", b"\x89PNG\r\n\x1a\nbroken", b"text"])
def test_what_is_no_picture_is_refused_at_its_field(client_of_owner: Client, content: bytes) -> None:
    picture_template()
    response = client_of_owner.post("/templates/picture/", {"image": SimpleUploadedFile("a.png", content, "image/png")})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["image"]
    assert not Asset.objects.exists()


def test_a_strangers_asset_cannot_be_an_input(stranger: Any, client_of_owner: Client) -> None:
    picture_template()
    theirs = make_asset(stranger)
    response = client_of_owner.post("/templates/picture/", {"image_asset": str(theirs.pk)})
    assert response.status_code == 422
    assert "You have no file with this id" in response.content.decode()


# ------------------------------------------------------------------------------------------ history and generation
def test_the_history_is_paged_newest_first_and_never_skips_or_repeats(owner: Any, client_of_owner: Client) -> None:
    template = make_template()
    now = timezone.now()
    made = [make_generation(owner, template=template, created_at=now - timedelta(seconds=n // 3)) for n in range(60)]
    seen: list[str] = []
    path = "/generations/"
    while path:
        response = client_of_owner.get(path)
        seen += [str(card["generation"].pk) for card in response.context["cards"]]
        path = f"/generations/?{response.context['next']}" if response.context["next"] else ""
    assert sorted(seen) == sorted(str(each.pk) for each in made)
    times = {str(each.pk): each.created_at for each in made}
    assert [times[pk] for pk in seen] == sorted(times.values(), reverse=True)


def test_the_history_costs_the_same_queries_however_long_it_is(
    owner: Any, client_of_owner: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template()
    for _ in range(10):
        make_output(make_generation(owner, template=template, status=Status.SUCCEEDED))
    client_of_owner.get("/generations/")  # which notes that the session is used
    with django_assert_max_num_queries(6):  # session, user, workspaces, generations, outputs, files
        assert client_of_owner.get("/generations/").status_code == 200


@pytest.mark.parametrize("cursor", ["nonsense", "2026-01-01", ",", f"2026-01-01T00:00:00,{uuid.UUID(int=1)}"])
def test_a_broken_place_in_the_history_is_a_400(client_of_owner: Client, cursor: str) -> None:
    assert client_of_owner.get("/generations/", {"before": cursor}).status_code == 400


def test_a_strangers_generations_are_not_in_ones_history(stranger: Any, client_of_owner: Client) -> None:
    make_generation(stranger)
    assert "No generations yet" in client_of_owner.get("/generations/").content.decode()


def test_the_generation_page_shows_results_inputs_and_times(owner: Any, client_of_owner: Client) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED, inputs={"prompt": "a fox <b>", "seed": "7"})
    output = make_output(generation)
    make_output(generation, position=1, value="some words <script>", key="text")
    page = client_of_owner.get(f"/generations/{generation.pk}/").content.decode()
    assert f"/assets/{output.asset_id}/" in page
    assert "a fox &lt;b&gt;" in page
    assert "some words &lt;script&gt;" in page
    assert "version" in page


def test_a_failed_generation_names_the_node_and_hides_the_rest(owner: Any, client_of_owner: Client) -> None:
    generation = make_generation(
        owner, status=Status.FAILED, error_node_title="My sampler", error_message="too big",
        error_detail={"traceback": ["/srv/comfyui/secret.py"]},
    )  # fmt: skip
    for path in urls(generation):
        page = client_of_owner.get(path).content.decode()
        assert "My sampler" in page
        assert "too big" in page
        assert "secret.py" not in page


def test_a_canceled_generation_shows_no_results(owner: Any, client_of_owner: Client) -> None:
    generation = make_generation(owner, status=Status.CANCELED)
    output = make_output(generation)
    page = client_of_owner.get(f"/generations/{generation.pk}/").content.decode()
    assert str(output.asset_id) not in page


@pytest.mark.usefixtures("known_server")
def test_cancel_and_rerun_and_delete(
    owner: Any, client_of_owner: Client, media_root: Path, eager_tasks: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    generation = make_generation(owner, inputs={"prompt": "a fox", "seed": "7"})
    client_of_owner.post(f"/generations/{generation.pk}/delete/")
    assert Generation.objects.filter(pk=generation.pk).exists()  # not while it is under way
    client_of_owner.post(f"/generations/{generation.pk}/cancel/")
    generation.refresh_from_db()
    assert generation.status == Status.CANCELED
    same = client_of_owner.post(f"/generations/{generation.pk}/rerun/")["Location"].split("/")[2]
    fresh = client_of_owner.post(f"/generations/{generation.pk}/rerun/", {"new_seed": "1"})["Location"].split("/")[2]
    assert Generation.objects.get(pk=same).inputs["seed"] == "7"
    assert Generation.objects.get(pk=fresh).inputs["seed"] != "7"
    make_output(generation)
    with django_capture_on_commit_callbacks(execute=True):
        response = client_of_owner.post(f"/generations/{generation.pk}/delete/")
    assert response["Location"] == "/generations/"
    assert not Generation.objects.filter(pk=generation.pk).exists()
    assert not Asset.objects.exists()
    assert not [path for path in media_root.rglob("*") if path.is_file()]


def test_pages_forbid_inline_scripts_and_framing(client_of_owner: Client) -> None:
    response = client_of_owner.get("/")
    policy = response["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.usefixtures("known_server")
def test_pages_say_why_nothing_more_may_wait(owner: Any, client_of_owner: Client) -> None:
    make_template()
    owner.plan = Plan.objects.create(name="small", max_queued=1)
    owner.save()
    first = make_generation(owner)
    for headers in ({}, HTMX):
        response = client_of_owner.post("/templates/text-to-image/", {"prompt": "x"}, headers=headers)
        assert response.status_code == 422
        assert "already have 1 generation waiting" in response.content.decode()
    done = make_generation(owner, status=Status.SUCCEEDED)
    response = client_of_owner.post(f"/generations/{done.pk}/rerun/", follow=True)
    assert "already have 1 generation waiting" in response.content.decode()
    assert Generation.objects.filter(status=Status.QUEUED).get() == first


def test_pages_say_what_the_servers_lack(owner: Any, client_of_owner: Client) -> None:
    make_template()
    make_server(object_info={"SaveImage": {}}, object_info_at=timezone.now())
    response = client_of_owner.post("/templates/text-to-image/", {"prompt": "x"})
    assert "lack the node type CLIPTextEncode" in response.content.decode()


# ------------------------------------------------------------------------------------------ two windows
def shown_workspace(client: Client, path: str) -> dict[str, str]:
    """What the page's form says about the workspace that it is for."""
    found = re.search(r'name="_workspace" value="([^"]+)"', client.get(path).content.decode())
    assert found is not None
    return {"_workspace": found[1]}


def switch(client: Client, workspace: Workspace) -> None:
    client.post(f"/account/workspaces/{workspace.public_id}/switch/")


@pytest.fixture
def elsewhere(owner: Any, stranger: Any) -> Workspace:
    """A team that the owner works in, too."""
    return make_team(stranger, member=owner)


def test_a_form_does_what_its_page_said_though_another_window_switched(
    owner: Any, client_of_owner: Client, elsewhere: Workspace
) -> None:
    make_template()
    make_server()
    kept, theirs = make_asset(owner), make_asset(owner, workspace=elsewhere)
    own, client = Workspace.objects.personal_of(owner), client_of_owner
    for path, target, fields in (
        ("/templates/text-to-image/", "/templates/text-to-image/", {"prompt": "private"}),
        ("/account/keys/", "/account/keys/", {"name": "k", "scopes": "read"}),
        ("/account/webhooks/", "/account/webhooks/", {"url": "https://example.com/hook", "events": "job.failed"}),
        ("/account/storage/", "/account/storage/delete/", {}),
    ):
        switch(client, own)
        sent = {**fields, **shown_workspace(client, path)}
        switch(client, elsewhere)
        assert client.post(target, sent).status_code < 400
    assert [each.workspace for each in Generation.objects.all()] == [own]
    assert [each.workspace for each in ApiKey.objects.all()] == [own]
    assert [each.workspace for each in Webhook.objects.all()] == [own]
    assert list(Asset.objects.filter(pk__in=[kept.pk, theirs.pk])) == [theirs]


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_form_of_a_team_that_somebody_left_goes_nowhere_else(
    owner: Any, client_of_owner: Client, elsewhere: Workspace, headers: dict[str, str]
) -> None:
    make_template()
    make_server()
    switch(client_of_owner, elsewhere)
    sent = {"prompt": "theirs", **shown_workspace(client_of_owner, "/templates/text-to-image/")}
    workspaces.leave(acting=owner, workspace=elsewhere)
    refused = client_of_owner.post("/templates/text-to-image/", sent, headers=headers)
    assert refused.status_code == 404
    assert not Generation.objects.exists()
    sent["_workspace"] = "nonsense"
    assert client_of_owner.post("/templates/text-to-image/", sent, headers=headers).status_code == 404


@pytest.mark.parametrize("action", ["cancel", "delete"])
def test_pages_offer_to_members_only_what_they_may_do(
    owner: Any, stranger: Any, elsewhere: Workspace, client_for: ClientFor, action: str
) -> None:
    status = Status.RUNNING if action == "cancel" else Status.SUCCEEDED
    theirs = make_generation(stranger, workspace=elsewhere, status=status)
    button = f'action="/generations/{theirs.pk}/{action}/"'
    assert button in client_for(stranger).get(f"/generations/{theirs.pk}/").text
    for path in urls(theirs):
        assert button not in client_for(owner).get(path).text
    elsewhere.memberships.filter(user=owner).update(role=Role.ADMIN)
    assert button in client_for(owner).get(f"/generations/{theirs.pk}/").text
