"""How a process uses the database."""

from __future__ import annotations

from django.db import connections


def commit_lazily() -> None:
    """PostgreSQL need not wait for its disk at each commit of this process. Call it before the first query.

    For relay and worker: should the database itself crash, their last half second is undone as a whole, and found
    again by comparing with ComfyUI and the storage. What users were promised is committed by web processes, which wait.
    """
    for settings in connections.settings.values():
        if settings["ENGINE"].endswith("postgresql"):
            settings.setdefault("OPTIONS", {})["options"] = "-c synchronous_commit=off"
