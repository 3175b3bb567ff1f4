"""Templates in the admin: list, cover, versions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import User, Workspace
from generations.models import WorkflowTemplate
from tests.support import bombs
from tests.support.factories import make_team, make_template, own, txt2img_graph
from tests.support.pictures import picture

LIST = "/admin/generations/workflowtemplate/"


def change(admin: Client, template: WorkflowTemplate, **fields: Any) -> Any:
    data = {"title": template.title, "slug": template.slug, "position": 0, "visibility": template.visibility, **fields}
    return admin.post(f"{LIST}{template.pk}/change/", data)


def test_list_shows_what_is_published(admin: Client) -> None:
    make_template("one", title="One")
    make_template("two", title="Two", publish=False)
    html = admin.get(LIST).content.decode()
    assert "Version 1" in html
    assert "Not published" in html


def test_list_costs_the_same_however_long_it_is(admin: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(6):
        make_template(f"t{number}", title=f"T{number}", visibility="groups")
    admin.get("/admin/")  # the first request of a session is noted
    with django_assert_max_num_queries(10):
        admin.get(LIST)


@pytest.mark.usefixtures("known_server")
def test_publish_and_unpublish(admin: Client) -> None:
    template = make_template()
    template.add_version(graph=txt2img_graph(), parameters=[])
    page = admin.get(f"{LIST}{template.pk}/change/").content.decode()
    assert "Version 2" in page
    assert f'data-confirm="Unpublish “{template.title}”?' in page
    for number, expected in (("2", 2), ("1", 1), ("", None)):
        admin.post(f"{LIST}{template.pk}/publish/", {"number": number})
        template.refresh_from_db()
        published = template.published_version
        assert (published.number if published else None) == expected


@pytest.mark.parametrize("number", ["99", "x", "-1", "9" * 30])
def test_version_that_does_not_exist_is_not_published(admin: Client, number: str) -> None:
    template = make_template()
    assert admin.post(f"{LIST}{template.pk}/publish/", {"number": number}).status_code == 404
    template.refresh_from_db()
    assert template.published_version is not None


def test_publishing_is_no_link(admin: Client) -> None:
    assert admin.get(f"{LIST}{make_template().pk}/publish/").status_code == 405


def test_workflow_of_a_version_can_be_downloaded(admin: Client) -> None:
    template = make_template()
    response = admin.get(f"{LIST}{template.pk}/versions/1.json")
    assert response.json() == txt2img_graph()
    assert response["Content-Disposition"] == 'attachment; filename="text-to-image-v1.json"'
    assert admin.get(f"{LIST}{template.pk}/versions/2.json").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_cover_gets_a_name_of_ours_and_is_shown_for_drafts_too(admin: Client) -> None:
    template = make_template(publish=False)
    assert admin.get(f"{LIST}{template.pk}/cover/").status_code == 404
    change(admin, template, cover=SimpleUploadedFile("cover.png", picture()))
    template.refresh_from_db()
    assert template.cover.name.startswith("covers/")
    assert "cover.png" not in template.cover.name
    shown = admin.get(f"{LIST}{template.pk}/cover/")
    assert (shown.content, shown["Content-Type"]) == (picture(), "image/png")
    for page in (LIST, f"{LIST}{template.pk}/change/"):
        assert f"{LIST}{template.pk}/cover/" in admin.get(page).content.decode()


@pytest.mark.django_db(transaction=True)
def test_replaced_cover_is_removed(admin: Client) -> None:
    template = make_template()
    change(admin, template, cover=SimpleUploadedFile("a.png", picture()))
    template.refresh_from_db()
    old = template.cover.name
    change(admin, template, cover=SimpleUploadedFile("b.jpg", picture("JPEG")))
    template.refresh_from_db()
    assert default_storage.exists(template.cover.name)
    assert not default_storage.exists(old)
    change(admin, template, title="Another title")  # leaves it alone
    template.refresh_from_db()
    assert default_storage.exists(template.cover.name)


@pytest.mark.parametrize(
    "content", [b"no picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", picture("BMP"), bombs.icon(picture())]
)
def test_cover_must_be_a_picture_that_browsers_show(admin: Client, content: bytes) -> None:
    template = make_template()
    page = change(admin, template, cover=SimpleUploadedFile("cover.png", content))
    assert list(page.context["adminform"].form.errors) == ["cover"]


def seen_by(user: User) -> bool:
    return WorkflowTemplate.objects.visible_to(user, own(user)).exists()


def test_one_choice_decides_who_sees_it(admin: Client, owner: User, stranger: User) -> None:
    template, group = make_template(), Group.objects.create(name="VIP")
    owner.groups.add(group)
    assert change(admin, template, visibility="groups", groups=[group.pk]).status_code == 302
    assert seen_by(owner) and not seen_by(stranger)
    assert change(admin, template, visibility="workspaces", workspaces=[own(stranger).pk]).status_code == 302
    assert seen_by(stranger) and not seen_by(owner) and not template.groups.exists()
    assert change(admin, template, visibility="staff").status_code == 302
    assert not seen_by(owner) and not seen_by(stranger) and not template.workspaces.exists()
    assert change(admin, template, visibility="everyone").status_code == 302
    assert seen_by(owner) and seen_by(stranger)


def test_list_that_the_choice_hides_is_emptied_and_a_new_one_in_it_refused(admin: Client, stranger: User) -> None:
    template, group = make_template(), Group.objects.create(name="VIP")
    page = change(admin, template, visibility="everyone", groups=[group.pk])
    assert list(page.context["adminform"].form.errors) == ["visibility"]  # not opened to everyone by oversight
    change(admin, template, visibility="groups", groups=[group.pk])
    assert change(admin, template, visibility="staff", groups=[group.pk]).status_code == 302  # ticked before
    assert not template.groups.exists()


@pytest.mark.parametrize("kind", ["groups", "workspaces"])
def test_audience_without_anybody_is_refused(admin: Client, kind: str) -> None:
    page = change(admin, make_template(), visibility=kind)
    assert list(page.context["adminform"].form.errors) == [kind]


def test_staff_read_that_nobody_is_left_in_what_they_chose(admin: Client, owner: User, stranger: User) -> None:
    template, group = make_template(), Group.objects.create(name="VIP")
    saved = change(admin, template, visibility="groups", groups=[group.pk])
    assert "there is nobody in the groups" in admin.get(saved["Location"]).content.decode()
    assert "nobody at the moment" in admin.get(LIST).content.decode()
    team = make_team(owner)
    change(admin, template, visibility="workspaces", workspaces=[team.pk])
    assert "nobody at the moment" not in admin.get(LIST).content.decode()
    team.delete()
    assert "Nobody sees it but staff" in admin.get(f"{LIST}{template.pk}/change/").content.decode()
    page = change(admin, template, visibility="workspaces", title="Another title")
    assert list(page.context["adminform"].form.errors) == ["workspaces"]
    assert not seen_by(stranger)  # and what was left is never opened by accident


def test_workspaces_are_found_by_name_and_person(admin: Client, owner: User, stranger: User) -> None:
    make_team(owner, name="Film")
    make_team(owner, name="Gone")
    Workspace.objects.filter(name="Gone").update(dissolve_after=timezone.now())
    asked = {"app_label": "generations", "model_name": "workflowtemplate", "field_name": "workspaces"}
    for term, found in (("fil", ["Film"]), (stranger.email, [f"Personal ({stranger.email})"]), ("gone", [])):
        answer = admin.get("/admin/autocomplete/", {**asked, "term": term}).json()
        assert [each["text"] for each in answer["results"]] == found


def test_template_that_lost_its_groups_can_be_looked_at(helper: Any) -> None:
    template = make_template(visibility="groups")
    assert helper("view_workflowtemplate").get(f"{LIST}{template.pk}/change/").status_code == 200


def test_tags_are_words_with_commas(admin: Client) -> None:
    template = make_template(tags=["a", "b"])
    page = admin.get(f"{LIST}{template.pk}/change/")
    assert page.context["adminform"].form.initial["tags"] == "a, b"
    change(admin, template, tags=" portrait,, fast ,portrait")
    template.refresh_from_db()
    assert template.tags == ["portrait", "fast"]


def test_template_with_versions_cannot_be_deleted(admin: Client) -> None:
    template = make_template()
    assert admin.post(f"{LIST}{template.pk}/delete/", {"post": "yes"}).status_code == 403
    unused = WorkflowTemplate.objects.create(slug="unused", title="Unused")
    admin.post(f"{LIST}{unused.pk}/delete/", {"post": "yes"})
    assert list(WorkflowTemplate.objects.all()) == [template]


@pytest.mark.parametrize(
    "path", ["studio/", "studio/preview/", "compare/", "export/", "versions/1.json", "cover/", "change/"]
)
def test_only_who_may_change_templates_gets_to_versions(
    admin: Client, owner: Any, client_for: Any, helper: Any, path: str
) -> None:
    template = make_template()
    address = f"{LIST}{template.pk}/{path}"
    assert client_for(owner).get(address).status_code == 302
    assert Client().get(address).status_code == 302
    assert helper().get(address).status_code == 403


def test_who_may_only_look_cannot_publish(helper: Any) -> None:
    template = make_template()
    client = helper("view_workflowtemplate")
    assert client.get(f"{LIST}{template.pk}/change/").status_code == 200
    assert client.get(f"{LIST}{template.pk}/versions/1.json").status_code == 200
    assert client.post(f"{LIST}{template.pk}/publish/", {}).status_code == 403
    assert client.get(f"{LIST}{template.pk}/studio/").status_code == 403
    template.refresh_from_db()
    assert template.published_version is not None
