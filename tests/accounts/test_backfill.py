"""The migration that gives everybody a personal workspace."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from accounts.models import ApiKey, Membership, Plan, Workspace
from tests.support.factories import make_key, make_user

pytestmark = pytest.mark.django_db


def test_users_of_the_release_before_get_workspaces_with_their_plans_and_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    migration: Any = import_module("accounts.migrations.0012_personal_workspaces")
    monkeypatch.setattr(migration, "BATCH", 2)
    plan = Plan.objects.create(name="large")
    users = [make_user(f"u{number}@example.com", plan=plan if number else None) for number in range(5)]
    for user in users:
        make_key(user)
    kept = Workspace.objects.get(person=users[0])
    ApiKey.objects.update(workspace=None)
    Workspace.objects.exclude(pk=kept.pk).delete()
    for _ in range(2):  # it may be run again
        migration.fill(apps, SimpleNamespace(connection=connection))
    assert Workspace.objects.count() == Membership.objects.count() == 5
    for user in users:
        mine = Workspace.objects.get(person=user)
        assert (mine.plan, mine.memberships.get().role, user.api_keys.get().workspace) == (user.plan, "owner", mine)
    assert Workspace.objects.get(person=users[0]) == kept
