"""The page that makes templates of files, and another workflow for one."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from generations.models import WorkflowTemplate
from generations.studio import drafts
from tests.generations.admin.pages import BASE, address, upload
from tests.support.factories import make_server, make_template, txt2img_graph
from tests.support.pictures import png
from tests.support.workflows import editor_workflow


def test_dropped_picture_becomes_a_template_with_a_form(admin: Client, server: Any) -> None:
    response = upload(admin, png(prompt=txt2img_graph()))
    template = WorkflowTemplate.objects.get()
    assert response["Location"] == address(template)
    assert template.title == "Cats"
    html = admin.get(address(template)).content.decode()
    for words in ("Prompt", "Negative prompt", "KSampler", "cats.png", "Users do not see it yet"):
        assert words in html


def test_add_leads_to_the_import(admin: Client) -> None:
    assert admin.get(f"{BASE}add/")["Location"] == f"{BASE}import/"
    assert "Drop workflows here" in admin.get(f"{BASE}import/").content.decode()


def test_pasted_workflow_in_the_editors_format(admin: Client, server: Any) -> None:
    response = admin.post(f"{BASE}import/", {"workflow": json.dumps(editor_workflow()), "title": "Mine"})
    assert response.status_code == 302
    assert WorkflowTemplate.objects.get().title == "Mine"


def test_every_node_that_is_in_the_way_is_named(admin: Client, server: Any) -> None:
    workflow = editor_workflow("bypass_lora")
    for each in workflow["nodes"]:
        if each["type"] == "CLIPTextEncode":
            each["type"] = "FancyEncode"
    response = admin.post(f"{BASE}import/", {"workflow": json.dumps(workflow)})
    assert response.status_code == 422
    html = response.content.decode()
    assert "(nodes 6, 7)" in html
    assert "FancyEncode" in html  # what was pasted is still there
    assert not WorkflowTemplate.objects.exists()


def test_one_server_can_be_chosen_to_read_it(admin: Client, server: Any) -> None:
    other = make_server("two", "http://127.0.0.1:2", object_info={"Nothing": {}}, object_info_at=timezone.now())
    assert upload(admin, json.dumps(editor_workflow()).encode(), server=other.pk).status_code == 422
    assert upload(admin, json.dumps(editor_workflow()).encode(), server=server.pk).status_code == 302


def test_other_workflow_for_a_template(admin: Client, server: Any) -> None:
    template = make_template()
    response = admin.post(address(template, "import/"), {"workflow": json.dumps(editor_workflow())}, follow=True)
    html = response.content.decode()
    assert "Users run version 1" in html
    assert drafts.draft_of(template).graph["3"]["inputs"]["seed"] == 123456789
    bad = admin.post(address(template, "import/"), {"workflow": "nonsense"})
    assert bad.status_code == 422 and "data-open-now" in bad.content.decode()
    assert admin.get(address(template, "import/"))["Location"] == address(template)


def test_file_that_is_refused_is_named(admin: Client, server: Any) -> None:
    assert "odd &lt;1&gt;.json was not imported" in upload(admin, b"{}", "odd <1>.json").content.decode()
    assert "was not imported" not in admin.post(f"{BASE}import/", {"workflow": "{}"}).content.decode()


def test_importing_is_for_who_may_add(owner: Any, client_for: Any, helper: Any) -> None:
    for client, expected in ((Client(), 302), (client_for(owner), 302), (helper("view_workflowtemplate"), 403)):
        assert client.get(f"{BASE}import/").status_code == expected
        assert upload(client, png(prompt=txt2img_graph())).status_code == expected
    assert not WorkflowTemplate.objects.exists()


def test_two_hundred_nodes_are_imported_and_shown_with_few_queries(
    admin: Client, server: Any, django_assert_max_num_queries: Any
) -> None:
    graph = txt2img_graph()
    for number in range(200):
        source = ["8", 0] if number == 0 else [f"n{number - 1}", 0]
        graph[f"n{number}"] = {"class_type": "ImageInvert", "inputs": {"image": source}}
    graph["9"]["inputs"]["images"] = ["n199", 0]
    admin.get(reverse("admin:index"))  # the first request of a session notes where it comes from
    with django_assert_max_num_queries(25):
        assert upload(admin, json.dumps(graph).encode(), "many.json").status_code == 302
    with django_assert_max_num_queries(15):
        page = admin.get(address(WorkflowTemplate.objects.get()))
    assert page.content.decode().count("data-node ") == 207
