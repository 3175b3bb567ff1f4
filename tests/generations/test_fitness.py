"""Which servers can run what, and what users choose from."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from generations import fitness, services
from generations.models import ComfyServer
from generations.parameters.json_schema import json_schema
from generations.parameters.validate import InvalidInputs
from tests.support.factories import CHECKPOINT, make_server, make_template, parameter, txt2img_graph, version_of
from tests.support.workflows import with_models

pytestmark = pytest.mark.django_db


def server_with(*models: str, name: str = "one", url: str = "http://127.0.0.1:1") -> ComfyServer:
    return make_server(name, url, object_info=with_models(*models), object_info_at=timezone.now())


def live_template() -> Any:
    models = parameter("model", "choice", "4", "ckpt_name", choices=[CHECKPOINT], default=CHECKPOINT, is_live=True)
    return make_template(parameters=[models])


def test_each_server_says_what_it_lacks() -> None:
    server_with(CHECKPOINT)
    server_with("other.safetensors", name="two", url="http://127.0.0.1:2")
    make_server("three", "http://127.0.0.1:3")
    make_server("off", "http://127.0.0.1:4", is_enabled=False)
    version = version_of(make_template())
    reports = {
        each.server: each for each in fitness.Fleet().report(version.required_node_classes, version.required_choices)
    }
    assert set(reports) == {"one", "two", "three"}
    assert reports["one"].is_fit and reports["one"].is_known
    assert reports["two"].missing == [f"the file {CHECKPOINT}"]
    assert reports["three"].is_fit and not reports["three"].is_known


def test_choices_that_are_no_files_count_too(owner: Any) -> None:
    server_with(CHECKPOINT)
    graph = txt2img_graph()
    graph["3"]["inputs"]["sampler_name"] = "a_new_sampler"
    version = version_of(make_template(graph=graph, parameters=[]))
    reason = fitness.why_unavailable(version)
    assert reason == "The servers lack the choice “a_new_sampler” for sampler_name of KSampler."
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
    ComfyServer.objects.update(object_info_at=timezone.now())
    assert fitness.why_unavailable(version) == ""


def test_choices_follow_the_servers(owner: Any) -> None:
    template = live_template()
    assert fitness.current_parameters(version_of(template))[0].choices == (CHECKPOINT,)
    server = server_with("b.safetensors", CHECKPOINT)
    server_with("a.safetensors", name="two", url="http://127.0.0.1:2")
    current = fitness.current_parameters(version_of(template))
    assert current[0].choices == ("a.safetensors", "b.safetensors", CHECKPOINT)
    assert json_schema(current)["properties"]["model"]["enum"] == list(current[0].choices)
    generation = services.submit(user=owner, version=version_of(template), inputs={"model": "a.safetensors"})
    assert generation.inputs == {"model": "a.safetensors"}
    server.delete()
    with pytest.raises(InvalidInputs):
        services.submit(user=owner, version=version_of(template), inputs={"model": "b.safetensors"})


def test_default_that_is_gone_is_none() -> None:
    server_with("new.safetensors")
    current = fitness.current_parameters(version_of(live_template()))[0]
    assert (current.default, current.choices) == (None, ("new.safetensors",))


def test_one_query_for_any_number_of_templates(django_assert_num_queries: Any) -> None:
    server_with(CHECKPOINT)
    versions = [version_of(make_template(f"t{number}")) for number in range(5)]
    fitness.why_unavailable(versions[0])  # reads the catalog, once
    with django_assert_num_queries(1):
        fleet = fitness.Fleet()
        assert [fleet.why_unavailable(each) for each in versions] == [""] * 5
