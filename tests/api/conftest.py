"""API clients: one with a key, as a program has, and one with a browser's session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient, Client

from accounts.models import User
from generations.comfy.errors import Unavailable
from tests.support.factories import make_key


@pytest.fixture
def api_for() -> Callable[[User], Client]:
    """A client that sends a key of the given user."""

    def make(user: User) -> Client:
        return Client(headers={"Authorization": f"Bearer {make_key(user)}"})

    return make


@pytest.fixture
def api(owner: User, api_for: Callable[[User], Client]) -> Client:
    """The owner's program."""
    return api_for(owner)


@pytest.fixture
def async_api(owner: User) -> AsyncClient:
    """The owner's program, for answers that are streamed."""
    client = AsyncClient()
    client.defaults["AUTHORIZATION"] = f"Bearer {make_key(owner)}"
    return client


@pytest.fixture
def servers_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ComfyUI server answers, and no worker sends webhooks."""

    def unavailable(*args: Any, **kwargs: Any) -> Any:
        msg = "not in a test"
        raise Unavailable(msg)

    monkeypatch.setattr("generations.scheduling.server_check.ComfyClient.system_stats", unavailable)
    monkeypatch.setattr("generations.webhooks.sending.deliver_webhooks.delay", lambda: None)
