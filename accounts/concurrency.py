"""How much slow work one process does at a time, in all and for one user.

Slow work takes memory, sockets, disk and one of the threads that answer requests, and nobody may take all of that: all
kinds of slow work together leave threads to others. Counted in the process itself: what it protects is the process, and
a process that dies takes its count along.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

RETRY_AFTER_SECONDS = 2


class TooBusyError(Exception):
    """The most that may be under way is under way; `str()` says whose. Try again after `retry_after` seconds."""

    retry_after = RETRY_AFTER_SECONDS


class AtOnce:
    """One kind of slow work: so many at a time for each user, and so many for all of them together."""

    def __init__(self, name: str, *, per_user: int, in_all: int) -> None:
        self.name, self.per_user, self.in_all = name, per_user, in_all
        self._lock = threading.Lock()
        self._under_way: Counter[int] = Counter()

    @contextmanager
    def one_more(self, user_id: int) -> Iterator[None]:
        """Counts while the context lasts. TooBusyError at once, rather than a queue of waiting requests."""
        with self._lock:
            if self._under_way[user_id] >= self.per_user:
                msg = f"You have {self.per_user} {self.name} under way. Wait until one of them is done."
                raise TooBusyError(msg)
            if self._under_way.total() >= self.in_all:
                msg = f"Too many {self.name} are under way at the moment. Please try again in a few seconds."
                raise TooBusyError(msg)
            self._under_way[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[user_id] -= 1
                self._under_way += Counter()  # forgets users who have none
