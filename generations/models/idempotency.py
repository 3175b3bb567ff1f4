"""Keys that clients send along so that a repeated request does nothing a second time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone

if TYPE_CHECKING:
    from accounts.models import User

KEPT = timedelta(hours=24)


class KeyReuseError(Exception):
    """This user has sent this key before, within KEPT."""


class IdempotencyKeyQuerySet(models.QuerySet["IdempotencyKey"]):
    def expired(self) -> Self:
        """Those that may be used again."""
        return self.filter(created_at__lt=timezone.now() - KEPT)

    def claim(self, user: User, key: str) -> None:
        """Use it up, together with what the surrounding transaction does: a rollback gives it back.

        KeyReuseError when it was used; a concurrent request with the same key waits for the other's end. An empty key
        is none.
        """
        if not key:
            return
        self.expired().filter(user=user, key=key).delete()
        try:
            with transaction.atomic():
                self.create(user=user, key=key)
        except IntegrityError as error:
            raise KeyReuseError from error

    def ensure_unused(self, user: User, key: str) -> None:
        """KeyReuseError already now, before work is put into a request that would be refused at its end."""
        if key and self.filter(user=user, key=key, created_at__gte=timezone.now() - KEPT).exists():
            raise KeyReuseError


class IdempotencyKey(models.Model):
    """One used key of one user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    objects = IdempotencyKeyQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
