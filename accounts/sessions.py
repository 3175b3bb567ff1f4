"""The sessions of a user: which browsers are signed in, since when, and how they are signed out from afar."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.internal import flows
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import user_of
from accounts.impersonation import Impersonation
from accounts.models import access_changed

logger = logging.getLogger(__name__)

SEEN_SECONDS = 300  # how exact “last seen” is
_BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
    "curl/": "curl",
}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


class Activity(MiddlewareMixin):
    """Notes now and then that a session is in use. allauth's own middleware writes with each request."""

    def process_request(self, request: HttpRequest) -> None:
        """Note it, unless that was done a moment ago. Staff who impersonate somebody are none of their sessions."""
        if getattr(request, "impersonator", None) is not None:
            return
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return
        try:
            is_new = cache.add(f"session.{request.session.session_key}", True, SEEN_SECONDS)
        except Exception:
            logger.warning("When a session was last seen is not noted: the cache does not answer", exc_info=True)
            return
        if is_new and Impersonation.of(request.session) is None:  # a session of staff is none of that person's
            UserSession.objects.create_from_request(request)


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]  # allauth ships no types
    """Sockets and streams of a session end with it."""

    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        """End these sessions; what is open in them hears of it."""
        ended = list(sessions)
        super().end_sessions(ended)
        for user_id in {each.user_id for each in ended}:
            access_changed.send(sender=UserSession, user_id=user_id)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The user's sessions. A form ends one of them (`end` is its id), the `others`, or `all`."""
    user = user_of(request)
    if request.method == "POST":
        return _end(request, request.POST.get("end", ""))
    found = sorted(UserSession.objects.purge_and_list(user), key=lambda each: each.last_seen_at, reverse=True)
    sessions = [(each, browser_of(each.user_agent)) for each in found]
    return render(request, "usersessions/usersession_list.html", {"sessions": sessions})


def browser_of(user_agent: str) -> str:
    """What a browser calls itself, in few words: “Firefox on Linux”."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), "")
    if not browser:
        return system or user_agent[:40] or "Unknown browser"
    return f"{browser} on {system}" if system else browser


def _end(request: HttpRequest, which: str) -> HttpResponse:
    mine = UserSession.objects.filter(user=user_of(request))
    if which == "others":
        flows.sessions.end_other_sessions(request, request.user)
        messages.info(request, "You are signed out everywhere else.")
    elif which == "all":
        flows.sessions.end_sessions(request, list(mine))
        return redirect("account_login")
    else:
        chosen = list(mine.filter(pk=int(which))) if which.isdecimal() and len(which) < 19 else []
        if not chosen:
            raise Http404
        flows.sessions.end_sessions(request, chosen)
        messages.info(request, "That session is ended.")
    return redirect("usersessions_list")
