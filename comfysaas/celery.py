"""The Celery application: `celery -A comfysaas worker --beat`."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery, Task
from celery.signals import worker_init
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")

app = Celery("comfysaas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def ask(task: Task[..., Any] | str, *args: object) -> None:
    """Ask a worker to do this soon; pass the name of a task that the caller cannot import.

    A broker that is away is only logged. The caller's rows tell what is left to do, and `sweep` finds them.
    """
    try:
        if isinstance(task, str):
            app.send_task(task, args)
        else:
            task.delay(*args)
    except OperationalError as error:
        name = task if isinstance(task, str) else task.name
        logger.warning("The broker did not take %s, which is done later: %s", name, error)


@worker_init.connect
def _commit_lazily(**_: Any) -> None:
    from comfysaas.database import commit_lazily

    commit_lazily()
