"""Every way to publish asks the same questions: the studio, the list of versions, the API, batches and starters."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from generations.models import TemplateDraft, TemplateVersion, WorkflowTemplate
from generations.scheduling import catalogs
from generations.studio import drafts, editing, importing, intake, making, packages, publishing, starters
from generations.studio.batches import Batch, Options
from generations.studio.importing import Imported
from tests.api.envelope import error_of
from tests.support.drafts import new_template
from tests.support.factories import (
    CHECKPOINT,
    add_published_version,
    make_server,
    make_template,
    txt2img_graph,
    version_of,
)
from tests.support.workflows import OBJECT_INFO, editor_workflow, with_models

pytestmark = pytest.mark.django_db
ADMIN = "/admin/generations/workflowtemplate/"
API = "/api/v2/templates"


@dataclass
class Staff:
    """Somebody who publishes; pages and API take the same session."""

    user: User
    browser: Client


@pytest.fixture
def somebody(staff: User, client_for: Callable[[User], Client]) -> Staff:
    make_server(object_info=with_models(CHECKPOINT, "tiny-random-sd15.safetensors"), object_info_at=timezone.now())
    return Staff(staff, client_for(staff))


# ------------------------------------------------------------------------------------------ what is published
def fine() -> dict[str, Any]:
    return txt2img_graph()


def unfit() -> dict[str, Any]:
    """No server has one of its nodes."""
    return {**txt2img_graph(), "50": {"class_type": "Strange", "inputs": {}}}


def flagged() -> dict[str, Any]:
    """Its author wanted users to set an input that its node does not have."""
    workflow = editor_workflow()
    workflow.setdefault("extra", {})["linearData"] = {"inputs": [["4", "ckpt_name"], ["3", "gone"]], "outputs": []}
    return workflow


def faulty() -> dict[str, Any]:
    """A package with a parameter that its node would refuse."""
    template = make_template("faulty", publish=False)
    package = packages.write(template, version_of(template))
    package["parameters"] = copy.deepcopy(package["parameters"])
    next(each for each in package["parameters"] if each["name"] == "steps")["maximum"] = 99_999
    TemplateVersion.objects.all().delete()
    template.delete()
    return package


# ------------------------------------------------------------------------------------------------- the doors
def made(somebody: Staff, content: Any) -> WorkflowTemplate:
    imported = importing.read(json.dumps(content).encode(), catalogs.known_nodes())
    return making.create(somebody.user, imported, object_info=catalogs.known_nodes(), title="Mine")[0]


def tried(somebody: Staff, template: WorkflowTemplate) -> TemplateVersion:
    """The draft frozen while no server told its limits."""
    return publishing.freeze(template, somebody.user, object_info=None)


def in_the_studio(somebody: Staff, content: Any, **accepted: str) -> None:
    template = made(somebody, content)
    data = {"revision": str(drafts.draft_of(template).revision), **accepted}
    somebody.browser.post(f"{ADMIN}{template.pk}/studio/publish/", data)


def in_the_list_of_versions(somebody: Staff, content: Any, **accepted: str) -> None:
    template = made(somebody, content)
    tried(somebody, template)
    somebody.browser.post(f"{ADMIN}{template.pk}/publish/", {"number": "1", **accepted})


def again_by_the_api(somebody: Staff, content: Any, **accepted: str) -> None:
    template = made(somebody, content)
    template.set_published(tried(somebody, template))
    template.set_published(None)
    api_names = {"confirmed": "accept_missing", "flags_accepted": "accept_flags"}
    body = {"is_published": True, **{api_names[name]: True for name in accepted}}
    somebody.browser.patch(f"{API}/mine", body, content_type="application/json")


def imported_by_the_api(somebody: Staff, content: Any, **accepted: str) -> None:
    api_names = {"confirmed": "accept_missing", "flags_accepted": "accept_flags"}
    file = SimpleUploadedFile("flow.json", json.dumps(content).encode())
    somebody.browser.post(API, {"file": file, "publish": "true", **{api_names[name]: "true" for name in accepted}})


def in_a_batch(somebody: Staff, content: Any, **accepted: str) -> None:
    assert not accepted
    batch = Batch(somebody.user, catalogs.known_nodes(), Options(is_published=True))
    line = batch.take("flow.json", json.dumps(content).encode())
    assert line.is_published or "Not published: " in line.notes[-1]


DOORS = [in_the_studio, in_the_list_of_versions, again_by_the_api, imported_by_the_api, in_a_batch]
NO_BATCH = [door for door in DOORS if door is not in_a_batch]
# A version that users had once is out of its import's flags.
WITH_FLAGS = [door for door in DOORS if door is not again_by_the_api]


def is_published() -> bool:
    return WorkflowTemplate.objects.published().exists()


@pytest.mark.parametrize("door", DOORS)
def test_what_runs_is_published(somebody: Staff, door: Callable[..., None]) -> None:
    door(somebody, fine())
    assert is_published()


@pytest.mark.parametrize("door", DOORS)
def test_what_no_server_can_run_is_not_published(somebody: Staff, door: Callable[..., None]) -> None:
    door(somebody, unfit())
    assert not is_published()


@pytest.mark.parametrize("door", NO_BATCH)
def test_what_no_server_can_run_is_published_when_that_is_confirmed(somebody: Staff, door: Callable[..., None]) -> None:
    door(somebody, unfit(), flags_accepted="1")
    assert not is_published()
    WorkflowTemplate.objects.update(slug="before")
    door(somebody, unfit(), confirmed="1")
    assert is_published()


@pytest.mark.parametrize("door", WITH_FLAGS)
def test_open_flags_keep_it_from_being_published(somebody: Staff, door: Callable[..., None]) -> None:
    door(somebody, flagged())
    assert not is_published()


@pytest.mark.parametrize("door", [door for door in WITH_FLAGS if door is not in_a_batch])
def test_open_flags_are_published_when_they_are_accepted(somebody: Staff, door: Callable[..., None]) -> None:
    door(somebody, flagged(), confirmed="1")
    assert not is_published()
    door(somebody, flagged(), flags_accepted="1")
    assert is_published()


@pytest.mark.parametrize("door", DOORS)
def test_parameters_that_nodes_refuse_keep_it_from_being_published(somebody: Staff, door: Callable[..., None]) -> None:
    accepted = {} if door is in_a_batch else {"confirmed": "1", "flags_accepted": "1"}
    door(somebody, faulty(), **accepted)
    assert not is_published()


def test_starters_are_published_before_a_server_can_run_them(somebody: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"slug": "strange", "position": 1, "title": "Strange", "graph": unfit(), "parameters": []}
    monkeypatch.setattr(starters, "starters", lambda: [package])
    assert [each.slug for each in starters.install()] == ["strange"]
    assert is_published()


# -------------------------------------------------------------------------------------- what the API publishes
def patch(somebody: Staff, template: WorkflowTemplate, **body: Any) -> Any:
    return somebody.browser.patch(f"{API}/{template.slug}", body, content_type="application/json")


def test_version_that_was_only_tried_is_not_published_by_the_api(somebody: Staff) -> None:
    template = made(somebody, fine())
    tried(somebody, template)
    error = error_of(patch(somebody, template, is_published=True, accept_missing=True), 409, "not_publishable")
    assert error["message"] == "This template was never published. Publish its draft in the studio."
    assert not is_published()


def test_api_publishes_again_what_users_ran_last(somebody: Staff) -> None:
    template = make_template()
    first = version_of(template)
    template.set_published(template.add_version(graph=txt2img_graph(), parameters=[]))
    template.set_published(first)  # the second one was not good
    template.add_version(graph=txt2img_graph(), parameters=[])  # and the third is being tried
    assert patch(somebody, template, is_published=False).json()["version"] is None
    assert patch(somebody, template, is_published=True).json()["version"] == 1


def test_nothing_is_asked_about_what_is_published_already(somebody: Staff) -> None:
    template = make_template(graph=unfit())
    tried_since = template.add_version(graph=txt2img_graph(), parameters=[])
    assert patch(somebody, template, is_published=True, title="Renamed").json()["version"] == 1
    tried_since.refresh_from_db()
    assert tried_since.published_at is None


def test_refused_change_changes_nothing_else(somebody: Staff) -> None:
    template = make_template(graph=unfit())
    template.set_published(None)
    error = error_of(patch(somebody, template, is_published=True, title="Renamed"), 409, "not_publishable")
    assert error["message"].startswith("The servers lack the node type Strange.")
    assert "accept_missing" in error["message"]
    template.refresh_from_db()
    assert (template.title, template.published_version) == ("Text to image", None)


def test_stale_draft_is_not_published(somebody: Staff) -> None:
    template = made(somebody, fine())
    seen = drafts.draft_of(template).revision
    drafts.change(template, somebody.user, lambda draft: editing.remove(draft, 0))
    data = {"revision": str(seen), "confirmed": "1", "flags_accepted": "1"}
    page = somebody.browser.post(f"{ADMIN}{template.pk}/studio/publish/", data, follow=True)
    assert "Somebody else changed the draft meanwhile" in page.content.decode()
    assert not is_published()


def test_list_of_versions_says_what_to_do_about_a_refusal(somebody: Staff) -> None:
    template = made(somebody, faulty())
    tried(somebody, template)
    page = somebody.browser.post(f"{ADMIN}{template.pk}/publish/", {"number": "1"}, follow=True)
    text = page.content.decode()
    assert "takes nothing above 10000" in text
    assert "Version 1 was not published. Restore it in the studio to change it." in text


def test_migration_knows_that_a_version_was_rolled_back() -> None:
    from importlib import import_module

    migration = import_module("generations.migrations.0020_latest_published")
    template = make_template()
    first = version_of(template)
    second = add_published_version(template, graph=txt2img_graph(), parameters=[])
    WorkflowTemplate.objects.update(published_version=first)  # as the release before did
    other = make_template("other")
    before = version_of(other).published_at
    migration.note_rolled_back(apps, connection.schema_editor())
    assert template.versions.all().latest_published() == first != second
    assert version_of(other).published_at == before


# ------------------------------------------------------------------------------------------ drafts and versions
@pytest.mark.usefixtures("known_server")
def test_publishing_makes_a_version_and_ends_the_draft(staff: Any) -> None:
    template = new_template(staff)
    version = publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, note="First")
    template.refresh_from_db()
    assert template.published_version == version
    assert (version.number, version.note, version.created_by) == (1, "First", staff)
    assert version.published_at is not None
    assert not TemplateDraft.objects.exists()
    assert drafts.draft_of(template).is_like(version)


@pytest.mark.usefixtures("known_server")
def test_trying_makes_a_version_that_is_not_published_and_the_same_one_is_not_made_twice(staff: Any) -> None:
    template = make_template()
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    tried = publishing.freeze(template, staff, object_info=None)
    assert (tried.number, tried.published_at) == (2, None)
    assert publishing.freeze(template, staff, object_info=None) == tried
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.number == 1
    assert publishing.publish(template, None, user=staff, object_info=None, note="Fine") == tried
    tried.refresh_from_db()
    assert (tried.note, tried.published_at is not None) == ("Fine", True)


def test_draft_that_changed_meanwhile_is_not_published(staff: Any) -> None:
    template = new_template(staff)
    seen = drafts.draft_of(template).revision
    drafts.change(template, staff, lambda draft: editing.remove(draft, 0))
    with pytest.raises(publishing.StaleDraftError):
        publishing.publish(template, None, user=staff, object_info=None, revision=seen)
    assert not template.versions.exists()


def test_what_the_editor_kept_goes_into_the_version_and_its_copies(staff: Any) -> None:
    imported = Imported(txt2img_graph(), editor={"3": {"properties": {"mine": 1}}})
    template, _notes = making.create(staff, imported, object_info=OBJECT_INFO)
    version = publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, is_confirmed=True)
    assert version.editor == imported.editor
    assert drafts.draft_of(making.duplicate(template, staff)).editor == imported.editor
    intake.put(template, staff, Imported(txt2img_graph()), object_info=OBJECT_INFO)
    assert drafts.draft_of(template).editor is None
    assert drafts.restore(template, staff, version).editor == imported.editor


def test_what_no_server_can_run_needs_a_confirmation(staff: Any) -> None:
    make_server(object_info=with_models("other.safetensors"), object_info_at=timezone.now())
    template = new_template(staff)
    drafts.change(template, staff, lambda draft: editing.hide(draft, ("4", "ckpt_name")))
    with pytest.raises(publishing.UnfitError, match=CHECKPOINT):
        publishing.publish(template, None, user=staff, object_info=OBJECT_INFO)
    assert not template.versions.exists()
    assert publishing.publish(template, None, user=staff, object_info=OBJECT_INFO, is_confirmed=True).number == 1
