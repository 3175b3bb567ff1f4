"""The Celery application: `celery -A comfysaas worker --beat`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

from generations.database import commit_lazily

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")

app = Celery("comfysaas")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def _commit_lazily(**_: Any) -> None:
    commit_lazily()
