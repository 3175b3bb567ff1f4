"""ComfyUI servers in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanWidget

from generations import servers
from generations.models import ComfyServer


class ServerForm(forms.ModelForm[ComfyServer]):
    """The header's value is write-only: it is never sent to a browser again."""

    auth_header_value = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Leave it empty to keep the present one.",
    )
    clear_auth_header = forms.BooleanField(
        required=False, widget=UnfoldBooleanWidget(), help_text="Remove header name and value."
    )

    class Meta:
        model = ComfyServer
        fields = ("name", "url", "auth_header_name", "auth_header_value", "slots", "is_enabled")

    def clean(self) -> dict[str, Any]:
        """Keep, replace or remove the header."""
        data = super().clean() or {}
        if data.get("clear_auth_header"):
            data["auth_header_name"], data["auth_header_value"] = "", None
        elif not data.get("auth_header_value"):
            data["auth_header_value"] = self.instance.auth_header_value
        return data


@admin.register(ComfyServer)
class ServerAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Changes take effect within seconds, without a restart."""

    form = ServerForm
    list_display = ("name", "url", "shown_state", "slots", "is_enabled", "comfyui_version", "seen_at")
    list_filter = ("is_enabled", "state")
    search_fields = ("name", "url")
    readonly_fields = ("state", "state_message", "comfyui_version", "seen_at", "object_info_at", "lease_owner")
    actions = ("check_now",)
    fieldsets = (
        (None, {"fields": ("name", "url", "slots", "is_enabled")}),
        ("Access", {"fields": ("auth_header_name", "auth_header_value", "clear_auth_header")}),
        ("State", {"fields": readonly_fields}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ComfyServer]:
        """Without the node classes, which are megabytes."""
        return super().get_queryset(request).defer("object_info")  # type: ignore[no-any-return]

    @display(description="State", label={"Online": "success", "Unreachable": "danger", "Disabled": "info"})  # type: ignore[untyped-decorator]
    def shown_state(self, server: ComfyServer) -> str:
        """One word."""
        return server.get_state_display() if server.is_enabled else "Disabled"

    @admin.action(description="Check now")
    def check_now(self, request: HttpRequest, queryset: QuerySet[ComfyServer]) -> None:
        """Ask each selected server, and say what it answered."""
        for server in queryset:
            is_fine, sentence = servers.check(server)
            self.message_user(request, sentence, messages.INFO if is_fine else messages.ERROR)
