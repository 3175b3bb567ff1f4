"""Seeds and texts are drawn when a run is submitted, recorded with it, and the same when it is repeated."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Plan, User
from generations.comfy.editor_notes import note
from generations.comfy.embedded import read_embedded
from generations.files import storage
from generations.lifecycle import services
from generations.models import Generation, SeedCount, Status, TemplateVersion, WorkflowTemplate
from generations.parameters.validate import InvalidInputs
from generations.scheduling.queue import QueueFullError
from generations.studio import drafts, editing, importing, making, publishing
from tests.generations.lifecycle.runs import ALTERNATIVES, seed_of, studio_template, submit, texts_of, with_seed
from tests.support.factories import (
    make_key,
    make_template,
    make_user,
    parameter,
    txt2img_graph,
    txt2img_parameters,
    version_of,
)
from tests.support.threads import AT_ONCE, at_once
from tests.support.workflows import OBJECT_INFO

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]


# ------------------------------------------------------------------------------------------------ texts
def test_a_typed_prompt_is_recorded_as_it_was_typed_and_as_it_ran(owner: User, staff: User) -> None:
    version = studio_template(staff)
    assert ["6", "text", "prompt"] in version.resolved_inputs
    found = Generation.objects.get(pk=submit(owner, version, prompt="{a} \\{b\\} c // d").pk)
    assert found.inputs["prompt"] == "{a} \\{b\\} c // d"
    assert found.resolved_inputs == {"prompt": "a {b} c "}
    assert found.graph({})["6"]["inputs"]["text"] == "a {b} c "


def test_texts_that_nobody_may_set_are_resolved_for_each_run(owner: User, staff: User) -> None:
    graph = txt2img_graph()
    graph["6"]["inputs"]["text"] = ALTERNATIVES
    graph["9"]["inputs"]["filename_prefix"] = "%date:yyyy%/%KSampler.seed%_%CLIPTextEncode.text%"
    version = studio_template(staff, graph=graph, parameters=[parameter("seed", "seed", "3", "seed")])
    found = services.submit(user=owner, version=version, inputs={"seed": 2**64 - 1})
    texts = texts_of(found)
    assert "|" not in texts["6.text"] and "//" not in texts["6.text"]
    assert texts["9.filename_prefix"].startswith(f"{timezone.localtime():%Y}/18446744073709551615_{{red_green_blue}}")
    assert found.graph({})["9"]["inputs"]["filename_prefix"] == texts["9.filename_prefix"]
    assert found.resolved_inputs == {}  # users see what they may set, and no more


def test_dates_are_those_of_the_sites_time_zone(owner: User, staff: User, settings: Any) -> None:
    settings.TIME_ZONE = "Pacific/Kiritimati"  # 14 hours ahead
    graph = txt2img_graph()
    graph["9"]["inputs"]["filename_prefix"] = "%date:yyyy-MM-dd hh%"
    found = submit(owner, studio_template(staff, graph=graph))
    assert texts_of(found)["9.filename_prefix"] == f"{timezone.localtime(found.created_at):%Y-%m-%d %H}"


def test_a_typed_name_reads_what_users_set_and_nothing_else(owner: User, staff: User) -> None:
    graph = txt2img_graph()
    graph["9"]["inputs"]["filename_prefix"] = "%KSampler.sampler_name%"
    name = parameter("name", "string", "9", "filename_prefix", default="x%KSampler.sampler_name%")
    version = studio_template(staff, graph=graph, parameters=[*txt2img_parameters(), name])
    typed = submit(owner, version, name="%KSampler.seed%_%KSampler.sampler_name%", seed=5)
    assert typed.resolved_inputs["name"] == "5_%KSampler.sampler_name%"
    assert submit(owner, version).resolved_inputs["name"] == "xeuler"
    assert submit(owner, version, name="%KSampler.sampler_name%").resolved_inputs["name"] == "euler"


def test_a_name_that_becomes_too_long_is_refused_at_its_setting(owner: User, staff: User) -> None:
    name = parameter("name", "string", "9", "filename_prefix", default="x")
    version = studio_template(staff, parameters=[*txt2img_parameters(), name])
    with pytest.raises(InvalidInputs) as refusal:
        submit(owner, version, prompt="x" * 5000, name="%CLIPTextEncode.text%")
    assert "becomes too long once its patterns are resolved" in refusal.value.errors["name"][0]
    assert not Generation.objects.exists()


@pytest.mark.parametrize("typed", ["../x", "a/../../x", "a\\..\\x", "/etc/x", "\\x", "C:x", "%date:/x%", "a/.."])
def test_a_typed_name_cannot_leave_the_folder_of_results(owner: User, staff: User, typed: str) -> None:
    name = parameter("name", "string", "9", "filename_prefix", default="../x")
    version = studio_template(staff, parameters=[*txt2img_parameters(), name])
    with pytest.raises(InvalidInputs) as refusal:
        submit(owner, version, name=typed + ("/y" if typed == "../x" else ""))
    assert "“..” among its folders" in refusal.value.errors["name"][0]
    assert submit(owner, version).graph({})["9"]["inputs"]["filename_prefix"] == "../x"  # the operator's own
    assert submit(owner, version, name="a..b/%date:yyyy%/x..").resolved_inputs["name"].startswith("a..b/2")


def test_texts_that_would_take_long_to_resolve_are_refused_and_count_for_each_run(owner: User, staff: User) -> None:
    version = studio_template(staff)
    submit(owner, version, prompt="{" * 3000)
    with pytest.raises(InvalidInputs) as refusal:
        submit(owner, version, prompt="{" * 200_001)
    assert "may have 200,000 characters for each run" in refusal.value.errors["prompt"][0]
    with pytest.raises(InvalidInputs) as refusal:
        inputs = {"prompt": "{" * 50_001}
        services.submit_variations(user=owner, version=version, inputs=inputs, count=4)
    assert "may have 50,000 characters for each run" in refusal.value.errors["prompt"][0]
    assert Generation.objects.count() == 1
    submit(owner, version, prompt="a" * 200_001)  # nothing in it is resolved


def test_versions_of_before_keep_their_texts(owner: User) -> None:
    version = version_of(make_template())
    TemplateVersion.objects.filter(pk=version.pk).update(resolved_inputs=[])
    assert submit(owner, TemplateVersion.objects.get(), prompt="{a|b}").resolved == []


def test_variations_draw_each_their_own(owner: User, staff: User) -> None:
    version = studio_template(staff, parameters=[parameter("prompt", "text", "6", "text")])
    rows = services.submit_variations(user=owner, version=version, inputs={"prompt": ALTERNATIVES}, count=8)
    assert len({row.resolved_inputs["prompt"] for row in rows}) > 1


def test_what_is_known_of_prompts_outlives_the_servers(staff: User) -> None:
    info = copy.deepcopy(OBJECT_INFO)
    info["Own"] = {"input": {"required": {"t": ["STRING", {"dynamicPrompts": True}]}}, "output_node": True}
    graph = {"1": {"class_type": "Own", "inputs": {"t": "{a|b}"}}}
    template = make_template(graph=graph, parameters=[], publish=False)
    first = publishing.freeze(template, staff, object_info=info)
    assert first.resolved_inputs == [["1", "t", "prompt"]]
    assert publishing.freeze(template, staff, object_info=None) == first


def test_braces_in_an_exported_graph_mean_braces_and_in_the_editors_file_alternatives(staff: User) -> None:
    nodes = [{"id": 6, "type": "CLIPTextEncode", "inputs": [], "outputs": [], "widgets_values": ["{a|b}"]}]
    exported = {"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "{a|b}"}}}
    versions = []
    for file in ({"nodes": nodes, "links": []}, exported):
        imported = importing.read(json.dumps(file).encode(), OBJECT_INFO)
        template, _notes = making.create(staff, imported, object_info=OBJECT_INFO)
        versions.append(publishing.freeze(template, staff, object_info=OBJECT_INFO))
    assert [each.resolved_inputs for each in versions] == [[["6", "text", "prompt"]], []]


@pytest.mark.django_db(transaction=True)
def test_comfyui_gets_what_was_resolved_and_writes_it_into_its_files(relay: Any, reaches: Any) -> None:
    graph = txt2img_graph()
    graph["9"]["inputs"]["filename_prefix"] = "%date:yyyy%/%KSampler.seed%"
    note(graph["9"], widgets={"KSampler.seed": ["3", "seed"]})
    version = version_of(make_template(graph=graph, is_workflow_removed=False))
    run = reaches(submit(make_user(), version, prompt="{only} this // that", seed=7), Status.SUCCEEDED)
    asset = run.outputs.first().asset
    assert asset.name.startswith("7_")
    with storage.open_key(asset.key) as file:
        found = read_embedded(io.BytesIO(file.read()))
    assert found.prompt["6"]["inputs"]["text"] == "only this "
    assert "comfysaas" not in found.prompt["9"].get("_meta", {})
    shown = next(each for each in found.workflow["nodes"] if each["id"] == 6)
    assert shown["widgets_values"] == ["only this "]


# ------------------------------------------------------------------------------------------------ seeds
@pytest.mark.parametrize(("mode", "expected"), [("increment", [41, 42, 43]), ("decrement", [41, 40, 39])])
def test_counting_seeds_go_on_for_each_user_and_template(owner: User, stranger: User, mode: str, expected: Any) -> None:
    version = version_of(make_template(parameters=with_seed(mode, default=41)))
    assert [seed_of(submit(owner, version)) for _ in range(3)] == expected
    assert seed_of(submit(stranger, version)) == 41
    other = version_of(make_template("other", parameters=with_seed(mode, default=41)))
    assert seed_of(submit(owner, other)) == 41


def test_the_workflows_own_seed_is_the_first(owner: User) -> None:
    graph = txt2img_graph()
    graph["3"]["inputs"]["seed"] = 123
    fixed = version_of(make_template(graph=graph, parameters=with_seed("fixed")))
    counting = version_of(make_template("counting", graph=graph, parameters=with_seed("increment")))
    assert [seed_of(submit(owner, fixed)) for _ in range(2)] == [123, 123]
    assert [seed_of(submit(owner, counting)) for _ in range(2)] == [123, 124]


def test_users_may_say_what_becomes_of_the_seed(owner: User) -> None:
    version = version_of(make_template(parameters=with_seed("randomize", default=7)))
    words = ["fixed", "increment", "increment", "decrement", "fixed"]
    assert [seed_of(submit(owner, version, seed=word)) for word in words] == [7, 7, 8, 7, 7]
    fixed = version_of(make_template("fixed", parameters=with_seed("fixed", default=7)))
    assert len({seed_of(submit(owner, fixed, seed="random")) for _ in range(4)}) == 4


def test_variations_take_consecutive_numbers(owner: User) -> None:
    version = version_of(make_template(parameters=with_seed("increment", default=5)))
    rows = services.submit_variations(user=owner, version=version, inputs={"prompt": "x"}, count=3)
    assert [seed_of(row) for row in rows] == [5, 6, 7]
    assert seed_of(submit(owner, version)) == 8


def test_a_submission_that_is_refused_counts_nothing(owner: User) -> None:
    version = version_of(make_template(parameters=with_seed("increment", default=5)))
    owner.plan = Plan.objects.create(name="Small", max_queued=1)
    owner.save()
    submit(owner, version)
    with pytest.raises(QueueFullError):
        submit(owner, version)
    owner.plan.max_queued = 2
    owner.plan.save()
    assert seed_of(submit(owner, version)) == 6


def test_a_repeated_request_counts_once(owner: User) -> None:
    make_template(parameters=with_seed("increment", default=5))
    client = Client(headers={"Authorization": f"Bearer {make_key(owner)}"})
    body = json.dumps({"inputs": {"prompt": "x"}})
    for _ in range(3):
        client.post(
            "/api/v2/templates/text-to-image/jobs",
            body,
            content_type="application/json",
            headers={"Idempotency-Key": "k"},
        )
    assert SeedCount.objects.get().last == "5"
    assert Generation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_submissions_have_no_seed_twice_and_leave_none_out() -> None:
    user = make_user()
    version = version_of(make_template(parameters=with_seed("increment", default=1)))

    def run() -> int:
        return seed_of(submit(User.objects.get(pk=user.pk), TemplateVersion.objects.get(pk=version.pk)))

    assert sorted(at_once(run), key=str) == sorted(range(1, AT_ONCE + 1), key=str)


def test_the_file_says_what_becomes_of_a_seed(staff: User) -> None:
    nodes = [
        {"id": 3, "type": "KSampler", "inputs": [], "outputs": [], "widgets_values":
            [123, "increment", 20, 8, "euler", "normal", 1]},
    ]  # fmt: skip
    imported = importing.read(json.dumps({"nodes": nodes, "links": []}).encode(), OBJECT_INFO)
    template, _notes = making.create(staff, imported, object_info=OBJECT_INFO)
    draft = drafts.draft_of(template)
    assert [each.get("seed_mode") for each in draft.parameters if each["type"] == "seed"] == ["increment"]
    drafts.change(template, staff, lambda draft: editing.hide(draft, ("3", "seed")))
    drafts.change(template, staff, lambda draft: editing.expose(draft, ("3", "seed"), OBJECT_INFO) and None)
    draft = drafts.draft_of(WorkflowTemplate.objects.get(pk=template.pk))
    assert [each.get("seed_mode") for each in draft.parameters if each["type"] == "seed"] == ["increment"]


# ------------------------------------------------------------------------------------------------ shown
def test_api_and_page_show_what_ran_beside_what_was_typed(owner: User, staff: User, client_for: Any) -> None:
    version = studio_template(staff)
    found = submit(owner, version, prompt="{only} this")
    program = Client(headers={"Authorization": f"Bearer {make_key(owner)}"})
    job = program.get(f"/api/v2/jobs/{found.pk}").json()
    assert (job["inputs"]["prompt"], job["resolved_inputs"]) == ("{only} this", {"prompt": "only this"})
    page = client_for(owner).get(f"/generations/{found.pk}/").content.decode()
    assert "{only} this" in page and "Ran as:</span> only this" in page
    plain = client_for(owner).get(f"/generations/{submit(owner, version).pk}/").content.decode()
    assert "Ran as:" not in plain


def test_the_workflow_of_a_job_is_the_one_that_ran(owner: User, staff: User, client_for: Any) -> None:
    found = submit(staff, studio_template(staff), prompt="{only} this")
    program = Client(headers={"Authorization": f"Bearer {make_key(staff)}"})
    workflow = program.get(f"/api/v2/jobs/{found.pk}/workflow").json()["workflow"]
    assert workflow["6"]["inputs"]["text"] == "only this"
