"""Asking a worker to do something soon. Nothing that a user does fails because the broker is away."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def ask(task: Task[..., Any] | str, *args: object) -> None:
    """Ask a worker to do this soon; pass the name of a task that the caller cannot import.

    A broker that is away is only logged. The caller's rows tell what is left to do, and `sweep` finds them.
    """
    try:
        if isinstance(task, str):
            current_app.send_task(task, args)
        else:
            task.delay(*args)
    except OperationalError as error:
        name = task if isinstance(task, str) else task.name
        logger.warning("The broker did not take %s, which is done later: %s", name, error)
