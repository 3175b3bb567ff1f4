"""Deleting all that belongs to a workspace, in short transactions, before the workspace itself goes."""

from __future__ import annotations

import time
from functools import partial

from generations.database import delete_some, in_batches
from generations.files.assets import EXPIRE_AT_ONCE, discard_unused
from generations.lifecycle.removal import remove_some
from generations.lifecycle.withdrawal import cancel_all
from generations.models import Asset, Generation, Webhook, WebhookDelivery

AT_ONCE = 500


def empty(workspace_id: int, *, until: float) -> bool:
    """Cancel what is under way in the workspace, and delete generations, files and webhooks until then
    (time.monotonic). False when some are left, be it that a server has not let go of one yet.
    """
    generations = Generation.objects.filter(workspace=workspace_id)
    cancel_all(generations, until=until)
    in_batches(partial(remove_some, generations.order_by()), size=AT_ONCE, until=until)
    files = Asset.objects.filter(workspace=workspace_id)
    in_batches(partial(discard_unused, files), size=EXPIRE_AT_ONCE, until=until)
    hooks = Webhook.objects.filter(workspace=workspace_id)
    # First: with its webhook, each would be deleted in one transaction, and there may be very many.
    messages = WebhookDelivery.objects.filter(webhook__in=hooks.values("pk"))
    in_batches(partial(delete_some, messages), size=AT_ONCE, until=until)
    if not messages.exists():
        in_batches(partial(delete_some, hooks), size=AT_ONCE, until=until)
    return time.monotonic() < until and not any(rows.exists() for rows in (generations, files, hooks))
