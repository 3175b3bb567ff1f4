"""How many bytes each user's files take: a number that is kept, because adding it up takes too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, F, When
from django.db.models.functions import Greatest
from django.template.defaultfilters import filesizeformat

from accounts.statements import KeptUpdate, Slot
from generations.models.asset import Asset

if TYPE_CHECKING:
    from accounts.models import User


class StorageFullError(Exception):
    """The user's files take as much as the plan allows; `str()` says what to do."""

    def __init__(self, stored: int, limit: int) -> None:
        super().__init__(
            f"Your storage is full: {filesizeformat(stored)} of {filesizeformat(limit)} are used. Delete generations "
            "in your history, or uploaded files on your account's page “Storage”, then try again."
        )


class StorageUsageQuerySet(models.QuerySet["StorageUsage"]):
    def stored_by(self, user: User) -> int:
        """Bytes of all files of this user; files with the same bytes count once."""
        return self.filter(user=user).values_list("stored_bytes", flat=True).first() or 0

    def ensure_room(self, user: User, *, size_bytes: int = 0) -> None:
        """StorageFullError when there is no room for `size_bytes` more, or for anything. `add` decides for good."""
        limit = user.limits.max_storage_bytes
        if limit and (stored := self.stored_by(user)) + max(size_bytes, 1) > limit:
            raise StorageFullError(stored, limit)

    def add(self, user: User, size_bytes: int) -> None:
        """Count a new file, in the transaction that writes its row.

        StorageFullError when there is no room. Several files that come at the same moment are counted one by one.
        """
        limit = user.limits.max_storage_bytes
        if not limit:
            self.add_anyway(user.pk, size_bytes)
            return
        self._ensure([user.pk])
        rows = self.filter(user=user, stored_bytes__lte=limit - size_bytes)
        if not rows.update(stored_bytes=F("stored_bytes") + size_bytes):
            raise StorageFullError(self.stored_by(user), limit)

    def add_anyway(self, user_id: int, size_bytes: int) -> None:
        """Count a result, in the transaction that writes its row. It is kept, even if the plan has no room for it."""
        if not _ADD(user=user_id, size=size_bytes):
            self._ensure([user_id])
            _ADD(user=user_id, size=size_bytes)

    def lock(self, user_ids: Iterable[int]) -> None:
        """Until the transaction ends, no other one changes which files these users have.

        Take it before you delete any: when two transactions delete the last two assets of one file, one of them must
        see that it deletes the last.
        """
        wanted = sorted(set(user_ids))
        self._ensure(wanted)
        list(self.filter(user__in=wanted).order_by("user").select_for_update())

    def subtract(self, sizes: Mapping[int, int]) -> None:
        """Files are gone: bytes by user. Call it under `lock`."""
        size = Case(*(When(user=user_id, then=size) for user_id, size in sizes.items()), default=0)
        self.filter(user__in=sizes).update(stored_bytes=Greatest(F("stored_bytes") - size, 0))

    def recount(self, user_id: int) -> int:
        """Add up the files and correct the number. Returns the difference in bytes."""
        files = Asset.objects.filter(user=user_id)
        if self.filter(user=user_id, stored_bytes=files.stored_bytes()).exists():
            return 0  # as nearly always: adding up takes long, and whoever stores something does not wait for it
        with transaction.atomic():
            # Whoever changes a file's row changes this one as well, and waits: so nothing falls in between.
            self.lock([user_id])
            before = self.filter(user=user_id).values_list("stored_bytes", flat=True)[0]
            real = files.stored_bytes()
            self.filter(user=user_id).update(stored_bytes=real)
        return real - before

    def _ensure(self, user_ids: Iterable[int]) -> None:
        missing = set(user_ids) - set(self.filter(user__in=user_ids).values_list("user", flat=True))
        self.bulk_create([StorageUsage(user_id=each) for each in sorted(missing)], ignore_conflicts=True)


_ADD = KeptUpdate(
    lambda: (
        StorageUsage.objects.filter(user=Slot("user", models.BigIntegerField())),
        {"stored_bytes": F("stored_bytes") + Slot("size", models.BigIntegerField())},
        ("user",),
    )
)


class StorageUsage(models.Model):
    """One user's number, in a row that nothing else writes."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    stored_bytes = models.BigIntegerField(default=0, db_default=0)

    objects = StorageUsageQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.user_id}: {self.stored_bytes} bytes"
