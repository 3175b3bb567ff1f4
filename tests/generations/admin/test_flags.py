"""What an import flags, as the studio's page shows it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from generations.models import TemplateDraft, WorkflowTemplate
from generations.studio import drafts, publishing
from tests.generations.admin.pages import BASE, HTMX, address
from tests.support.factories import make_server, make_template
from tests.support.workflows import editor_workflow, with_models


def workflow(*gone: str) -> str:
    """With an app mode that names these inputs of the sampler, which has none of them."""
    made = editor_workflow()
    made.setdefault("extra", {})["linearData"] = {
        "inputs": [["4", "ckpt_name"], *(["3", name] for name in gone)],
        "outputs": [],
    }
    return json.dumps(made)


@pytest.fixture
def template(admin: Client) -> WorkflowTemplate:
    """Two flags, and a note that is for information."""
    make_server(object_info=with_models("tiny-random-sd15.safetensors"), object_info_at=timezone.now())
    admin.post(f"{BASE}import/", {"workflow": workflow("gone", "<b>lost</b>")})
    return WorkflowTemplate.objects.get()


def page(admin: Client, template: WorkflowTemplate) -> str:
    html: str = admin.get(address(template)).content.decode()
    return html


def tick(client: Client, template: WorkflowTemplate, **data: str) -> Any:
    return client.post(address(template, "flags/"), data, headers=HTMX)


def ids(template: WorkflowTemplate) -> list[str]:
    return [flag["id"] for flag in drafts.draft_of(template).flags]


def test_flags_are_there_after_every_reload_each_with_a_link_to_its_node(
    admin: Client, template: WorkflowTemplate
) -> None:
    for _ in range(2):
        html = page(admin, template)
        assert "2 things to check in this workflow" in html
        assert html.count("data-flag ") == 2
        assert html.count('href="#node-3"') == 2 and html.count('id="node-3"') == 1
        assert "The author wanted users to set “gone” of" in html
        assert "<b>lost</b>" not in html and "&lt;b&gt;lost&lt;/b&gt;" in html
        assert "Taken from the workflow&#x27;s app mode: 1 setting." in html
        assert "Publish anyway: 2 things are not checked" in html


def test_workflow_without_notes_has_no_list(admin: Client) -> None:
    html = page(admin, make_template())
    assert 'id="flags"' not in html and "not checked" not in html


def test_flag_of_a_node_that_is_gone_has_no_link(admin: Client, template: WorkflowTemplate) -> None:
    TemplateDraft.objects.update(
        notes=[{"id": "a", "text": "Left out.", "node_id": "77", "is_flag": True, "is_checked": False}]
    )
    html = page(admin, template)
    assert "1 thing to check in this workflow" in html and "#node-77" not in html


def test_answer_to_a_tick_leaves_the_list_alone_and_renews_count_and_state(
    admin: Client, template: WorkflowTemplate
) -> None:
    first, second = ids(template)
    html = tick(admin, template, flag=first, on="1").content.decode()
    assert "1 thing to check in this workflow" in html and "Publish anyway: 1 thing is not checked" in html
    assert "data-flag " not in html
    html = tick(admin, template, flag=second, on="1").content.decode()
    assert "Everything is checked in this workflow" in html and "not checked" not in html
    assert "Everything is checked" in page(admin, template)
    assert "1 thing to check" in tick(admin, template, flag=first).content.decode()


def test_all_are_ticked_off_at_once_and_back(admin: Client, template: WorkflowTemplate) -> None:
    html = tick(admin, template, on="1").content.decode()
    assert len(re.findall(r"data-flag checked", html)) == 2
    html = tick(admin, template, on="").content.decode()
    assert "data-flag checked" not in html and "2 things to check" in html


def test_next_import_has_its_own_and_a_page_from_before_is_reloaded(admin: Client, template: WorkflowTemplate) -> None:
    old = ids(template)
    tick(admin, template, on="1")
    admin.post(address(template, "import/"), {"workflow": workflow("gone")})
    assert "1 thing to check in this workflow" in page(admin, template)
    for flag in (old[0], "", "nonsense", "\x00"):
        assert tick(admin, template, flag=flag, on="1")["HX-Refresh"] == "true"
    assert len(drafts.draft_of(template).open_flags) == 1
    admin.post(address(template, "import/"), {"workflow": json.dumps(editor_workflow())})
    assert 'id="flags"' not in page(admin, template)


def test_discarded_draft_has_nothing_to_tick_off(admin: Client, template: WorkflowTemplate) -> None:
    flag = ids(template)[0]
    admin.post(address(template, "discard/"))
    assert tick(admin, template, flag=flag, on="1")["HX-Refresh"] == "true"
    assert not TemplateDraft.objects.exists()


def test_flags_are_ticked_off_by_who_may_change_templates(
    template: WorkflowTemplate, owner: Any, client_for: Any, helper: Any
) -> None:
    for client, expected in (
        (Client(), 302),
        (client_for(owner), 302),
        (helper("view_workflowtemplate"), 403),
    ):
        assert client.post(address(template, "flags/"), {"on": "1"}).status_code == expected
    assert len(drafts.draft_of(template).open_flags) == 2


def test_who_may_change_templates_needs_no_more_to_tick_flags_off(template: WorkflowTemplate, helper: Any) -> None:
    assert tick(helper("change_workflowtemplate"), template, on="1").status_code == 200
    assert drafts.draft_of(template).open_flags == []


def test_ticking_off_is_no_link_and_ends_at_templates_that_there_are(admin: Client, template: WorkflowTemplate) -> None:
    assert admin.get(address(template, "flags/")).status_code == 405
    assert admin.post(f"{BASE}9999/studio/flags/", {"on": "1"}).status_code == 404


def test_publishing_with_open_flags_asks_first(admin: Client, template: WorkflowTemplate) -> None:
    revision = str(drafts.draft_of(template).revision)
    answer = admin.post(address(template, "publish/"), {"revision": revision}, follow=True).content.decode()
    assert "There are 2 things to check in this workflow first. To publish it anyway, tick the box" in answer
    template.refresh_from_db()
    assert template.published_version is None
    data = {"revision": revision, "flags_accepted": "1"}
    assert "Version 1 is published." in admin.post(address(template, "publish/"), data, follow=True).content.decode()


def test_publishing_asks_nothing_when_everything_is_ticked_off(admin: Client, template: WorkflowTemplate) -> None:
    revision = str(drafts.draft_of(template).revision)
    tick(admin, template, on="1")
    answer = admin.post(address(template, "publish/"), {"revision": revision}, follow=True)
    assert "Version 1 is published." in answer.content.decode()


def test_version_that_was_tried_is_not_published_past_open_flags(
    admin: Client, staff: Any, template: WorkflowTemplate
) -> None:
    publishing.freeze(template, staff, object_info=None)
    answer = admin.post(f"{BASE}{template.pk}/publish/", {"number": "1"}, follow=True).content.decode()
    assert "Version 1 was not published. Open the studio to check them." in answer
    tick(admin, template, on="1")
    answer = admin.post(f"{BASE}{template.pk}/publish/", {"number": "1"}, follow=True).content.decode()
    assert "Version 1 is published." in answer
