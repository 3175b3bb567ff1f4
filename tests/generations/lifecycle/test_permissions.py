"""Who may run a template: each way to run one asks the same question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from generations.lifecycle import services
from generations.models import Generation, Status, WorkflowTemplate
from tests.api.envelope import error_of
from tests.support.factories import (
    add_published_version,
    make_generation,
    make_key,
    make_template,
    txt2img_graph,
)


def withdraw(template: WorkflowTemplate) -> None:
    template.set_published(None)


def restrict(template: WorkflowTemplate) -> None:
    WorkflowTemplate.objects.filter(pk=template.pk).update(visibility="groups")


@pytest.fixture
def template(db: None) -> WorkflowTemplate:
    return make_template()


@pytest.fixture
def done(owner: User, template: WorkflowTemplate) -> Generation:
    """What the owner ran while they were allowed to."""
    return make_generation(owner, template=template, status=Status.SUCCEEDED)


def program(user: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_key(user)}"})


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/api/v2/{path}", json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("change", [withdraw, restrict])
def test_nobody_reruns_what_they_may_no_longer_run(owner: User, done: Generation, client_for: Any, change: Any) -> None:
    change(done.version.template)
    refused = error_of(post(program(owner), f"jobs/{done.pk}/rerun", {}), 403, "template_not_allowed")
    assert "Choose another template" in refused["message"]
    page = client_for(owner).post(f"/generations/{done.pk}/rerun/", follow=True)
    assert page.redirect_chain[-1][0] == f"/generations/{done.pk}/"
    assert "You cannot run “Text to image” any more" in page.content.decode()
    assert program(owner).get(f"/api/v2/jobs/{done.pk}").status_code == 200
    assert Generation.objects.get() == done


@pytest.mark.parametrize("change", [withdraw, restrict])
def test_no_other_way_runs_it_either(owner: User, done: Generation, client_for: Any, change: Any) -> None:
    change(done.version.template)
    browser, api = client_for(owner), program(owner)
    for body in ({"inputs": {"prompt": "x"}}, {"inputs": {"prompt": "x"}, "count": 2}):
        error_of(post(api, "templates/text-to-image/jobs", body), 404, "not_found")
    assert browser.get(f"/templates/text-to-image/?from={done.pk}").status_code == 404
    assert browser.post("/templates/text-to-image/", {"prompt": "x"}).status_code == 404
    for count in (1, 2):
        with pytest.raises(services.NotAllowedError):
            services.submit_variations(user=owner, version=done.version, inputs={"prompt": "x"}, count=count)
    assert Generation.objects.get() == done


@pytest.mark.usefixtures("known_server")
def test_members_of_its_groups_rerun_a_restricted_template(owner: User, done: Generation) -> None:
    restrict(done.version.template)
    group = Group.objects.create(name="friends")
    done.version.template.groups.add(group)
    error_of(post(program(owner), f"jobs/{done.pk}/rerun", {}), 403, "template_not_allowed")
    owner.groups.add(group)
    assert post(program(owner), f"jobs/{done.pk}/rerun", {}).status_code == 201
    owner.groups.clear()
    error_of(post(program(owner), f"jobs/{done.pk}/rerun", {}), 403, "template_not_allowed")


@pytest.mark.usefixtures("known_server")
def test_an_older_version_of_a_published_template_is_rerun(owner: User, done: Generation) -> None:
    add_published_version(done.version.template, graph=txt2img_graph(), parameters=[])
    job = post(program(owner), f"jobs/{done.pk}/rerun", {}).json()
    assert Generation.objects.get(pk=job["id"]).version == done.version
