"""Workers keep their connection to the database from task to task."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery.fixups.django import DjangoWorkerFixup
from celery.signals import task_prerun
from django.db import connection, connections

from comfysaas.celery import TASKS_PER_CONNECTION
from comfysaas.celery import app as celery_app
from generations.tasks import sweep
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)


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
