"""The studio: publishing a draft, its versions, and who may change anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from generations.models import TemplateDraft, WorkflowTemplate
from generations.studio import drafts, publishing
from tests.generations.admin.pages import BASE, address, draft_names, post, upload
from tests.support.factories import make_server, make_template, txt2img_graph
from tests.support.pictures import png
from tests.support.workflows import newest_object_info


def test_published_draft_is_what_users_run(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "parameters/0/remove/")
    revision = drafts.draft_of(template).revision
    data = {"revision": revision, "note": "Less", "confirmed": "1"}
    page = admin.post(address(template, "publish/"), data, follow=True)
    assert "Version 2 is published." in page.content.decode()
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.note == "Less"
    assert not TemplateDraft.objects.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [({"revision": "0"}, "Somebody else changed"), ({}, "The servers lack")],
)
def test_what_keeps_a_draft_from_being_published_is_said(
    admin: Client, server: Any, data: dict[str, str], words: str
) -> None:
    template = make_template()
    post(admin, template, "parameters/0/remove/")
    page = admin.post(address(template, "publish/"), data, follow=True)
    assert words in page.content.decode()
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.number == 1


def test_draft_is_discarded_and_versions_come_back(admin: Client, server: Any) -> None:
    template = make_template()
    answer = post(admin, template, "parameters/0/remove/")
    assert "Discard the draft? Versions stay." in answer.content.decode()
    admin.post(address(template, "discard/"))
    assert not TemplateDraft.objects.exists()
    admin.post(address(template, "restore/"), {"number": "1"})
    assert TemplateDraft.objects.get().source == "Version 1"
    assert admin.post(address(template, "restore/"), {"number": "7"}).status_code == 404


def test_discarding_the_only_draft_says_that_no_workflow_is_left(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "parameters/0/remove/")
    template.published_version = None
    template.save()
    template.versions.all().delete()
    page = admin.get(address(template)).content.decode()
    assert "Discard the draft? The template will have no workflow." in page


def test_version_that_nothing_can_run_is_not_published_by_accident(admin: Client) -> None:
    make_server(object_info={"Other": {}}, object_info_at=timezone.now())
    template = make_template(publish=False)
    page = admin.post(f"{BASE}{template.pk}/publish/", {"number": "1"}, follow=True)
    assert "was not published" in page.content.decode()
    template.refresh_from_db()
    assert template.published_version is None


def test_versions_are_compared(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "parameters/0/remove/")
    html = admin.get(f"{BASE}{template.pk}/compare/").content.decode()
    assert "removed" in html and "Prompt" in html
    assert "There is no difference" in admin.get(f"{BASE}{template.pk}/compare/?from=1&to=1").content.decode()
    assert admin.get(f"{BASE}{template.pk}/compare/?from=9").status_code == 404


def test_template_is_duplicated_and_exported(admin: Client, server: Any) -> None:
    template = make_template()
    copied = admin.post(f"{BASE}{template.pk}/duplicate/")
    assert copied["Location"] == address(WorkflowTemplate.objects.get(slug="text-to-image-copy"))
    exported = admin.get(f"{BASE}{template.pk}/export/")
    assert exported["Content-Disposition"] == 'attachment; filename="text-to-image.template.json"'
    again = upload(admin, exported.content, "text-to-image.template.json")
    made = WorkflowTemplate.objects.get(slug="text-to-image-2")
    assert again["Location"] == address(made)
    assert draft_names(made) == draft_names(template)


POSTS = [
    "studio/import/", "studio/expose/", "studio/join/", "studio/keep/", "studio/publish/", "studio/discard/",
    "studio/restore/", "studio/flags/", "studio/try/", "studio/cover/", "studio/parameters/0/",
    "studio/parameters/0/move/", "studio/parameters/0/remove/", "duplicate/", "publish/",
]  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
def test_only_who_may_change_templates_changes_anything(owner: Any, client_for: Any, helper: Any, path: str) -> None:
    template = make_template()
    for client, expected in (
        (Client(), 302),
        (client_for(owner), 302),
        (helper("view_workflowtemplate"), 403),
    ):
        assert client.post(f"{BASE}{template.pk}/{path}").status_code == expected
    assert client_for(owner).get(f"{BASE}{template.pk}/{path}").status_code in {302, 405}
    assert not TemplateDraft.objects.exists() and WorkflowTemplate.objects.count() == 1


@pytest.mark.parametrize("path", POSTS[1:])
def test_changes_are_no_links(admin: Client, path: str) -> None:
    assert admin.get(f"{BASE}{make_template().pk}/{path}").status_code == 405


def test_missing_default_asks_for_a_tick_before_it_is_published(admin: Client, server: Any) -> None:
    """Whatever users could choose instead: who leaves the setting alone would be refused."""
    graph = txt2img_graph()
    graph["4"]["inputs"]["ckpt_name"] = "gone.safetensors"
    upload(admin, png(prompt=graph))
    template = WorkflowTemplate.objects.get()
    html = " ".join(admin.get(address(template)).content.decode().split())
    words = "the default of “Checkpoint”: the file gone.safetensors is not there"
    assert f"<strong>one</strong> cannot run it with {words} </li>" in html
    assert "can run it <" not in html
    assert 'name="confirmed" value="1"> Publish anyway: no server has all the defaults' in html
    assert "is not available at the moment" in admin.get(address(template, "preview/")).content.decode()
    data = {"revision": str(drafts.draft_of(template).revision)}
    answer = admin.post(address(template, "publish/"), data, follow=True).content.decode()
    assert f"No server can run it with {words}. To publish it anyway, tick the box" in answer
    answer = admin.post(address(template, "publish/"), data | {"confirmed": "1"}, follow=True).content.decode()
    assert "Version 1 is published." in answer


PAID = {
    "1": {"class_type": "OpenAIDalle3", "inputs": {"prompt": "a cat"}, "_meta": {"title": "Painter"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "cat"}},
}


COSTS = "This workflow calls a paid service (Painter). Each run costs credits of the Comfy account that the server"


def test_what_costs_money_is_to_be_checked_and_stays_on_the_page(admin: Client, staff: Any) -> None:
    make_server(object_info=newest_object_info(), object_info_at=timezone.now())
    upload(admin, json.dumps(PAID).encode(), "cats.json")
    template = WorkflowTemplate.objects.get()
    flags = drafts.draft_of(template).open_flags
    assert [(flag["node_id"], flag["text"].startswith(COSTS)) for flag in flags] == [("1", True)]
    assert admin.get(address(template)).content.decode().count(COSTS) == 1
    publishing.publish(template, None, user=staff, object_info=None, are_flags_accepted=True)
    assert admin.get(address(template)).content.decode().count(COSTS) == 1


def test_what_runs_on_the_server_alone_costs_nothing(admin: Client) -> None:
    make_server(object_info=newest_object_info(), object_info_at=timezone.now())
    upload(admin, png(prompt=txt2img_graph()))
    assert "paid service" not in admin.get(address(WorkflowTemplate.objects.get())).content.decode()
