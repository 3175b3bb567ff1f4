"""Lists of very many rows in the admin, newest first: each page says where the next one begins.

Django's own pages count all rows and skip those before the page, both of which take longer the more there are.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from generations.models.history import cursor_of, read_cursor

BEFORE = "before"


class KeysetPages:
    """What stands in for Django's paginator: the address of the older page and of the newest one, "" for none."""

    template_name = "admin/generations/_pages.html"

    def __init__(self, *, older: str, newest: str) -> None:
        self.older, self.newest = older, newest


class KeysetChangeList(ChangeList):
    """For models whose QuerySet is a `HistoryQuerySet`. Its order is fixed, because that is what the index has."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """All rows that the filters let through. The cursor is no filter, and links to filters begin anew."""
        self.cursor = self.params.pop(BEFORE, "")
        self.filter_params.pop(BEFORE, None)
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """History order, whatever the address says."""
        return ["-created_at", "-pk"]

    def get_results(self, request: HttpRequest) -> None:
        """One page, without knowing how many there are. IncorrectLookupParameters for a cursor that is none."""
        rows: Any = self.queryset
        try:
            found, has_more = (rows.older_than(*read_cursor(self.cursor)) if self.cursor else rows).page(
                self.list_per_page
            )
        except ValueError as error:
            raise IncorrectLookupParameters from error
        self.result_list = found
        self.result_count, self.full_result_count = len(found), None
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all = self.multi_page = False  # so an action is for what is on this page
        self.paginator = KeysetPages(
            older=self.get_query_string({BEFORE: cursor_of(found[-1])}) if has_more else "",
            newest=self.get_query_string() if self.cursor else "",
        )
