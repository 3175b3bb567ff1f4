"""What staff did to whom. Rows are only ever added: see `accounts.audit`, which writes them."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone


class AppendOnlyError(Exception):
    """The audit log is never changed. (PostgreSQL refuses it, too.)"""

    def __init__(self) -> None:
        super().__init__("The audit log is only ever added to.")


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Refuses everything that would change or delete entries."""

    def update(self, **kwargs: Any) -> NoReturn:
        """AppendOnlyError, always: entries stay as they were written."""
        raise AppendOnlyError

    def delete(self) -> NoReturn:
        """AppendOnlyError, always: entries stay as they were written."""
        raise AppendOnlyError

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> NoReturn:
        """AppendOnlyError, always: entries stay as they were written."""
        raise AppendOnlyError

    def about(self, person_id: int) -> AuditQuerySet:
        """Entries that concern this person, newest first."""
        return self.filter(person_id=person_id).order_by("-at", "-pk")


class AuditEntry(models.Model):
    """Who did what to whom, when, and from where. What entries name is kept as text and outlives its row."""

    at = models.DateTimeField("time", default=timezone.now, editable=False)
    actor = models.ForeignKey(  # no constraint: a deleted account leaves its entries as they are
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The member of staff. Empty: an operator's command.",
    )
    actor_label = models.CharField("by", max_length=254)
    verb = models.CharField("what", max_length=60)
    target_type = models.CharField(max_length=60)
    target_id = models.CharField(max_length=64)
    target_label = models.CharField("to", max_length=254)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Whom it concerns: the owner of the target, or the target.",
    )
    address = models.CharField("from", max_length=64, blank=True, help_text="Of IPv6, the network.")
    details = models.JSONField(default=dict)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["-at", "-id"], name="audit_newest"),
            models.Index(fields=["person", "-at", "-id"], name="audit_person"),
            models.Index(fields=["actor", "-at", "-id"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.actor_label} · {self.verb} · {self.target_label}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add it. AppendOnlyError for one that is there already."""
        if not self._state.adding:
            raise AppendOnlyError
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """AppendOnlyError, always: entries stay as they were written."""
        raise AppendOnlyError
