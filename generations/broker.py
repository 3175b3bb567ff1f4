"""Asking a worker to do something soon. Nothing that a user does fails because the broker is away, nor waits long."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Task
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 4.0  # less than the time between two sweeps, so that each of them asks


class _Broker:
    """Whether it is worth asking. Once it failed, it is left alone for PAUSE_SECONDS: a request that asks for many
    things must not wait for each of them until a broker that never answers has timed out.
    """

    def __init__(self) -> None:
        self._away_until = float("-inf")

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def failed(self) -> None:
        self._away_until = time.monotonic() + PAUSE_SECONDS


_broker = _Broker()


def ask(task: Task[..., Any], *args: object) -> None:
    """Ask a worker to do this soon.

    A broker that does not take it is only logged, after one try that ends in time (CELERY_TASK_PUBLISH_RETRY and
    BROKER_PATIENCE in the settings). The caller's rows tell what is left to do, and `sweep` finds them.
    """
    if _broker.is_away:
        logger.debug("The broker was away a moment ago; %s is done later", task.name)
        return
    try:
        task.delay(*args)
    except (KombuError, OSError) as error:  # OSError: what the transport has not made an OperationalError
        _broker.failed()
        logger.warning("The broker did not take %s, which is done later: %s", task.name, error)
