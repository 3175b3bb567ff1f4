"""Generations in the admin."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client

from generations.models import Asset, Generation, Status
from tests.support.factories import make_generation, make_output

LIST = "/admin/generations/generation/"


def test_list_has_a_filter_for_the_status(admin: Client, owner: Any) -> None:
    failed = make_generation(owner, status=Status.FAILED)
    queued = make_generation(owner)
    html = admin.get(f"{LIST}?status__exact=failed").content.decode()
    assert str(failed.pk) in html
    assert str(queued.pk) not in html


def test_list_costs_the_same_however_long_it_is(admin: Client, owner: Any, django_assert_max_num_queries: Any) -> None:
    for _ in range(8):
        make_generation(owner)
    with django_assert_max_num_queries(12):
        admin.get(LIST)


def test_detail_shows_what_only_staff_may_see(admin: Client, owner: Any) -> None:
    detail = {"traceback": ["File /srv/comfy/x.py <b>"]}
    failed = make_generation(owner, status=Status.FAILED, error_detail=detail)
    html = admin.get(f"{LIST}{failed.pk}/change/").content.decode()
    assert "File /srv/comfy/x.py &lt;b&gt;" in html
    assert owner.email in html


@pytest.mark.parametrize("status", list(Status))
def test_detail_of_every_status_has_a_page(admin: Client, owner: Any, status: str) -> None:
    generation = make_generation(owner, status=status)
    html = admin.get(f"{LIST}{generation.pk}/change/").content.decode()
    assert (f"{LIST}{generation.pk}/cancel/" in html) == (not generation.is_terminal)


def test_nothing_is_added_or_changed_here(admin: Client, owner: Any) -> None:
    generation = make_generation(owner)
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{generation.pk}/change/", {"status": "succeeded"}).status_code == 403
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED


def test_button_cancels(admin: Client, owner: Any) -> None:
    queued, running = make_generation(owner), make_generation(owner, status=Status.RUNNING)
    for generation in (queued, running):
        assert admin.post(f"{LIST}{generation.pk}/cancel/").status_code == 302
        generation.refresh_from_db()
    assert queued.status == Status.CANCELED
    assert running.is_canceling


def test_action_cancels_what_is_active(admin: Client, owner: Any) -> None:
    queued, done = make_generation(owner), make_generation(owner, status=Status.SUCCEEDED)
    data = {"action": "cancel", "_selected_action": [queued.pk, done.pk]}
    assert "Asked to stop: 1" in admin.post(LIST, data, follow=True).content.decode()
    queued.refresh_from_db()
    done.refresh_from_db()
    assert (queued.status, done.status) == (Status.CANCELED, Status.SUCCEEDED)


def test_canceling_needs_the_right_and_is_no_link(admin: Client, owner: Any, helper: Any) -> None:
    generation = make_generation(owner)
    assert admin.get(f"{LIST}{generation.pk}/cancel/").status_code == 405
    assert admin.post(f"{LIST}{uuid.uuid4()}/cancel/").status_code == 404
    client = helper("view_generation")
    assert client.post(f"{LIST}{generation.pk}/cancel/").status_code == 403
    client.post(LIST, {"action": "cancel", "_selected_action": [generation.pk]})
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED


def test_finished_one_is_deleted_with_its_files(
    admin: Client, owner: Any, django_capture_on_commit_callbacks: Any, eager_tasks: None
) -> None:
    for path in ("one", "several"):
        output = make_output(make_generation(owner, status=Status.SUCCEEDED))
        assert output.asset is not None
        pk = output.generation_id
        with django_capture_on_commit_callbacks(execute=True):
            if path == "one":
                admin.post(f"{LIST}{pk}/delete/", {"post": "yes"})
            else:
                admin.post(LIST, {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
        assert not Generation.objects.filter(pk=pk).exists()
        assert not Asset.objects.filter(pk=output.asset_id).exists()
        assert not default_storage.exists(output.asset.key)


def test_active_one_is_not_deleted(admin: Client, owner: Any) -> None:
    generation = make_generation(owner, status=Status.RUNNING)
    assert admin.post(f"{LIST}{generation.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [generation.pk], "post": "yes"})
    assert Generation.objects.filter(pk=generation.pk).exists()


def test_staff_see_no_inputs_and_no_results(admin: Client, owner: Any) -> None:
    secret = "a secret prompt"
    made = make_generation(
        owner,
        status=Status.FAILED,
        inputs={"prompt": secret},
        resolved=[["6", "text", secret]],
        upstream_outputs={"9": {"text": [secret]}},
        warnings=[{"code": "x", "message": secret, "node_id": "9", "name": secret}],
        error_code="node_execution_error",
        error_detail={"exception_type": "ValueError", "current_inputs": {"text": [secret]}},
    )
    make_output(made, value=secret)
    for page in ("", f"{made.pk}/change/", f"{made.pk}/delete/", f"{made.pk}/history/"):
        html = admin.get(f"/admin/generations/generation/{page}").content.decode()
        assert secret not in html
    assert "ValueError" in admin.get(f"/admin/generations/generation/{made.pk}/change/").content.decode()
