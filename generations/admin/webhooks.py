"""Webhooks in the admin: to look at, and to switch off."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import audit
from accounts.auditing import AuditedAdmin
from accounts.models.encrypted import UnreadableError
from generations.models import Webhook


@admin.register(Webhook)
class WebhookAdmin(AuditedAdmin):
    """Read only: they belong to their users. Secrets are not shown."""

    list_display = ("url", "user", "is_enabled", "failing_since", "disabled_reason", "created_at")
    list_filter = ("is_enabled", ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("url", "user__email")
    fields = (
        "url",
        "user",
        "events",
        "is_for_every_job",
        "shown_secret",
        "is_enabled",
        "failing_since",
        "disabled_reason",
        "created_at",
    )
    actions = ("switch_off",)

    @admin.display(description="Secret")
    def shown_secret(self, hook: Webhook) -> str:
        """Whether there is one, and not what it is."""
        return str(UnreadableError("It")) if hook.is_secret_lost else "Stored encrypted"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Users make their own."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They can only be switched off."""
        return False

    def has_switch_off_permission(self, request: HttpRequest) -> bool:
        """Whoever may change them."""
        return bool(super().has_change_permission(request))

    @admin.action(description="Switch off the selected webhooks", permissions=["switch_off"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        """Their owners can switch them on again."""
        reason = "Switched off by the operator."
        enabled = Webhook.objects.filter(pk__in=queryset.values("pk"), is_enabled=True)
        for hook in enabled.select_related("user"):
            audit.note(request, audit.WEBHOOK_OFF, hook, person=hook.user)
        changed = enabled.update(is_enabled=False, disabled_reason=reason)
        self.message_user(request, f"Switched off: {changed}.")
