"""Generations in the admin: to look at, to cancel, and to delete when they are finished."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import display

from accounts import audit
from accounts.auditing import AuditedAdmin
from accounts.models import User
from generations.admin.keyset import KeysetChangeList
from generations.lifecycle import services
from generations.models import Generation, Status
from generations.models.generation import TERMINAL

MANY_USERS = 1000
VALUES = "current_inputs"  # in errors of nodes: what the node was given, prompts among it


@admin.register(Generation)
class GenerationAdmin(AuditedAdmin):
    """Read only, and without what its owner wrote or made: staff see that when they impersonate the owner.

    Of an error, all that ComfyUI says of itself is here and nowhere else; the inputs in it are left out.
    """

    list_display = ("id", "user", "version", "shown_status", "server", "created_at", "finished_at", "error_message")
    list_filter = ("status", "created_at", "server", "version__template")
    list_select_related = ("user", "version__template", "server")
    search_fields = ("id", "user__email", "prompt_id")
    search_help_text = "The beginning of an ID, or part of an e-mail address."
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count everything
    actions = ("cancel",)
    change_form_outer_before_template = "admin/buttons.html"
    fieldsets = (
        (None, {"fields": ("id", "user", "version", "shown_status")}),
        ("Error", {"fields": (
            "error_code", "error_message", "error_node_id", "error_node_title", "error_class_type", "shown_detail",
        )}),
        ("Times", {"fields": (
            "created_at", "submitted_at", "started_at", "executed_at", "finished_at", "cancel_requested_at",
        )}),
        ("ComfyUI", {"fields": (
            "server", "attempt", "prompt_id", "store_attempts",
        )}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generation]:
        """Without what only the detail page shows."""
        rows = super().get_queryset(request).defer("upstream_outputs", "error_detail", "version__graph")
        return cast("QuerySet[Generation]", rows)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Pages that are as quick among a million."""
        return KeysetChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Generation], search_term: str
    ) -> tuple[QuerySet[Generation], bool]:
        """By what has an index: the first eight digits or more of an id, else the owner's address."""
        digits = search_term.strip().replace("-", "").lower()
        if re.fullmatch("[0-9a-f]{8,32}", digits):
            ids = uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))
            return queryset.filter(Q(pk__range=ids) | Q(prompt_id__range=ids)), False
        if not digits:
            return queryset, False
        users = User.objects.filter(email__icontains=search_term.strip()).values_list("pk", flat=True)
        few = list(users[:MANY_USERS])  # looked up first: then the database knows that their generations are few
        return queryset.filter(user__in=few if len(few) < MANY_USERS else users), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only users make generations."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only transitions change them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only when it is finished."""
        return bool(super().has_delete_permission(request, obj)) and (obj is None or obj.is_terminal)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whoever may change generations may stop them."""
        return bool(super().has_change_permission(request))

    def delete_model(self, request: HttpRequest, obj: Generation) -> None:
        """With its files."""
        services.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        """With their files; one that is still active is left out."""
        for generation in queryset.filter(status__in=TERMINAL):
            services.delete(generation)

    def get_urls(self) -> list[URLPattern]:
        """With “Cancel” for one generation."""
        view = self.admin_site.admin_view(require_POST(self.cancel_one))
        return [path("<uuid:pk>/cancel/", view, name="generation_cancel"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With a button that cancels it, while there is something to cancel."""
        generation = self.get_object(request, object_id)
        can_cancel = generation and not generation.is_terminal and self.has_cancel_permission(request)
        buttons = []
        if can_cancel and not generation.is_canceling:
            buttons = [{"url": reverse("admin:generation_cancel", args=[generation.pk]), "label": "Cancel"}]
        context = {**(extra_context or {}), "buttons": buttons}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def cancel_one(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Ask it to stop, and go back to its page."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        found = get_object_or_404(Generation.objects.select_related("user"), pk=pk)
        with transaction.atomic():
            audit.note(request, audit.JOB_CANCELED, found, person=found.user)
            generation = services.cancel(found)
        status = generation.get_status_display().lower()
        message = "Asked to stop." if generation.is_canceling else f"This generation is {status}."
        self.message_user(request, message, messages.INFO)
        return HttpResponseRedirect(reverse("admin:generations_generation_change", args=[pk]))

    @admin.action(description="Cancel the selected generations", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        """Cancel them as their owners could."""
        active = Generation.objects.active().filter(pk__in=queryset.values("pk"))
        chosen = list(active.select_related("version__template", "user"))
        for generation in chosen:
            audit.note(request, audit.JOB_CANCELED, generation, person=generation.user)
        asked = len([services.cancel(generation) for generation in chosen])
        self.message_user(request, f"Asked to stop: {asked}. Finished ones stay as they are.", messages.INFO)

    @display(  # type: ignore[untyped-decorator]
        description="Status",
        ordering="status",
        label={
            Status.SUCCEEDED.label: "success",
            Status.FAILED.label: "danger",
            Status.RUNNING.label: "info",
            Status.STORING.label: "info",
            Status.QUEUED.label: "warning",
            Status.SUBMITTED.label: "warning",
        },
    )
    def shown_status(self, generation: Generation) -> str:
        """“Stopping” while it is being canceled, otherwise its status."""
        return generation.status_label

    @admin.display(description="Error detail (staff only)")
    def shown_detail(self, generation: Generation) -> str:
        """ComfyUI's own words, without the inputs and outputs of nodes, which are the owner's."""
        return _json(_without_values(generation.error_detail))


def _without_values(detail: Any) -> Any:
    return {name: each for name, each in detail.items() if name != VALUES} if isinstance(detail, dict) else detail


def _json(value: object) -> str:
    if value in (None, {}, []):
        return "None"
    style = "white-space: pre-wrap; overflow-wrap: anywhere; max-height: 30rem; overflow: auto"
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre style="{}">{}</pre>', style, text)
