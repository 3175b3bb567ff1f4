"""Webhooks in the admin."""

from __future__ import annotations

from typing import Any

from generations.models import Webhook


def test_staff_see_how_webhooks_do_and_switch_them_off(staff: Any, owner: Any, client_for: Any) -> None:
    hook = Webhook.objects.create(user=owner, url="https://example.com/hook", disabled_reason="")
    admin = client_for(staff)
    assert "https://example.com/hook" in admin.get("/admin/generations/webhook/").content.decode()
    page = admin.get(f"/admin/generations/webhook/{hook.pk}/change/").content.decode()
    assert hook.secret not in page
    admin.post("/admin/generations/webhook/", {"action": "switch_off", "_selected_action": [str(hook.pk)]})
    hook.refresh_from_db()
    assert (hook.is_enabled, hook.disabled_reason) == (False, "Switched off by the operator.")


def test_nobody_else_does(owner: Any, client_for: Any) -> None:
    assert client_for(owner).get("/admin/generations/webhook/").status_code == 302
