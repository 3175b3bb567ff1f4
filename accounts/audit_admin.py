"""The audit log in the admin: to look at, to filter, and to take away as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from channels.db import database_sync_to_async
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from accounts import audit
from accounts.access import user_of
from accounts.models import AuditEntry

COLUMNS = ("time", "by", "by_id", "what", "to_type", "to_id", "to", "person_id", "from", "details")
ROWS_AT_ONCE = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class VerbFilter(admin.SimpleListFilter):
    """By what was done."""

    title, parameter_name = "what", "verb"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All that the log knows."""
        return [(verb, verb.capitalize()) for verb in audit.VERBS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The chosen one."""
        return queryset.filter(verb=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Nobody adds, changes or deletes anything here."""

    list_display = ("at", "actor_label", "verb", "target_label", "target_type", "address", "shown_details")
    list_filter = ("at", VerbFilter, "target_type")
    search_fields = ("actor_label", "target_label", "address", "target_id")
    search_help_text = "Part of an e-mail address or name, an IP address, or an ID."
    ordering = ("-at", "-pk")
    sortable_by = ()
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count everything
    actions = None
    list_before_template = "admin/accounts/_export.html"
    fields = (
        "at", "actor_label", "actor_id", "verb", "target_label", "target_type", "target_id", "person_id", "address",
        "all_details",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Entries come of what is done."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """False for everybody: entries stay as they were written."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """False for everybody: entries stay as they were written."""
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Links lead here for one person, or for one member of staff."""
        return lookup in {"person", "actor"} or bool(super().lookup_allowed(lookup, value, request))

    def get_urls(self) -> list[URLPattern]:
        """With the file."""
        view = self.admin_site.admin_view(require_POST(self.export))
        return [path("export/", view, name="audit_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With a button for the file, which has what the filters show."""
        export = f"{reverse('admin:audit_export')}?{request.GET.urlencode()}"
        context = {**(extra_context or {}), "export": export}
        return cast("HttpResponse", super().changelist_view(request, context))

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """All entries that the filters in the address let through, newest first, however many. Is logged itself."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset.order_by("-pk")
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:accounts_auditentry_changelist"))
        # Before the first row is read: the file then says itself that it was made.
        audit.note(request, audit.EXPORTED, user_of(request), filters=request.GET.urlencode())
        name = f"audit-{timezone.now():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(_csv(rows), content_type="text/csv; charset=utf-8", headers=headers)

    @admin.display(description="Details")
    def shown_details(self, entry: AuditEntry) -> str:
        """The first 120 characters, as “name: value; …”."""
        text = "; ".join(f"{name}: {_text(value)}" for name, value in entry.details.items())
        return f"{text[:120]}…" if len(text) > 120 else text

    @admin.display(description="Details")
    def all_details(self, entry: AuditEntry) -> str:
        """As they were noted."""
        style = "white-space: pre-wrap; overflow-wrap: anywhere"
        return format_html('<pre style="{}">{}</pre>', style, json.dumps(entry.details, indent=2, ensure_ascii=False))


async def _csv(rows: QuerySet[AuditEntry]) -> AsyncIterator[bytes]:
    """Page by page, each in a short query: neither memory nor a connection is kept while the client reads."""
    yield _lines([COLUMNS])
    last: int | None = None
    while page := await _in_thread(_page, rows, last):
        yield _lines(map(_columns, page))
        last = page[-1].pk


def _page(rows: QuerySet[AuditEntry], last: int | None) -> list[AuditEntry]:
    return list((rows if last is None else rows.filter(pk__lt=last))[:ROWS_AT_ONCE])


def _columns(entry: AuditEntry) -> tuple[Any, ...]:
    return (
        entry.at.isoformat(), entry.actor_label, entry.actor_id, entry.verb, entry.target_type, entry.target_id,
        entry.target_label, entry.person_id, entry.address, json.dumps(entry.details, ensure_ascii=False),
    )  # fmt: skip


def _lines(rows: Any) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([[_harmless(each) for each in row] for row in rows])
    return buffer.getvalue().encode()


def _harmless(value: Any) -> str:
    """A spreadsheet would run a text that begins like a formula (OWASP: CSV injection)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


async def _in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    return await database_sync_to_async(work, thread_sensitive=False)(*arguments)
