"""Somebody in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User


@pytest.fixture
def helper(client_for: Callable[[User], Client], db: None) -> Callable[..., Client]:
    """The browser of a member of staff who has only the given permissions."""
    from django.contrib.auth.models import Permission

    from tests.support.factories import make_user

    def make(*permissions: str) -> Client:
        user: Any = make_user("helper@example.com", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        return client_for(user)

    return make
