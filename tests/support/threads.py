"""Calls functions in several threads at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import OperationalError, connection

from tests.support.waiting import eventually, patient

AT_ONCE = 8
JOIN_SECONDS = patient(60)


def at_once(action: Callable[[], object], *, times: int = AT_ONCE) -> list[object]:
    """Calls `action` in `times` threads. Returns what each returned, or the exception that it raised, in no order."""
    return together(*[action] * times)


def together(*actions: Callable[[], object]) -> list[object]:
    """Calls each action in a thread of its own. Returns what each returned or raised, in no order."""
    start = threading.Barrier(len(actions), timeout=JOIN_SECONDS)
    outcomes: list[object] = []

    def run(action: Callable[[], object]) -> None:
        try:
            try:
                eventually(is_connected, what="A connection")  # which takes long enough to hide a race
            except AssertionError:
                start.abort()  # or the others would wait for one that does not come
                raise
            start.wait()
            outcomes.append(action())
        except BaseException as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS)
    assert len(outcomes) == len(actions), f"Only {len(outcomes)} of {len(actions)} ended: {outcomes}"
    return outcomes


def is_connected() -> bool:
    """A busy server may have no connection left for the moment."""
    try:
        connection.ensure_connection()
    except OperationalError:
        return False
    return True
