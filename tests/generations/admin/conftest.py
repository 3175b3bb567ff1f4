"""Somebody in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from tests.support.factories import make_server, make_user
from tests.support.workflows import OBJECT_INFO


@pytest.fixture
def helper(client_for: Callable[[User], Client], db: None) -> Callable[..., Client]:
    """The browser of a member of staff who has only the given permissions."""

    def make(*permissions: str) -> Client:
        user: Any = make_user("helper@example.com", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        return client_for(user)

    return make


@pytest.fixture
def server(db: None) -> Any:
    """One that has told what it has."""
    return make_server(object_info=OBJECT_INFO, object_info_at=timezone.now())
