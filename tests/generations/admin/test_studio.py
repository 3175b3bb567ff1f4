"""The studio's pages, as a browser asks for them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from generations.models import ComfyServer, Generation, Status, TemplateDraft, WorkflowTemplate
from generations.studio import checks, drafts, editing, publishing
from tests.support.factories import (
    make_asset,
    make_generation,
    make_output,
    make_server,
    make_template,
    txt2img_graph,
)
from tests.support.pictures import png
from tests.support.simulator import usual_catalog
from tests.support.workflows import OBJECT_INFO, editor_workflow, newest_object_info

BASE = "/admin/generations/workflowtemplate/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def server(db: None) -> Any:
    """One that has told what it has."""
    return make_server(object_info=OBJECT_INFO, object_info_at=timezone.now())


def address(template: WorkflowTemplate, path: str = "") -> str:
    return f"{BASE}{template.pk}/studio/{path}"


def upload(admin: Client, content: bytes, name: str = "cats.png", **data: Any) -> Any:
    return admin.post(f"{BASE}import/", {"file": SimpleUploadedFile(name, content), **data})


def post(admin: Client, template: WorkflowTemplate, path: str, **data: Any) -> Any:
    return admin.post(address(template, path), data, headers=HTMX)


def draft_names(template: WorkflowTemplate) -> list[str]:
    return [each["name"] for each in drafts.draft_of(template).parameters]


# ---------------------------------------------------------------------------------------------- importing
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


# ------------------------------------------------------------------------------------------------ changing
def test_ticked_input_is_exposed_and_the_answer_renews_the_page(admin: Client, server: Any) -> None:
    template = make_template(parameters=[])
    response = post(admin, template, "expose/", node="6", input="text", on="1")
    assert response["HX-Trigger"] == "draft-changed"
    html = response.content.decode()
    assert 'id="status" hx-swap-oob="true"' in html
    assert '"node_id": "6"' in html
    assert draft_names(template) == ["prompt"]
    post(admin, template, "expose/", node="6", input="text", on="")
    assert draft_names(template) == []


def test_inputs_are_set_together_and_apart(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "join/", node="5", input="height", name="width")
    draft = drafts.draft_of(template)
    assert "height" not in draft_names(template)
    width = next(each for each in draft.parameters if each["name"] == "width")
    assert [each["input_name"] for each in width["bindings"]] == ["width", "height"]


def test_parameters_are_moved_and_removed(admin: Client, server: Any) -> None:
    template = make_template()
    names = draft_names(template)
    post(admin, template, "parameters/0/move/", to="1")
    assert draft_names(template)[:2] == [names[1], names[0]]
    post(admin, template, "parameters/1/remove/")
    assert names[0] not in draft_names(template)
    assert post(admin, template, "parameters/0/move/", to="-1").status_code == 404


def settings_of(template: WorkflowTemplate, position: int, **changes: Any) -> dict[str, Any]:
    """What a browser sends of a parameter's card."""
    from generations.admin.settings import SettingsForm

    definition = drafts.draft_of(template).parameters[position]
    form = SettingsForm(definition)
    sent = {name: form.initial[name] for name in form.fields if form.initial.get(name) not in (None, False)}
    sent |= {"was": definition["name"], **changes}
    return {name: "on" if value is True else value for name, value in sent.items() if value is not False}


def test_settings_are_kept_as_they_are_typed(admin: Client, server: Any) -> None:
    template = make_template()
    steps = draft_names(template).index("steps")
    data = settings_of(template, steps, label="Patience", maximum="12", help="More is slower", section="Quality")
    response = post(admin, template, f"parameters/{steps}/", **data)
    assert "Patience" in response.content.decode()
    stored = drafts.draft_of(template).parameters[steps]
    assert (stored["label"], stored["maximum"], stored["section"]) == ("Patience", 12, "Quality")
    assert stored["bindings"] == [{"node_id": "3", "input_name": "steps"}]


def test_what_becomes_of_a_seed_that_is_not_given_is_a_setting(admin: Client, server: Any) -> None:
    template = make_template()
    seed = draft_names(template).index("seed")
    post(admin, template, f"parameters/{seed}/", **settings_of(template, seed, seed_mode="increment"))
    assert drafts.draft_of(template).parameters[seed]["seed_mode"] == "increment"
    page = admin.get(address(template)).content.decode()
    assert '<option value="increment" selected>One more</option>' in page


def test_untouched_settings_change_nothing(admin: Client, server: Any) -> None:
    template = make_template()
    before = drafts.draft_of(template)
    drafts.change(template, Generation.user.field.related_model.objects.get(is_staff=True), lambda draft: None)
    for position in range(len(before.parameters)):
        post(admin, template, f"parameters/{position}/", **settings_of(template, position))
    after = checks.valid_parameters(drafts.draft_of(template))
    assert after == checks.valid_parameters(before)


def test_role_is_chosen_in_plain_words_and_ends_with_a_type_that_it_does_not_fit(admin: Client, server: Any) -> None:
    template = make_template()
    steps = draft_names(template).index("steps")
    html = " ".join(admin.get(address(template)).content.decode().split())
    assert '<option value="steps" selected data-fits="integer choice">Steps</option>' in html
    assert "Picture or video to enlarge" in html
    post(admin, template, f"parameters/{steps}/", **settings_of(template, steps, role="frames"))
    assert drafts.draft_of(template).parameters[steps]["role"] == "frames"
    post(admin, template, f"parameters/{steps}/", **settings_of(template, steps, type="number"))
    assert drafts.draft_of(template).parameters[steps]["role"] == ""


def test_node_is_ticked_that_tells_whether_results_are_safe(admin: Client, server: Any) -> None:
    template = make_template()
    post(admin, template, "safety/", node="9", on="1")
    assert drafts.draft_of(template).safety_node == "9"
    assert 'data-safety="9" checked' in admin.get(address(template)).content.decode()
    post(admin, template, "safety/", node="9")
    assert drafts.draft_of(template).safety_node == ""


def test_role_of_another_parameter_is_a_fault_beside_the_setting(admin: Client, server: Any) -> None:
    template = make_template()
    negative = draft_names(template).index("negative_prompt")
    response = post(admin, template, f"parameters/{negative}/", **settings_of(template, negative, role="prompt"))
    assert 'data-setting="role"' in response.content.decode()
    assert "The role “Prompt” belongs to" in response.content.decode()


@pytest.mark.parametrize(
    ("name", "changes", "setting"),
    [
        ("steps", {"minimum": "90"}, "minimum"),
        ("steps", {"minimum": "0"}, "minimum"),
        ("steps", {"maximum": "99999"}, "maximum"),
        ("steps", {"minimum": "many"}, "minimum"),
        ("steps", {"default": "999"}, "default"),
        ("steps", {"name": "Not a name"}, "name"),
        ("steps", {"name": "prompt"}, "name"),
        ("steps", {"name": ""}, "name"),
        ("steps", {"type": "choice", "choices": ""}, "choices"),
        ("steps", {"type": "text"}, "type"),
    ],
)
def test_fault_is_said_beside_the_setting(
    admin: Client, server: Any, name: str, changes: dict[str, str], setting: str
) -> None:
    template = make_template()
    position = draft_names(template).index(name)
    response = post(admin, template, f"parameters/{position}/", **settings_of(template, position, **changes))
    assert f'data-setting="{setting}"' in response.content.decode()
    assert "disabled" in admin.get(address(template)).content.decode() or setting in {"minimum", "name"}


def test_settings_of_a_parameter_that_moved_reload_the_page(admin: Client, server: Any) -> None:
    template = make_template()
    data = settings_of(template, 0)
    post(admin, template, "parameters/0/move/", to="2")
    assert post(admin, template, "parameters/0/", **data)["HX-Refresh"] == "true"
    assert post(admin, template, "parameters/99/", **data)["HX-Refresh"] == "true"


def test_results_of_a_node_are_hidden(admin: Client, server: Any) -> None:
    graph = txt2img_graph()
    graph["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    template = make_template(graph=graph)
    post(admin, template, "keep/", node="20", on="")
    assert drafts.draft_of(template).output_nodes == ["9"]
    post(admin, template, "keep/", node="20", on="1")
    assert drafts.draft_of(template).output_nodes == []


# ------------------------------------------------------------------------------------- preview and try-out
def test_preview_is_the_form_of_users_in_a_frame(admin: Client, server: Any) -> None:
    template = make_template(publish=False)
    response = admin.get(address(template, "preview/"))
    html = response.content.decode()
    assert 'name="prompt"' in html and address(template, "try/") in html
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    policy = response["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy and "unsafe" not in policy
    assert admin.get(address(template))["X-Frame-Options"] == "DENY"


def test_texts_that_are_resolved_say_so_in_the_settings_and_in_the_form(admin: Client, server: Any) -> None:
    template = make_template(publish=False)
    for path in ("", "preview/"):
        html = admin.get(address(template, path)).content.decode()
        assert html.count("{red|blue} picks one at random.") == 2  # the prompt and the negative prompt


def test_line_of_a_setting_names_its_type_as_the_list_does_unless_its_label_does(admin: Client, server: Any) -> None:
    html = admin.get(address(make_template(publish=False))).content.decode()
    lines = re.findall(r'<strong>(\w+)</strong>\s*<span class="studio-muted">([^<]*)</span>', html)
    said = {label: facts.partition(" · ")[0] for label, facts in lines}
    assert (said["Steps"], said["Prompt"], said["Seed"]) == ("Whole number", "Text (several lines)", "advanced")


def test_draft_is_tried_as_oneself_and_users_notice_nothing(admin: Client, staff: Any, server: Any) -> None:
    template = make_template()
    drafts.change(template, staff, lambda draft: editing.remove(draft, draft_names(template).index("negative_prompt")))
    data = {"prompt": "a fox", "steps": "4", "cfg": "7", "width": "64", "height": "64", "seed": "5"}
    response = admin.post(address(template, "try/"), data, headers=HTMX)
    assert response.status_code == 422
    assert b"lack" in response.content  # the recordings' server has another checkpoint
    ComfyServer.objects.saw_nodes(server.pk, object_info=json.loads(usual_catalog()))
    response = admin.post(address(template, "try/"), data, headers=HTMX)
    assert b'class="panel' in response.content
    generation = Generation.objects.get()
    assert (generation.user, generation.version.number, generation.version.published_at) == (staff, 2, None)
    template.refresh_from_db()
    assert template.published_version is not None and template.published_version.number == 1


def test_wrong_values_of_a_try_are_shown_in_the_form(admin: Client, server: Any) -> None:
    template = make_template()
    response = admin.post(address(template, "try/"), {"prompt": "", "steps": "999"}, headers=HTMX)
    assert response.status_code == 422
    assert b"errorlist" in response.content
    assert not Generation.objects.exists()


def test_result_of_ones_own_becomes_the_cover(admin: Client, staff: Any, owner: Any) -> None:
    template = make_template()
    mine = make_output(make_generation(staff, template=template, status=Status.SUCCEEDED)).asset
    other = make_output(make_generation(owner, template=template, status=Status.SUCCEEDED)).asset
    assert mine is not None and other is not None
    html = admin.post(address(template, "cover/")).content.decode()
    assert str(mine.pk) in html and str(other.pk) not in html
    for pk in (other.pk, "nonsense", make_asset(staff).pk):
        assert admin.post(address(template, "cover/"), {"asset": pk}).status_code == 404
    admin.post(address(template, "cover/"), {"asset": mine.pk})
    template.refresh_from_db()
    assert template.cover.name.startswith("covers/")


# ---------------------------------------------------------------------------------------------- publishing
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
    post(admin, template, "parameters/0/remove/")
    admin.post(address(template, "discard/"))
    assert not TemplateDraft.objects.exists()
    admin.post(address(template, "restore/"), {"number": "1"})
    assert TemplateDraft.objects.get().source == "Version 1"
    assert admin.post(address(template, "restore/"), {"number": "7"}).status_code == 404


def test_version_that_nothing_can_run_is_not_published_by_accident(admin: Client) -> None:
    make_server(object_info={"Other": {}}, object_info_at=timezone.now())
    template = make_template(publish=False)
    page = admin.post(f"{BASE}{template.pk}/publish/", {"number": "1"}, follow=True)
    assert "was not published" in page.content.decode()
    template.refresh_from_db()
    assert template.published_version is None


# -------------------------------------------------------------------------------------------- organisation
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


def test_importing_is_for_who_may_add(owner: Any, client_for: Any, helper: Any) -> None:
    for client, expected in ((Client(), 302), (client_for(owner), 302), (helper("view_workflowtemplate"), 403)):
        assert client.get(f"{BASE}import/").status_code == expected
        assert upload(client, png(prompt=txt2img_graph())).status_code == expected
    assert not WorkflowTemplate.objects.exists()


def test_titles_and_values_of_strangers_are_shown_as_text(admin: Client, server: Any) -> None:
    graph = txt2img_graph()
    graph["6"]["_meta"] = {"title": "<script>alert(1)</script>"}
    graph["6"]["inputs"]["text"] = "</script><img src=x onerror=alert(1)>"
    template = make_template(graph=graph)
    for response in (admin.get(address(template)), post(admin, template, "expose/", node="6", input="text", on="1")):
        html = response.content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html


def test_two_hundred_nodes_are_imported_and_shown_with_few_queries(
    admin: Client, server: Any, django_assert_max_num_queries: Any
) -> None:
    graph = txt2img_graph()
    for number in range(200):
        source = ["8", 0] if number == 0 else [f"n{number - 1}", 0]
        graph[f"n{number}"] = {"class_type": "ImageInvert", "inputs": {"image": source}}
    graph["9"]["inputs"]["images"] = ["n199", 0]
    with django_assert_max_num_queries(25):
        assert upload(admin, json.dumps(graph).encode(), "many.json").status_code == 302
    with django_assert_max_num_queries(15):
        page = admin.get(address(WorkflowTemplate.objects.get()))
    assert page.content.decode().count("data-node ") == 207


# -------------------------------------------------------------------------------------- servers that differ
@pytest.fixture
def two_servers(db: None) -> None:
    """They differ about the sampler's steps and samplers, and `newer` alone has an input and requires another."""
    newer = json.loads(json.dumps(OBJECT_INFO))
    sampler = newer["KSampler"]["input"]
    sampler["required"]["steps"] = ["INT", {"default": 20, "min": 1, "max": 30}]
    sampler["required"]["guidance"] = ["FLOAT", {"default": 1.0}]
    sampler["required"]["sampler_name"][0] = [*sampler["required"]["sampler_name"][0], "brand_new"]
    newer["EmptyLatentImage"]["input"]["optional"] = {"tiled": ["BOOLEAN", {}]}
    make_server("older", object_info=OBJECT_INFO)
    make_server("newer", "http://127.0.0.1:2", object_info=newer)


@pytest.mark.usefixtures("two_servers")
def test_what_servers_differ_about_is_said_at_the_node_and_at_the_parameter(admin: Client) -> None:
    template = make_template()
    html = admin.get(address(template)).content.decode()
    nodes, cards = html.split('id="parameters-title"')
    for words in (
        "newer requires the input “guidance”, which this workflow does not set.",
        "Only newer has the input “tiled”; this workflow does not set it.",
        "Choices differ: “brand_new” only on newer.",
        "Bounds differ: 1 to 30 on newer; 1 to 10000 on older.",
    ):
        assert words in nodes
    assert nodes.count("Servers differ") == 2
    assert "Bounds differ: 1 to 30 on newer; 1 to 10000 on older." in cards
    assert "KSampler (node 3): newer requires the input" in nodes.split('id="nodes-title"')[0]  # in the state


@pytest.mark.usefixtures("two_servers")
def test_parameter_keeps_what_servers_differ_about_when_it_changes(admin: Client) -> None:
    html = post(admin, make_template(), "expose/", node="3", input="sampler_name", on="1").content.decode()
    assert "Choices differ: “brand_new” only on newer." in html


@pytest.mark.usefixtures("two_servers")
def test_input_that_only_one_server_has_is_a_note_of_the_import(admin: Client) -> None:
    graph = txt2img_graph()
    graph["5"]["inputs"]["tiled"] = True
    response = admin.post(f"{BASE}import/", {"workflow": json.dumps(graph)}, follow=True)
    html = response.content.decode()
    assert "EmptyLatentImage (node 5), input “tiled”: Only newer has this input; older runs without it." in html
    assert "KSampler (node 3): newer requires the input “guidance”" in html


def test_one_server_has_nobody_to_differ_from(admin: Client, server: Any) -> None:
    assert "Servers differ" not in admin.get(address(make_template())).content.decode()


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


def test_every_missing_file_is_listed_with_its_node_folder_and_link(admin: Client, server: Any) -> None:
    workflow = editor_workflow()
    loader = next(each for each in workflow["nodes"] if each["type"] == "CheckpointLoaderSimple")
    loader["widgets_values"] = ["sub/gone.safetensors"]
    link = "https://models.example/gone.safetensors"
    loader["properties"]["models"] = [{"name": "gone.safetensors", "url": link, "directory": "checkpoints"}]
    admin.post(f"{BASE}import/", {"workflow": json.dumps(workflow)})
    template = WorkflowTemplate.objects.get()
    page = admin.get(address(template)).content.decode()
    listed = " ".join(page.partition('id="missing-title"')[2].partition("</section>")[0].split())
    assert "1 file that no server has" in listed
    assert "<strong>sub/gone.safetensors</strong>" in listed and "models/checkpoints" in listed
    assert f'data-node-link="{loader["id"]}"' in listed
    assert f'href="{link}" target="_blank" rel="noopener noreferrer">Download from models.example<' in listed


def test_nothing_is_listed_where_every_file_is_there(admin: Client, server: Any) -> None:
    admin.post(f"{BASE}import/", {"workflow": json.dumps(editor_workflow())})
    assert 'id="missing-title"' not in admin.get(address(WorkflowTemplate.objects.get())).content.decode()
