"""What users can choose at the moment, where a parameter offers what the servers have."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from generations.lifecycle import services
from generations.parameters.json_schema import json_schema
from generations.parameters.validate import InvalidInputs
from generations.scheduling import fitness
from tests.support.factories import CHECKPOINT, make_server, version_of
from tests.support.servers import changed, live_template, server_with, with_choice

pytestmark = pytest.mark.django_db


def test_choices_follow_the_servers(owner: Any) -> None:
    template = live_template()
    assert fitness.Fleet.now().current_parameters(version_of(template))[0].choices == (CHECKPOINT,)
    server = server_with("b.safetensors", CHECKPOINT)
    server_with("a.safetensors", name="two", url="http://127.0.0.1:2")
    current = fitness.Fleet.now().current_parameters(version_of(template))
    assert current[0].choices == ("a.safetensors", "b.safetensors", CHECKPOINT)
    assert json_schema(current)["properties"]["model"]["enum"] == list(current[0].choices)
    generation = services.submit(user=owner, version=version_of(template), inputs={"model": "a.safetensors"})
    assert generation.inputs == {"model": "a.safetensors"}
    server.delete()
    with pytest.raises(InvalidInputs):
        services.submit(user=owner, version=version_of(template), inputs={"model": "b.safetensors"})


def test_default_that_is_gone_is_none() -> None:
    server_with("new.safetensors")
    current = fitness.Fleet.now().current_parameters(version_of(live_template()))[0]
    assert (current.default, current.choices) == (None, ("new.safetensors",))


@pytest.mark.parametrize("fields", [{"is_live": True}, {}, {"default": None}, {"default": None, "is_live": True}])
def test_users_have_to_choose_when_no_server_has_the_default(owner: Any, client_for: Any, fields: Any) -> None:
    """Also where the default is what the workflow says."""
    server_with("b.safetensors")
    version = with_choice(help="Its style.", is_advanced=True, **fields)
    current = fitness.Fleet.now().current_parameters(version)[0]
    words = f"The usual choice, “{CHECKPOINT}”, is not available at the moment."
    assert (current.default, current.required, current.help) == (None, True, f"Its style. {words}")
    assert not current.is_advanced  # nobody would find it folded
    assert json_schema([current])["required"] == ["model"]
    page = client_for(owner).get(reverse("template", args=[version.template.slug])).content.decode()
    assert words in page and "Choose …" in page
    with pytest.raises(InvalidInputs, match="model: This field is required"):
        services.submit(user=owner, version=version, inputs={})
    assert services.submit(user=owner, version=version, inputs={"model": "b.safetensors"}).pk


@pytest.mark.parametrize("is_live", [True, False])
def test_default_that_is_there_stays_one(is_live: bool) -> None:
    server_with(CHECKPOINT)
    current = fitness.Fleet.now().current_parameters(with_choice(is_live=is_live))[0]
    assert (current.default, current.required, current.help) == (CHECKPOINT, False, "")


def test_choices_come_from_the_servers_that_can_run_the_rest() -> None:
    nodes = changed("CheckpointLoaderSimple", ckpt_name=[["a.safetensors", CHECKPOINT]])
    make_server(object_info=nodes)
    without = changed("CheckpointLoaderSimple", ckpt_name=[["b.safetensors"]])
    del without["KSampler"]
    make_server("two", "http://127.0.0.1:2", object_info=without)
    assert fitness.Fleet.now().current_parameters(version_of(live_template()))[0].choices == (
        "a.safetensors",
        CHECKPOINT,
    )
