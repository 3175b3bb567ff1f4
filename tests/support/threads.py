"""Calls a function in several threads at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connection

from tests.support.waiting import patient

AT_ONCE = 8
JOIN_SECONDS = patient(60)


def at_once(action: Callable[[], object], *, times: int = AT_ONCE) -> list[object]:
    """Calls `action` in `times` threads. Returns what each returned, or the exception that it raised, in no order."""
    start, outcomes = threading.Barrier(times), []

    def run() -> None:
        connection.ensure_connection()  # which takes long enough to hide a race
        start.wait()
        try:
            outcomes.append(action())
        except Exception as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS)
    return outcomes
