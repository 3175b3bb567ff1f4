"""What this process keeps of rows never outlives a change of them, which here comes from elsewhere: as plain rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Plan, User, Workspace
from generations.models import ComfyServer, Generation, StorageUsage, TemplateVersion, WorkflowTemplate
from generations.models.template import Visibility
from tests.support.factories import (
    add_published_version,
    make_template,
    own,
    txt2img_graph,
    txt2img_parameters,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]


def submit(api: Client, **inputs: Any) -> Any:
    body = {"inputs": {"prompt": "a cat", **inputs}}
    return api.post("/api/v2/templates/text-to-image/jobs", body, content_type="application/json")


def without_nodes() -> None:
    server = ComfyServer.objects.get()
    ComfyServer.objects.saw_nodes(server.pk, object_info={"SaveImage": {}})


def for_others() -> None:
    WorkflowTemplate.objects.update(visibility=Visibility.GROUPS)
    WorkflowTemplate.objects.get().groups.add(Group.objects.create(name="others"))


def one_at_a_time() -> None:
    Workspace.objects.update(plan=Plan.objects.create(name="small", max_queued=1))


def full() -> None:
    Workspace.objects.update(plan=Plan.objects.create(name="tight", max_storage_mb=1))
    StorageUsage.objects.update_or_create(workspace=own(User.objects.get()), defaults={"stored_bytes": 2**20})


CHANGES: list[tuple[Callable[[], object], int]] = [
    (lambda: ApiKey.objects.update(revoked_at=timezone.now()), 401),
    (lambda: User.objects.update(is_active=False), 401),
    (lambda: ApiKey.objects.update(scopes=["read"]), 403),
    (lambda: WorkflowTemplate.objects.update(published_version=None), 404),
    (for_others, 404),
    (lambda: ComfyServer.objects.update(is_enabled=False), 409),
    (without_nodes, 409),
    (lambda: ComfyServer.objects.all().delete(), 409),
    (full, 403),
    (one_at_a_time, 429),
    (lambda: Workspace.objects.update(plan=Plan.objects.create(name="slow", requests_per_minute=1)), 429),
]


@pytest.mark.parametrize(("change", "status"), CHANGES)
def test_a_change_counts_for_the_next_job(api: Client, change: Callable[[], object], status: int) -> None:
    make_template()
    assert submit(api).status_code == 201
    assert submit(api).status_code == 201  # now that everything is kept
    change()
    assert submit(api).status_code == status


def test_a_new_version_is_what_runs_next(api: Client) -> None:
    template = make_template()
    assert submit(api).json()["template_version"] == 1
    add_published_version(template, graph=txt2img_graph(), parameters=txt2img_parameters()[:1])
    made = submit(api)
    assert made.json()["template_version"] == 2
    assert submit(api, steps=3).status_code == 422  # not a parameter any more
    TemplateVersion.objects.filter(number=1).update(published_at=timezone.now())
    WorkflowTemplate.objects.update(published_version=TemplateVersion.objects.get(number=1))
    assert submit(api, steps=3).json()["template_version"] == 1


def test_what_a_template_says_of_its_runs_counts_for_the_next_one(api: Client) -> None:
    make_template()
    submit(api)
    WorkflowTemplate.objects.update(mean_seconds=77.0, title="Renamed")
    made = Generation.objects.get(pk=submit(api).json()["id"])
    assert (made.cost, made.version.title) == (77.0, "Renamed")
