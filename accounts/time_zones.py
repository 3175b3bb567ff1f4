"""In which time zone a page shows moments: the one that its reader chose, or UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

# Places, by which people look for theirs. Other names mean the same zones, or none in which people live.
_CONTINENTS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


@cache
def known() -> frozenset[str]:
    """Every name that browsers and programs may call a zone by."""
    return frozenset(available_timezones())


@cache
def choices() -> list[tuple[str, str]]:
    """(name, what people read), by continent and place."""
    places = sorted(name for name in known() if name.partition("/")[0] in _CONTINENTS)
    return [("", "UTC"), *((name, name.replace("_", " ")) for name in places)]


@contextmanager
def reading_in(name: str) -> Iterator[str]:
    """While somebody's text is made, this zone is the current one; yields what they call it. UTC for an unknown one."""
    is_known = name in known()
    with timezone.override(ZoneInfo(name) if is_known else UTC):
        yield name.replace("_", " ") if is_known else "UTC"


class TimeZone(MiddlewareMixin):
    """While a page is made for somebody, their time zone is the current one. Programs get UTC."""

    def process_request(self, request: HttpRequest) -> None:
        """Nothing is left of the request before in this thread."""
        timezone.deactivate()

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Only a session says who looks at pages; without one nobody is asked for."""
        match = request.resolver_match
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or (match and match.app_name == "ninja"):
            return
        name = getattr(request.user, "time_zone", "")
        if name in known():  # one that the system lost since is UTC
            timezone.activate(ZoneInfo(name))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Back to UTC."""
        timezone.deactivate()
        return response
