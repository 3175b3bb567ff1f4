"""How much one process does at a time: how many requests it works on, and how much slow work in all and for one user.

Slow work takes memory, sockets and disk, and nobody may take all of that. Counted in the process itself: what it
protects is the process, and a process that dies takes its count along.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RETRY_AFTER_SECONDS = 2
_thread = threading.local()


@contextmanager
def turn(*, leave: Callable[[], None], come_back: Callable[[], None]) -> Iterator[None]:
    """This thread works on a request while the context lasts; `aside` calls these two functions around slow work."""
    _thread.turn = leave, come_back
    try:
        yield
    finally:
        _thread.turn = None


@contextmanager
def aside() -> Iterator[None]:
    """For slow work: another request gets this thread's turn, if it has one, while the context lasts.

    Comes back without waiting: others may wait for what this thread holds by then, such as a connection.
    """
    found = getattr(_thread, "turn", None)
    if found is None:
        yield
        return
    leave, come_back = found
    _thread.turn = None
    leave()
    try:
        yield
    finally:
        come_back()
        _thread.turn = found


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
            with aside():
                yield
        finally:
            with self._lock:
                self._under_way[user_id] -= 1
                self._under_way += Counter()  # forgets users who have none
