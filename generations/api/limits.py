"""How many requests somebody may make: a window of a minute that slides, counted in the cache for all processes."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass

from django.core.cache import cache

from accounts.models import ApiKey, User

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left. `reset_seconds`: when there is room again, or more of it."""

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
    """Too many requests."""

    def __init__(self, allowance: Allowance) -> None:
        super().__init__(f"You may make {allowance.limit} requests a minute. Please wait a little.")
        self.allowance = allowance


def count(user: User, key: ApiKey | None) -> Allowance | None:
    """Count one request of this user, and of this key; the tighter allowance, None without any limit.

    RateLimitedError. A cache that does not answer lets everything through: it must not take the API down.
    """
    subjects = [(f"user.{user.pk}", user.limits.requests_per_minute)]
    if key is not None:
        subjects.append((f"key.{key.pk}", key.requests_per_minute))
    try:
        found = [_hit(subject, limit) for subject, limit in subjects if limit]
    except Exception:
        logger.warning("Requests are not counted: the cache does not answer", exc_info=True)
        return None
    tightest = min(found, key=lambda each: (not each.is_exceeded, each.remaining), default=None)
    if tightest is not None and tightest.is_exceeded:
        raise RateLimitedError(tightest)
    return tightest


def _hit(subject: str, limit: int) -> Allowance:
    now = time.time()
    window, elapsed = divmod(now, WINDOW_SECONDS)
    counter = f"rate.{subject}.{window:.0f}"
    earlier: int = cache.get(f"rate.{subject}.{window - 1:.0f}", 0)
    number = _increment(counter)
    # Of the window before, that part counts which is still within the last minute.
    used = earlier * (1 - elapsed / WINDOW_SECONDS) + number
    if used <= limit:
        return Allowance(limit, math.floor(limit - used), math.ceil(WINDOW_SECONDS - elapsed))
    _decrement(counter)  # what was refused does not count
    return Allowance(limit, 0, _wait(earlier, number - 1, limit, elapsed), is_exceeded=True)


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
