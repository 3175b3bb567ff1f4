"""Generations in the admin: to look at, and to cancel."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from generations import services
from generations.models import Generation


@admin.register(Generation)
class GenerationAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Read only. The error's full detail is here and nowhere else."""

    list_display = ("id", "user", "version", "shown_status", "server", "created_at", "finished_at", "error_message")
    list_filter = ("status", "server", "version__template")
    list_select_related = ("user", "version__template", "server")
    search_fields = ("id", "user__email", "prompt_id")
    date_hierarchy = "created_at"
    show_full_result_count = False
    actions = ("cancel",)
    fields = (
        "id", "user", "version", "status", "server", "attempt", "prompt_id", "inputs", "created_at", "submitted_at",
        "started_at", "executed_at", "finished_at", "cancel_requested_at", "store_attempts", "error_code",
        "error_message", "error_node_id", "error_node_title", "error_class_type", "shown_detail", "upstream_outputs",
    )  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Made by users only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Changed by transitions only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deleted by their owners, together with their files."""
        return False

    @display(  # type: ignore[untyped-decorator]
        description="Status",
        label={"Done": "success", "Failed": "danger", "Running": "info", "Queued": "warning"},
    )
    def shown_status(self, generation: Generation) -> str:
        """One word."""
        return generation.get_status_display()

    @admin.display(description="Error detail (staff only)")
    def shown_detail(self, generation: Generation) -> str:
        """ComfyUI's own words."""
        if generation.error_detail is None:
            return "none"
        return format_html("<pre>{}</pre>", json.dumps(generation.error_detail, indent=2))

    @admin.action(description="Cancel the selected generations", permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        """As their owner would."""
        asked = 0
        for generation in queryset.active().select_related("version__template"):  # type: ignore[attr-defined]
            services.cancel(generation)
            asked += 1
        self.message_user(request, f"{asked} generation(s) asked to stop.", messages.INFO)
