"""Rates: how often somebody may ask, in a sliding window of one minute that the cache counts for all processes.

The API, pages, uploads and wrong keys are counted by the same few functions. A cache that does not answer lets
everything through: it must not take the site down.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache

from accounts.models import ApiKey, User, Workspace

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
WRONG_KEYS_PER_MINUTE = 60
_REQUESTS, _FILES, _PAGES = "make {} request{} a minute", "upload {} file{} a minute", "open {} page{} a minute"


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much of a limit is left; after `reset_seconds` there is more."""

    limit: int
    remaining: int
    reset_seconds: int
    is_exceeded: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """As the IETF's draft on rate limit headers has them."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
            "RateLimit-Policy": f"{self.limit};w={WINDOW_SECONDS}",
        }


class RateLimitedError(Exception):
    """Too many in the last minute; `str()` says how many are allowed, and how long to wait."""

    def __init__(self, allowance: Allowance, what: str = _REQUESTS) -> None:
        wait = allowance.reset_seconds
        may = what.format(allowance.limit, "s" * (allowance.limit != 1))
        super().__init__(f"You may {may}. Please wait {wait} second{'s' * (wait != 1)}.")
        self.allowance = allowance


def count(workspace: Workspace, key: ApiKey | None) -> Allowance | None:
    """Count one request to the API in this workspace and of this key. The tighter allowance; None without any limit.

    RateLimitedError.
    """
    subjects = {f"workspace.{workspace.pk}": workspace.limits.requests_per_minute}
    if key is not None:
        subjects[f"key.{key.pk}"] = key.requests_per_minute
    return _count(subjects)


def count_upload(workspace: Workspace) -> None:
    """Count one upload to this workspace. RateLimitedError."""
    _count({f"upload.workspace.{workspace.pk}": workspace.limits.uploads_per_minute}, _FILES)


def count_fetch(workspace: Workspace) -> None:
    """Count one file that is fetched for this workspace. RateLimitedError."""
    _count({f"fetch.workspace.{workspace.pk}": workspace.limits.uploads_per_minute}, "have {} file{} fetched a minute")


def ensure_upload(workspace: Workspace) -> None:
    """RateLimitedError when nobody can upload to this workspace now. Nothing is counted: for a check before the body
    is read.
    """
    limits = workspace.limits
    _refuse_if_exceeded(f"workspace.{workspace.pk}", limits.requests_per_minute, _REQUESTS)
    _refuse_if_exceeded(f"upload.workspace.{workspace.pk}", limits.uploads_per_minute, _FILES)


def count_page(user: User | None, address: str) -> None:
    """Count one page of this user, or of this address for people who are not signed in. RateLimitedError.

    By person and by their own plan, unlike everything else here: a page costs the server and nothing of a workspace's
    share, pages about the account belong to no workspace, and a tab of one member that reloads without end must not
    shut the others of a team out.
    """
    if user is not None:
        _count({f"page.{user.pk}": user.limits.pages_per_minute}, _PAGES)
    else:
        _count({f"page.{address}": settings.ANONYMOUS_PAGES_PER_MINUTE}, _PAGES)


def refuse_wrong_keys(address: str) -> None:
    """RateLimitedError when too many wrong keys came from this address lately. Nothing is counted."""
    _refuse_if_exceeded(f"wrong-key.{address}", WRONG_KEYS_PER_MINUTE, "send {} wrong key{} a minute")


def count_wrong_key(address: str) -> None:
    """Count one wrong key from this address. The next one is refused when these were too many."""
    with contextlib.suppress(RateLimitedError):
        _count({f"wrong-key.{address}": WRONG_KEYS_PER_MINUTE})


def _count(subjects: dict[str, int], what: str = _REQUESTS) -> Allowance | None:
    try:
        found = [_hit(subject, limit) for subject, limit in subjects.items() if limit]
    except Exception:
        logger.warning("Requests are not counted: the cache does not answer", exc_info=True)
        return None
    tightest = min(found, key=lambda each: (not each.is_exceeded, each.remaining), default=None)
    if tightest is not None and tightest.is_exceeded:
        raise RateLimitedError(tightest, what)
    return tightest


def _refuse_if_exceeded(subject: str, limit: int, what: str) -> None:
    """RateLimitedError, without counting anything."""
    window, elapsed = divmod(time.time(), WINDOW_SECONDS)
    try:
        earlier: int = cache.get(_counter(subject, window - 1), 0)
        number: int = cache.get(_counter(subject, window), 0)
    except Exception:
        logger.warning("Requests are not counted: the cache does not answer", exc_info=True)
        return
    if limit and earlier * (1 - elapsed / WINDOW_SECONDS) + number + 1 > limit:
        wait = _wait(earlier, number, limit, elapsed)
        raise RateLimitedError(Allowance(limit, 0, wait, is_exceeded=True), what)


def _hit(subject: str, limit: int) -> Allowance:
    window, elapsed = divmod(time.time(), WINDOW_SECONDS)
    counter = _counter(subject, window)
    earlier: int = cache.get(_counter(subject, window - 1), 0)
    number = _increment(counter)
    # Of the window before, that part counts which is still within the last minute.
    used = earlier * (1 - elapsed / WINDOW_SECONDS) + number
    if used <= limit:
        return Allowance(limit, math.floor(limit - used), math.ceil(WINDOW_SECONDS - elapsed))
    _decrement(counter)  # what was refused does not count
    return Allowance(limit, 0, _wait(earlier, number - 1, limit, elapsed), is_exceeded=True)


def _counter(subject: str, window: float) -> str:
    return f"rate.{subject}.{window:.0f}"


def _wait(earlier: int, number: int, limit: int, elapsed: float) -> int:
    """Seconds until one more fits."""
    room = limit - 1 - number
    if earlier and room >= 0:
        return max(1, math.ceil(WINDOW_SECONDS * (1 - room / earlier) - elapsed))
    # This window alone is full: its share shrinks in the next one.
    return math.ceil(WINDOW_SECONDS - elapsed + WINDOW_SECONDS * max(0.0, 1 - (limit - 1) / max(1, number)))


def _increment(counter: str) -> int:
    if cache.add(counter, 1, 2 * WINDOW_SECONDS):
        return 1
    try:
        return cache.incr(counter)
    except ValueError:  # it ran out in between
        return 1


def _decrement(counter: str) -> None:
    with contextlib.suppress(ValueError):
        cache.decr(counter)
