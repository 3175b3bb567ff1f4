"""Workers know every task, and keep their connection to the database from task to task."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_prerun
from django.conf import settings
from django.db import connection, connections

from comfysaas.celery import TASKS_PER_CONNECTION
from comfysaas.celery import app as celery_app
from generations.tasks import sweep
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]
# In a process of its own: here other tests have imported more than a worker does.
NAMES_OF_TASKS = """
import json
from comfysaas.celery import app
app.loader.import_default_modules()
print(json.dumps(sorted(app.tasks)))
"""


def used_by_tasks(number: int) -> list[Any]:
    """The connection of each of so many tasks, in a thread of a worker."""
    fixup: Any = DjangoWorkerFixup(celery_app)
    used: list[Any] = []

    def run() -> None:
        try:
            for _ in range(number):
                fixup.on_task_prerun(sender=sweep)
                task_prerun.send(sender=sweep)
                connection.ensure_connection()
                used.append(connection.connection)
                fixup.on_task_postrun(sender=sweep)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(patient(30))
    assert len(used) == number
    return used


def test_a_task_uses_the_connection_of_the_one_before() -> None:
    assert len(set(used_by_tasks(3))) == 1


def test_a_connection_is_replaced_some_time() -> None:
    assert len(set(used_by_tasks(TASKS_PER_CONNECTION + 2))) == 2


def test_a_worker_knows_every_task() -> None:
    command = [sys.executable, "-c", NAMES_OF_TASKS]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=patient(60), check=True)
    known = set(json.loads(done.stdout))
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= known
    sources = [path for name in ("accounts", "generations", "comfysaas") for path in (ROOT / name).rglob("*.py")]
    functions = re.findall(r"^@shared_task.*\ndef (\w+)", "\n".join(map(Path.read_text, sources)), re.MULTILINE)
    assert set(functions) == {name.rpartition(".")[2] for name in known if not name.startswith("celery.")}
