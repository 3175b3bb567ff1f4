"""Which servers can run what, and why something waits."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from generations.comfy.catalog import Needs
from generations.lifecycle import services
from generations.live import snapshot
from generations.models import ComfyServer
from generations.parameters import demands
from generations.scheduling import fitness
from tests.support.factories import (
    CHECKPOINT,
    make_server,
    make_template,
    submit,
    txt2img_graph,
    version_of,
)
from tests.support.servers import changed, live_template, server_with, with_choice
from tests.support.workflows import with_models

pytestmark = pytest.mark.django_db


def test_each_server_says_what_it_lacks() -> None:
    server_with(CHECKPOINT)
    server_with("other.safetensors", name="two", url="http://127.0.0.1:2")
    make_server("three", "http://127.0.0.1:3", object_info=None)
    make_server("off", "http://127.0.0.1:4", is_enabled=False)
    version = version_of(make_template())
    reports = {each.server: each for each in fitness.Fleet.now().report(version.needs)}
    assert set(reports) == {"one", "two", "three"}
    assert reports["one"].is_fit and reports["one"].is_known
    assert reports["two"].missing == [f"the file {CHECKPOINT}"]
    assert not reports["three"].is_fit and not reports["three"].is_known


def test_choices_that_are_no_files_count_too(owner: Any) -> None:
    server_with(CHECKPOINT)
    graph = txt2img_graph()
    graph["3"]["inputs"]["sampler_name"] = "a_new_sampler"
    version = version_of(make_template(graph=graph, parameters=[]))
    reason = fitness.why_unavailable(version)
    assert reason.startswith("The servers lack the choice “a_new_sampler” for “sampler_name” of KSampler. Please tell")
    with pytest.raises(services.CannotRunError, match="a_new_sampler"):
        services.submit(user=owner, version=version, inputs={})


def test_what_users_choose_themselves_does_not_make_it_unavailable() -> None:
    server_with("other.safetensors")
    assert fitness.why_unavailable(version_of(live_template())) == ""
    assert CHECKPOINT in fitness.why_unavailable(version_of(make_template("fixed")))


def test_available_again_as_soon_as_a_server_has_it() -> None:
    server = server_with("other.safetensors")
    version = version_of(make_template())
    assert fitness.why_unavailable(version)
    ComfyServer.objects.saw_nodes(server.pk, object_info=with_models(CHECKPOINT))
    assert fitness.why_unavailable(version) == ""


# ---------------------------------------------------------------------------------------------- defaults
def test_each_server_says_which_defaults_it_lacks() -> None:
    server_with(CHECKPOINT)
    server_with("b.safetensors", name="two", url="http://127.0.0.1:2")
    make_server("three", "http://127.0.0.1:3", object_info=None)
    version = with_choice()
    usual = demands.defaults(version.graph, version.parsed_parameters)
    assert usual == [demands.Default("Checkpoint", ("CheckpointLoaderSimple", "ckpt_name", CHECKPOINT))]
    reports = {each.server: each for each in fitness.Fleet.now().report(version.needs, usual)}
    assert {name: each.is_fit for name, each in reports.items()} == {"one": True, "two": True, "three": False}
    words = f"the default of “Checkpoint”: the file {CHECKPOINT} is not there"
    lacking = {name: list(each.missing_defaults) for name, each in reports.items()}
    assert lacking == {"one": [], "two": [words], "three": []}
    assert fitness.Fleet.now().obstacle_as_it_is(version.needs, usual) == ""
    ComfyServer.objects.filter(name="one").delete()
    assert fitness.Fleet.now().obstacle(version.needs) == ""
    assert fitness.Fleet.now().obstacle_as_it_is(version.needs, usual) == f"No server can run it with {words}."


def test_defaults_of_one_run_have_to_be_on_one_server() -> None:
    """Two servers with one of two defaults each cannot run it."""
    info = [with_models("a.safetensors"), with_models("b.safetensors")]
    for number, each in enumerate(info):
        make_server(f"s{number}", f"http://127.0.0.1:{number + 1}", object_info=each, object_info_at=timezone.now())
    usual = [
        demands.Default(name, ("CheckpointLoaderSimple", "ckpt_name", f"{name}.safetensors")) for name in ("a", "b")
    ]
    words = fitness.Fleet.now().obstacle_as_it_is(Needs(()), usual)
    assert words == "No server can run it with the default of “b”: the file b.safetensors is not there."


def test_one_query_for_any_number_of_templates(django_assert_num_queries: Any) -> None:
    server_with(CHECKPOINT)
    versions = [version_of(make_template(f"t{number}")) for number in range(5)]
    fitness.why_unavailable(versions[0])  # reads the catalog, once
    with django_assert_num_queries(1):
        fleet = fitness.Fleet.now()
        assert [fleet.why_unavailable(each) for each in versions] == [""] * 5


# ---------------------------------------------------------------------------------------------- nobody knows yet
def test_a_server_that_was_never_reached_is_not_able(owner: Any, client_for: Any) -> None:
    make_server(object_info=None)
    template = make_template()
    reason = fitness.why_unavailable(version_of(template))
    assert reason.startswith("No ComfyUI server is connected yet. Try again in a moment")
    with pytest.raises(services.CannotRunError, match="No ComfyUI server is connected yet"):
        services.submit(user=owner, version=version_of(template), inputs={"prompt": "a cat"})
    browser = client_for(owner)
    assert "Unavailable" in browser.get("/").content.decode()
    page = browser.get(reverse("template", args=[template.slug])).content.decode()
    assert "No ComfyUI server is connected yet" in page
    assert 'type="submit" disabled' in page


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ([], "No ComfyUI server is set up yet"),
        ([{"is_enabled": False, "object_info": None}], "Every ComfyUI server is switched off"),
        ([{"is_enabled": False}], "The only server that can run this is switched off"),
        ([{"object_info": None, "state": "online"}], "has not said yet what it can run"),
        ([{"object_info": None, "state": "unreachable"}], "No ComfyUI server is connected yet"),
    ],
)
def test_each_reason_has_its_words(servers: list[dict[str, Any]], words: str) -> None:
    for number, fields in enumerate(servers):
        make_server(f"s{number}", f"http://127.0.0.1:{number + 1}", **fields)
    assert words in fitness.why_unavailable(version_of(make_template()))


def test_known_and_out_of_reach_is_still_able(owner: Any) -> None:
    make_server(state="unreachable")
    version = version_of(make_template())
    assert fitness.why_unavailable(version) == ""
    generation = services.submit(user=owner, version=version, inputs={"prompt": "a cat"})
    event = snapshot.status_event(generation)
    assert event["starts_in_seconds"] is None
    assert event["message"].startswith("The server that can run this cannot be reached at the moment.")


# ---------------------------------------------------------------------------------------------- those who wait
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_draining": True}, "is about to be serviced and takes nothing new"),
        ({"is_enabled": False}, "is switched off"),
        ({"state": "unreachable"}, "cannot be reached at the moment"),
        ({"state": "wedged"}, "is stuck and has to be restarted"),
    ],
)
def test_the_owner_is_told_what_became_of_the_only_server_that_fits(
    owner: Any, client_for: Any, change: dict[str, Any], words: str
) -> None:
    fit = make_server(state="online")
    server_with("other.safetensors", name="two", url="http://127.0.0.1:2")
    ComfyServer.objects.filter(name="two").update(state="online")
    generation = submit(make_template(), owner)
    assert words not in snapshot.status_event(generation)["message"]
    ComfyServer.objects.filter(pk=fit.pk).update(**change)
    sentence = f"The server that can run this {words}. Your generation waits and starts by itself."
    event = snapshot.status_event(generation)
    assert (event["message"], event["starts_in_seconds"]) == (sentence, None)
    assert sentence in client_for(owner).get(f"/generations/{generation.pk}/").content.decode()


# ---------------------------------------------------------------------------------------------- different servers
def test_a_newly_required_input_makes_a_server_unfit() -> None:
    make_server(object_info=changed("KSampler", guidance=["FLOAT", {"default": 1.0}]))
    reason = fitness.why_unavailable(version_of(make_template()))
    assert "support for KSampler without its input “guidance”" in reason
    make_server("usual", "http://127.0.0.1:2")
    assert fitness.why_unavailable(version_of(make_template("other"))) == ""


@pytest.mark.parametrize(
    ("bounds", "words"),
    [({"max": 10}, "support for 20 as “steps” of KSampler (at most 10)"), ({"min": 30}, "at least 30")],
)
def test_numbers_out_of_a_servers_range_make_it_unfit(bounds: dict[str, int], words: str) -> None:
    make_server(object_info=changed("KSampler", steps=["INT", {"default": 20, **bounds}]))
    graph = txt2img_graph()
    graph["3"]["inputs"]["steps"] = 20
    assert words in fitness.why_unavailable(version_of(make_template(graph=graph, parameters=[])))


def test_a_number_that_the_user_sets_decides_the_server(owner: Any) -> None:
    make_server(object_info=changed("KSampler", steps=["INT", {"max": 10}]))
    version = version_of(make_template())
    services.submit(user=owner, version=version, inputs={"prompt": "a cat", "steps": 10})
    with pytest.raises(services.CannotRunError, match="support for 11 as “steps” of KSampler"):
        services.submit(user=owner, version=version, inputs={"prompt": "a cat", "steps": 11})


def test_what_no_result_needs_does_not_count() -> None:
    """ComfyUI checks only what an output needs."""
    make_server()
    graph = txt2img_graph()
    graph["99"] = {"class_type": "KSampler", "inputs": {"steps": 0}}
    assert fitness.why_unavailable(version_of(make_template(graph=graph, parameters=[]))) == ""
