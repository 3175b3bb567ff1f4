"""Finding templates, what they say of themselves, and going back to them from a result."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from generations.models import Status, WorkflowTemplate
from tests.support.factories import (
    make_generation,
    make_server,
    make_template,
    parameter,
    txt2img_parameters,
)
from tests.support.pictures import png


@pytest.fixture
def client(owner: Any, client_for: Any) -> Client:
    """The owner's browser."""
    made: Client = client_for(owner)
    return made


def page(client: Client, path: str = "/") -> str:
    return client.get(path).content.decode()


def test_templates_stand_under_their_category(client: Client) -> None:
    make_template("b", title="Beta", category="People", position=2)
    make_template("a", title="Alpha", category="Places", position=1)
    make_template("c", title="Gamma", category="People", position=3)
    html = page(client)
    order = [html.index(word) for word in ("Places</h2>", "Alpha", "People</h2>", "Beta", "Gamma")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?q=alpha", {"Alpha"}),
        ("?q=PEOPLE", {"Alpha", "Beta"}),
        ("?tag=fast", {"Alpha"}),
        ("?q=people&tag=slow", {"Beta"}),
        ("?category=Other", set()),
        ("?q=%00", {"Alpha", "Beta"}),
    ],
)
def test_search_and_tags(client: Client, query: str, shown: set[str]) -> None:
    make_template("a", title="Alpha", category="People", tags=["fast"])
    make_template("b", title="Beta", category="People", tags=["slow"])
    html = page(client, f"/{query}")
    assert {title for title in ("Alpha", "Beta") if f"<strong>{title}</strong>" in html} == shown
    assert shown or "No templates match" in html


def test_gallery_costs_the_same_however_long_it_is(client: Client, django_assert_max_num_queries: Any) -> None:
    make_server(object_info={"KSampler": {}}, object_info_at=timezone.now())
    for number in range(8):
        make_template(f"t{number}")
    page(client)
    with django_assert_max_num_queries(5):
        page(client)


def test_what_no_server_can_run_is_unavailable_with_a_reason(client: Client) -> None:
    make_server(object_info={"KSampler": {}}, object_info_at=timezone.now())
    template = make_template()
    assert "Unavailable" in page(client)
    html = page(client, f"/templates/{template.slug}/")
    assert "Unavailable at the moment" in html and "the node type CLIPTextEncode" in html
    assert 'type="submit" disabled' in html


def test_description_is_markdown_without_anything_active(client: Client) -> None:
    template = make_template(description="**Bold** <script>alert(1)</script> [x](javascript:alert(1))")
    html = page(client, f"/templates/{template.slug}/")
    assert "<strong>Bold</strong>" in html
    assert "<script>alert" not in html and 'href="javascript' not in html
    assert "Bold" in page(client) and "**" not in page(client)


def test_fields_stand_in_their_groups(client: Client) -> None:
    parameters = txt2img_parameters()
    parameters[5]["section"] = parameters[6]["section"] = "Format"
    template = make_template(parameters=parameters)
    html = page(client, f"/templates/{template.slug}/")
    group = html[html.index("<legend>Format</legend>") :]
    assert group.index('name="width"') < group.index('name="height"') < group.index("</fieldset>")


def test_mask_says_which_picture_it_is_drawn_on(client: Client) -> None:
    graph: dict[str, Any] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "LoadImageMask", "inputs": {"image": "a.png", "channel": "red"}},
    }
    parameters = [
        parameter("photo", "image", "1", "image", required=True),
        parameter("mask", "mask", "2", "image", drawn_on="photo"),
    ]
    template = make_template(graph=graph, parameters=parameters)
    assert 'data-drawn-on="photo"' in page(client, f"/templates/{template.slug}/")


# ---------------------------------------------------------------------------------------- back from a result
def open_result(client: Client, content: bytes) -> Any:
    return client.post("/open/", {"file": SimpleUploadedFile("x.png", content)})


def result_of(user: Any, template: WorkflowTemplate, **inputs: Any) -> bytes:
    generation = make_generation(user, template=template, status=Status.SUCCEEDED, inputs=inputs)
    return png(prompt={}, comfysaas={"generation": str(generation.pk), "template": template.slug, "version": 1})


def test_own_result_leads_to_its_form_filled_in(client: Client, owner: Any) -> None:
    template = make_template()
    response = open_result(client, result_of(owner, template, prompt="a very blue fox", seed="42"))
    assert response.status_code == 302 and response["Location"].startswith(f"/templates/{template.slug}/?from=")
    html = page(client, response["Location"])
    assert "a very blue fox" in html and 'value="42"' in html


def test_result_of_a_template_that_is_gone_leads_to_its_own_page(client: Client, owner: Any) -> None:
    template = make_template()
    content = result_of(owner, template)
    template.set_published(None)
    assert open_result(client, content)["Location"].startswith("/generations/")


def test_results_of_others_and_strange_files_are_nothing(client: Client, stranger: Any) -> None:
    content = result_of(stranger, make_template(), prompt="a secret")
    for each in (content, png(), b"nonsense", b""):
        response = open_result(client, each)
        assert response["Location"] == "/"
    assert "This file is not one of your results. Choose a picture" in page(client)
    assert client.post("/open/")["Location"] == "/"
    assert Client().post("/open/")["Location"].startswith("/accounts/login/")
    assert client.get("/open/")["Location"] == "/"
