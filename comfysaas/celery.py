"""The Celery application: `celery -A comfysaas worker --beat`."""

from __future__ import annotations

import functools
import os
from typing import Any

from celery import Celery, Task, beat
from celery.signals import task_prerun, worker_init, worker_ready
from django.db import close_old_connections

from accounts import garbage
from generations.database import commit_lazily, keep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")
# They import every page and form, which a worker never needs again; `make check` and CI run them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

TASKS_PER_CONNECTION = 1000

app = Celery("comfysaas")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery closes the connections before and after each task, unless it may use them again: after so many, it does.
app.conf.CELERY_DB_REUSE_MAX = TASKS_PER_CONNECTION
app.autodiscover_tasks()
app.autodiscover_tasks(["comfysaas"], related_name="mail")


@worker_init.connect
def _commit_lazily(**_: Any) -> None:
    commit_lazily()


@worker_init.connect
def _keep_the_schedule_in_a_thread(**_: Any) -> None:
    """`--beat` would fork a process of 120 MB for a clock that sends a message every few seconds.

    The worker's step takes this function from the module when it is made, which is after this signal.
    """
    beat.EmbeddedService = functools.partial(beat.EmbeddedService, thread=True)


@worker_ready.connect
def _settle(**_: Any) -> None:
    garbage.settle()


@task_prerun.connect
def _keep_connections(sender: Task[Any, Any], **_: Any) -> None:
    if not sender.request.is_eager:
        keep()
        close_old_connections()  # those that broke since the last task
