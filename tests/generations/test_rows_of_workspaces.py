"""To which workspace a row belongs: what is made in one, what the release before wrote, and what its relays add."""

from __future__ import annotations

import uuid
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test import Client

from accounts.models import Membership, User, Workspace
from generations.comfy.outputs import FileRef, OutputItem
from generations.lifecycle import copying, rerunning
from generations.models import Asset, Generation, Webhook
from tests.support.factories import (
    make_asset,
    make_generation,
    make_key,
    make_team,
    make_template,
    make_user,
    own,
    submit,
    version_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_server")]
only_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL fills in what is left out")


def client_of(user: User, workspace: Workspace) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_key(user, workspace=workspace)}"})


def test_what_names_no_workspace_belongs_to_its_users_own(owner: User) -> None:
    assert make_generation(owner).workspace == make_asset(owner).workspace == own(owner)
    assert Webhook.objects.create(user=owner, url="https://example.com/").workspace == own(owner)
    rows = [Generation(pk=(pk := uuid.uuid4()), prompt_id=pk, user=owner, version=version_of(make_template("b")))]
    Generation.objects.bulk_create(rows)
    assert Generation.objects.get(pk=rows[0].pk).workspace == own(owner)


def test_what_a_key_of_a_team_makes_belongs_to_the_team(owner: User) -> None:
    team, template = make_team(owner), make_template()
    client = client_of(owner, team)
    job = client.post(f"/api/v2/templates/{template.slug}/jobs", {"inputs": {"prompt": "x"}}, "application/json")
    assert job.status_code == 201, job.content
    hook = client.post("/api/v2/webhooks", {"url": "https://example.com/"}, "application/json")
    assert hook.status_code == 201, hook.content
    for model in (Generation, Webhook):
        assert model._default_manager.get().workspace == team  # type: ignore[attr-defined]


def test_what_is_made_in_pages_belongs_to_the_workspace_that_was_chosen(owner: User, client: Client) -> None:
    team, template = make_team(owner), make_template()
    client.force_login(owner)
    session = client.session
    session["workspace"] = str(team.public_id)
    session.save()
    assert client.post(f"/templates/{template.slug}/", {"prompt": "x"}).status_code == 302
    assert Generation.objects.get().workspace == team


def test_what_is_run_again_stays_in_its_workspace_and_is_the_members_who_asks(owner: User, stranger: User) -> None:
    team = make_team(owner, member=stranger)
    first = make_generation(owner, workspace=team, status="succeeded", template=make_template())
    again = rerunning.rerun(first, by=stranger, is_new_seed=False)
    assert (again.user, again.workspace) == (stranger, team)


def without_workspaces() -> None:
    for model in (Generation, Asset, Webhook):
        model._default_manager.update(workspace=None)


def fill(monkeypatch: pytest.MonkeyPatch, *, batch: int = 2) -> None:
    migration: Any = import_module("generations.migrations.0028_personal_rows")
    monkeypatch.setattr(migration, "BATCH", batch)
    migration.settle_old(apps, SimpleNamespace(connection=connection))


def test_rows_of_the_release_before_go_to_personal_workspaces(
    owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in (owner, stranger):
        for _ in range(3):
            make_generation(user)
        make_asset(user)
        Webhook.objects.create(user=user, url="https://example.com/")
    without_workspaces()
    kept = make_generation(owner, workspace=make_team(owner))
    for _ in range(2):  # it may be run again
        fill(monkeypatch)
    for model in (Generation, Asset, Webhook):
        for row in model._default_manager.exclude(pk=kept.pk):
            assert row.workspace == own(row.user)
    kept.refresh_from_db()
    assert kept.workspace != own(owner)


def test_rows_of_a_user_without_a_workspace_get_one(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_generation(owner)
    without_workspaces()
    Workspace.objects.all().delete()
    fill(monkeypatch)
    made.refresh_from_db()
    assert made.workspace == Workspace.objects.get(person=owner)


def inserted(row: models.Model) -> Any:
    """The row as the release before writes it: it knows no workspace."""
    fields = [each for each in row._meta.concrete_fields if each.name != "workspace"]
    names = ", ".join(f'"{each.column}"' for each in fields)
    values = [each.get_db_prep_save(getattr(row, each.attname), connection) for each in fields]
    with connection.cursor() as cursor:
        places = ", ".join(["%s"] * len(fields))
        cursor.execute(f"INSERT INTO {row._meta.db_table} ({names}) VALUES ({places})", values)
    return type(row)._default_manager.get(pk=row.pk)


@only_postgresql
def test_postgresql_fills_in_what_the_release_before_leaves_out(owner: User) -> None:
    version = version_of(make_template())
    made = inserted(Generation(prompt_id=uuid.uuid4(), user=owner, version=version))
    assert made.workspace == own(owner)
    assert inserted(Webhook(user=owner, url="https://example.com/")).workspace == own(owner)


@only_postgresql
def test_postgresql_makes_the_workspace_of_a_user_whom_the_release_before_made() -> None:
    user = make_user()
    Workspace.objects.all().delete()
    made = inserted(Webhook(user=user, url="https://example.com/"))
    assert made.workspace == Workspace.objects.get(person=user)
    assert Membership.objects.get(user=user).is_owner


@only_postgresql
@pytest.mark.parametrize("key", ["outputs/{}/1.0", "outputs/no-id/1.0", "uploads/{}"])
def test_a_result_that_an_older_relay_stores_belongs_where_its_generation_does(owner: User, key: str) -> None:
    team = make_team(owner)
    made = make_generation(owner, workspace=team)
    key = key.format(made.pk)
    plain = {"content_type": "image/png", "size_bytes": 1, "hash": "blake3:0"}
    asset = inserted(Asset(user=owner, name="a.png", key=key, **plain))
    assert asset.workspace == (team if key.startswith(f"outputs/{made.pk}") else own(owner))


def test_results_belong_where_their_generation_does(owner: User) -> None:
    made = submit(user=owner)
    made.workspace = team = make_team(owner)
    item = OutputItem("file", "9", "text", 0, FileRef("a.txt", type="text"), "x" * 9)
    copied = copying.copy(made, 0, item, None)
    assert copied is not None
    assert copied.workspace_id == team.pk
