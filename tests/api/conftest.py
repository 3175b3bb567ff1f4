"""API clients: one with a key, as a program has, and one with a browser's session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient, Client

from accounts.models import ApiKey, User


def issue(user: User, **fields: Any) -> str:
    """A new key's secret."""
    return ApiKey.objects.issue(user=user, name="tests", **fields)[1]


@pytest.fixture
def api_for() -> Callable[[User], Client]:
    """A client that sends a key of the given user."""

    def make(user: User) -> Client:
        return Client(headers={"Authorization": f"Bearer {issue(user)}"})

    return make


@pytest.fixture
def api(owner: User, api_for: Callable[[User], Client]) -> Client:
    """The owner's program."""
    return api_for(owner)


@pytest.fixture
def async_api(owner: User) -> AsyncClient:
    """The owner's program, for answers that are streamed."""
    client = AsyncClient()
    client.defaults["AUTHORIZATION"] = f"Bearer {issue(owner)}"
    return client
