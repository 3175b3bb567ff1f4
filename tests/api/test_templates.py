"""GET /templates and /templates/{slug}."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.models import User
from tests.api.envelope import error_of
from tests.support.factories import make_key, make_server, make_team, make_template


@pytest.mark.usefixtures("known_server")
def test_list_has_published_templates_only(api: Client) -> None:
    make_template("one", title="One", tags=["fast"], description="The first")
    make_template("draft", publish=False)
    body = api.get("/api/v2/templates").json()
    assert [each["slug"] for each in body["data"]] == ["one"]
    assert body["next_cursor"] is None
    assert body["data"][0] == {
        "slug": "one",
        "title": "One",
        "description": "The first",
        "category": "",
        "tags": ["fast"],
        "credits_cost": 1,
        "version": 1,
        "is_available": True,
        "unavailable_reason": None,
        "cover_url": None,
        "urls": {"self": "/api/v2/templates/one", "jobs": "/api/v2/templates/one/jobs"},
    }


def test_pages_follow_the_cursor_to_the_end(api: Client) -> None:
    for number in range(5):
        make_template(f"t{number}", title=f"T{number}")
    slugs, cursor = [], "0"
    while cursor is not None:
        body = api.get("/api/v2/templates", {"limit": 2, "cursor": cursor}).json()
        assert len(body["data"]) <= 2
        slugs += [each["slug"] for each in body["data"]]
        cursor = body["next_cursor"]
    assert slugs == ["t0", "t1", "t2", "t3", "t4"]


def test_list_costs_the_same_however_long_it_is(api: Client, django_assert_num_queries: Any) -> None:
    for number in range(3):
        make_template(f"t{number}")
    api.get("/api/v2/templates")  # notes the key's use
    with django_assert_num_queries(3):  # the key, the templates, the servers
        api.get("/api/v2/templates")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=portr", ["one"]),
        ("q=SLOW", ["two"]),
        ("q=wide+slow", ["two"]),
        ("q=people", ["one"]),
        ("q=wide+portrait", []),
        ("tag=slow", ["two"]),
        ("tag=slo", []),
        ("category=People", ["one"]),
        ("category=people", []),
    ],
)
def test_search_and_filters(api: Client, query: str, expected: list[str]) -> None:
    make_template("one", title="Portrait", category="People", tags=["fast"])
    make_template("two", title="Landscape", description="A wide one", tags=["slow"])
    assert [each["slug"] for each in api.get(f"/api/v2/templates?{query}").json()["data"]] == expected


def test_template_that_no_server_can_run_says_why(api: Client) -> None:
    make_server(object_info={"KSampler": {}}, object_info_at=timezone.now())
    make_template("one")
    body = api.get("/api/v2/templates/one").json()
    assert not body["is_available"]
    assert "the node type" in body["unavailable_reason"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "cursor=x", "cursor=-1", "cursor=99999999999999999999", "q=%00"]
)
def test_bad_paging_is_named(api: Client, query: str) -> None:
    error = error_of(api.get(f"/api/v2/templates?{query}"), 422, "invalid_request")
    assert error["details"]["errors"][0]["field"] == query.split("=", maxsplit=1)[0]


def test_template_for_a_group_is_seen_by_its_members_alone(
    api: Client, owner: Any, stranger: Any, api_for: Any
) -> None:
    template = make_template("vip", visibility="groups")
    group = Group.objects.create(name="VIP")
    template.groups.add(group)
    owner.groups.add(group)
    assert api.get("/api/v2/templates/vip").status_code == 200
    other = api_for(stranger)
    assert other.get("/api/v2/templates").json()["data"] == []
    error_of(other.get("/api/v2/templates/vip"), 404, "not_found")
    response = other.post("/api/v2/templates/vip/jobs", {"inputs": {}}, content_type="application/json")
    error_of(response, 404, "not_found")


def test_template_for_a_workspace_is_seen_and_run_in_it_alone(
    owner: User, stranger: User, api_for: Callable[[User], Client]
) -> None:
    team = make_team(owner, name="Film")
    template = make_template(visibility="workspaces")
    template.workspaces.add(team)
    in_team = Client(headers={"Authorization": f"Bearer {make_key(owner, workspace=team)}"})
    for caller, status in ((in_team, 200), (api_for(owner), 404), (api_for(stranger), 404)):
        assert caller.get("/api/v2/templates/text-to-image").status_code == status
        assert len(caller.get("/api/v2/templates").json()["data"]) == (status == 200)
        run = caller.post("/api/v2/templates/text-to-image/jobs", {"inputs": {}}, content_type="application/json")
        assert (run.status_code == 404) is (status == 404)
        paths = caller.get("/api/v2/openapi.json").json()["paths"]
        assert ("/api/v2/templates/text-to-image/jobs" in paths) is (status == 200)


@pytest.mark.usefixtures("known_server")
def test_who_sees_a_template_is_one_setting_for_staff(
    staff: User, owner: User, stranger: User, api_for: Callable[[User], Client]
) -> None:
    make_template()
    team, group = make_team(owner, name="Film"), Group.objects.create(name="VIP")
    api, address = api_for(staff), "/api/v2/templates/text-to-image"

    def change(**audience: Any) -> Any:
        return api.patch(address, {"audience": audience}, content_type="application/json")

    assert api_for(owner).get(address).json()["audience"] is None
    everyone = {"kind": "everyone", "groups": [], "workspaces": []}
    assert api.get(address).json()["audience"] == everyone
    for refused in (
        {"kind": "groups"},
        {"kind": "workspaces"},
        {"kind": "groups", "groups": ["VIP", "none"]},
        {"kind": "workspaces", "workspaces": [str(uuid.uuid4())]},
        {"kind": "everyone", "groups": ["VIP"]},
        {"kind": "anybody"},
    ):
        assert change(**refused).status_code == 422, refused
        assert api.get(address).json()["audience"] == everyone
    chosen = change(kind="workspaces", workspaces=[str(team.public_id)]).json()["audience"]
    assert chosen == {"kind": "workspaces", "groups": [], "workspaces": [str(team.public_id)]}
    assert change(kind="groups", groups=[group.name]).json()["audience"]["workspaces"] == []
    assert change(kind="staff").status_code == 200
    assert api_for(owner).get(address).status_code == 404
    assert change(kind="everyone").json()["audience"] == everyone
    assert api_for(stranger).patch(address, {"audience": everyone}, content_type="application/json").status_code == 403


def test_detail_has_the_schema_of_the_inputs(api: Client) -> None:
    make_template()
    body = api.get("/api/v2/templates/text-to-image").json()
    schema = body["inputs_schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {"prompt", "seed", "steps", "width"} <= set(schema["properties"])
    jsonschema.validate({"prompt": "a cat", "steps": 3}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"prompt": "a cat", "steps": 300}, schema)


def test_detail_tells_what_parameters_stand_for(api: Client) -> None:
    make_template()
    body = api.get("/api/v2/templates/text-to-image").json()
    roles = {each["name"]: each["role"] for each in body["parameters"]}
    assert roles["prompt"] == "prompt" and roles["seed"] == "seed" and roles["width"] == "width"
    told = {name: each.get("x-role", "") for name, each in body["inputs_schema"]["properties"].items()}
    assert told == roles


def test_detail_keeps_the_graph_hidden(api: Client) -> None:
    make_template()
    response = api.get("/api/v2/templates/text-to-image")
    assert [each["name"] for each in response.json()["parameters"]][:2] == ["prompt", "negative_prompt"]
    text = json.dumps(response.json())
    assert "bindings" not in text
    assert "node_id" not in text


@pytest.mark.parametrize("slug", ["nothing", "draft"])
def test_unpublished_and_unknown_templates_are_not_found(api: Client, slug: str) -> None:
    make_template("draft", publish=False)
    error_of(api.get(f"/api/v2/templates/{slug}"), 404, "not_found")
