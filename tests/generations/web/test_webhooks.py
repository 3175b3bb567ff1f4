"""The pages of webhooks."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from generations.models import Webhook, WebhookDelivery


def test_the_pages_of_webhooks(owner: User, client_for: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generations.webhooks.sending.deliver_webhooks.delay", lambda: None)
    browser = client_for(owner)
    data = {"url": "https://example.com/hook", "events": ["job.failed"], "is_for_every_job": "on"}
    refused = browser.post("/account/webhooks/", {**data, "url": "https://10.0.0.1/"})
    assert refused.status_code == 422
    assert "in a private network" in refused.content.decode()
    made = browser.post("/account/webhooks/", data)
    hook = Webhook.objects.get()
    assert made["Location"] == f"/account/webhooks/{hook.pk}/"
    browser.post(f"{made['Location']}test/")
    delivery = hook.deliveries.get()
    assert "webhook.test" in browser.get(made["Location"]).content.decode()
    WebhookDelivery.objects.update(next_attempt_at=None, error="The answer was 500.")
    assert "The answer was 500." in browser.get(f"{made['Location']}log/").content.decode()
    browser.post(f"{made['Location']}{delivery.pk}/again/")
    delivery.refresh_from_db()
    assert delivery.state == "waiting"
    browser.post(f"{made['Location']}switch/")
    hook.refresh_from_db()
    assert not hook.is_enabled
    browser.post(f"{made['Location']}delete/")
    assert not Webhook.objects.exists()
