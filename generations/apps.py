"""The app of everything that is about generating."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class GenerationsConfig(AppConfig):
    name = "generations"
    verbose_name = "Generations"

    def ready(self) -> None:
        """What is open on somebody's behalf hears when that person's rights change; and the search index is kept."""
        from django.contrib.auth.signals import user_logged_out
        from django.core import checks
        from django.db.models.signals import post_migrate

        from accounts.models import (
            access_changed,
            access_revoked,
            access_suspended,
            membership_ended,
            usage_asked,
            workspace_closed,
            workspace_emptying,
        )
        from generations.models import searching

        access_changed.connect(_tell_connections)
        access_revoked.connect(_switch_off_webhooks)
        access_suspended.connect(_withdraw)
        membership_ended.connect(_depart)
        workspace_closed.connect(_withdraw_workspace)
        workspace_emptying.connect(_empty)
        usage_asked.connect(_usage)
        user_logged_out.connect(_tell_connections_of)
        post_migrate.connect(_keep_search_index, sender=self)
        checks.register(searching.check, checks.Tags.database)


def _tell_connections(user_id: int, **_: Any) -> None:
    from generations.live import publisher

    publisher.announce_access(user_id)


def _switch_off_webhooks(user_id: int, **_: Any) -> None:
    from generations.models import Webhook

    Webhook.objects.switch_off(user_id, reason="Switched off with a new password. Switch it on again if it is yours.")


def _withdraw(user_id: int, **_: Any) -> None:
    from generations.lifecycle import withdrawal

    withdrawal.withdraw(user_id)


def _depart(user_id: int, workspace_id: int, **_: Any) -> None:
    from generations.lifecycle import withdrawal
    from generations.models import Webhook

    withdrawal.depart(user_id, workspace_id)
    reason = "Switched off because the member who made it left. Switch it on again if it is still wanted."
    Webhook.objects.switch_off(user_id, workspace_id=workspace_id, reason=reason)


def _withdraw_workspace(workspace_id: int, **_: Any) -> None:
    from generations.lifecycle import withdrawal
    from generations.live import publisher

    withdrawal.withdraw_workspace(workspace_id)
    publisher.announce_access_to(workspace_id)


def _empty(workspace_id: int, until: float, **_: Any) -> bool:
    from generations.lifecycle import emptying

    return emptying.empty(workspace_id, until=until)


def _usage(workspace: Any, user_ids: Any, **_: Any) -> Any:
    from generations.models.member_usage import usage_of

    return usage_of(workspace, user_ids)


def _tell_connections_of(user: Any, **_: Any) -> None:
    if user is not None:
        _tell_connections(user.pk)


def _keep_search_index(using: str, **_: Any) -> None:
    from django.db import connections

    from generations.models import searching

    searching.ensure_migrated(connections[using])
