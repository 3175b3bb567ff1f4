"""ComfyUI servers in the admin."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanWidget

from generations.models import ComfyServer, Generation
from generations.models.server import ServerState
from generations.scheduling import server_check

DRAINING = "Draining"


class ServerForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs alone
    """The header's value is write-only: it is never sent to a browser again."""

    auth_header_value = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Such as “Bearer …”. Stored encrypted and never shown. Leave it empty to keep the present one. "
        "When you change the URL, enter it again: a new address never gets what was meant for the old one.",
    )
    clear_auth_header = forms.BooleanField(
        required=False,
        label="Remove auth header",
        widget=UnfoldBooleanWidget(),
        help_text="Forget the header's name and value.",
    )

    class Meta:
        model = ComfyServer
        fields = (
            "name", "url", "auth_header_name", "auth_header_value", "slots", "is_enabled", "is_draining",
            "is_history_kept", "are_files_offered",
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Keep, replace or remove the header."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("clear_auth_header"):
            data["auth_header_name"], data["auth_header_value"] = "", None
        elif data.get("auth_header_value"):
            self.instance.give_header(data.get("auth_header_name", ""), data["auth_header_value"])
        else:
            data["auth_header_value"] = self.instance.auth_header_value
        return data


@admin.register(ComfyServer)
class ServerAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Changes take effect within seconds, without a restart."""

    form = ServerForm
    list_display = ("name", "url", "shown_state", "state_message", "slots", "is_enabled", "comfyui_version", "seen_at")
    list_filter = ("is_enabled", "state")
    search_fields = ("name", "url")
    readonly_fields = (
        "shown_state", "state_message", "comfyui_version", "seen_at", "shown_nodes", "lease_owner", "lease_expires_at",
    )  # fmt: skip
    actions = ("check_now",)
    change_form_outer_before_template = "admin/buttons.html"
    fieldsets = (
        (None, {"fields": ("name", "url", "slots", "is_enabled", "is_draining")}),
        ("History and files in ComfyUI", {"fields": ("is_history_kept", "are_files_offered")}),
        ("Access", {"fields": ("auth_header_name", "auth_header_value", "clear_auth_header")}),
        ("State", {"fields": readonly_fields}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ComfyServer]:
        """Without the node classes, which are megabytes."""
        return cast("QuerySet[ComfyServer]", super().get_queryset(request).defer("object_info"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A server that is only being added has no state."""
        found = super().get_fieldsets(request, obj)
        return found if obj else found[:-1]

    def save_model(self, request: HttpRequest, obj: ComfyServer, form: ServerForm, change: bool) -> None:
        """Say so when a header was deleted with the address that it was for."""
        super().save_model(request, obj, form, change)
        if form.initial.get("auth_header_name") and not obj.auth_header_name and "url" in form.changed_data:
            self.message_user(
                request, "The header was deleted with the old URL. Enter it again if the new one needs it."
            )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while it has work, which would be lost: disable the server and wait."""
        is_busy = obj is not None and Generation.objects.upstream_on(obj.pk).exists()
        return bool(super().has_delete_permission(request, obj)) and not is_busy

    def has_check_permission(self, request: HttpRequest) -> bool:
        """Whoever may change servers may ask them how they are."""
        return bool(self.has_change_permission(request))

    def get_urls(self) -> list[URLPattern]:
        """With “Check now” for one server."""
        view = self.admin_site.admin_view(require_POST(self.check_one))
        return [path("<int:pk>/check/", view, name="server_check"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the button “Check now”."""
        buttons = []
        if object_id.isdigit() and self.has_check_permission(request):
            buttons = [{"url": reverse("admin:server_check", args=[object_id]), "label": "Check now"}]
        context = {**(extra_context or {}), "buttons": buttons}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def check_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask it, and go back to its page."""
        if not self.has_check_permission(request):
            raise PermissionDenied
        self._check(request, get_object_or_404(ComfyServer, pk=pk))
        return HttpResponseRedirect(reverse("admin:generations_comfyserver_change", args=[pk]))

    @admin.action(description="Check now", permissions=["check"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[ComfyServer]) -> None:
        """Ask each selected server, and say what it answered."""
        for server in queryset:
            self._check(request, server)

    def _check(self, request: HttpRequest, server: ComfyServer) -> None:
        is_fine, sentence = server_check.check(server)
        self.message_user(request, sentence, messages.SUCCESS if is_fine else messages.ERROR)

    @display(  # type: ignore[untyped-decorator]
        description="State",
        label={
            ServerState.ONLINE.label: "success",
            ServerState.UNREACHABLE.label: "danger",
            ServerState.STUCK.label: "danger",
            ServerState.UNKNOWN.label: "warning",
            DRAINING: "warning",
        },
    )
    def shown_state(self, server: ComfyServer) -> str:
        """“Disabled”, “Draining” for an online server that drains, otherwise its state."""
        if not server.is_enabled:
            return "Disabled"
        is_draining = server.is_draining and server.state == ServerState.ONLINE
        return DRAINING if is_draining else server.get_state_display()

    @admin.display(description="Node types known")
    def shown_nodes(self, server: ComfyServer) -> str:
        """How many, and since when."""
        if server.object_info is None or server.object_info_at is None:
            return "None yet: use “Check now”."
        return f"{len(server.object_info)}, read {server.object_info_at:%Y-%m-%d %H:%M}"
