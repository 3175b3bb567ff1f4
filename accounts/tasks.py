"""What Celery does now and then for accounts. Names of tasks stay: messages are in flight during an upgrade."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from accounts import workspaces


@shared_task(ignore_result=True, expires=settings.HOUSEKEEPING_SECONDS)
def delete_dissolved() -> int:
    """Delete teams whose time has come."""
    return workspaces.delete_dissolved()
