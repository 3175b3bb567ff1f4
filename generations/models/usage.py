"""How many bytes each workspace's files take: a number that is kept, because adding it up takes too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import models, transaction
from django.db.models import Case, F, When
from django.db.models.functions import Greatest
from django.template.defaultfilters import filesizeformat

from accounts.models import Workspace
from accounts.statements import KeptUpdate, Slot
from generations.models.asset import Asset


class StorageFullError(Exception):
    """The workspace's files take as much as the plan allows; `str()` says what to do."""

    def __init__(self, stored: int, limit: int) -> None:
        super().__init__(
            f"Your storage is full: {filesizeformat(stored)} of {filesizeformat(limit)} are used. Delete generations "
            "in your history, or uploaded files on your account's page “Storage”, then try again."
        )


class StorageUsageQuerySet(models.QuerySet["StorageUsage"]):
    def stored_in(self, workspace: Workspace) -> int:
        """Bytes of all files of this workspace; files with the same bytes count once."""
        return self.filter(workspace=workspace).values_list("stored_bytes", flat=True).first() or 0

    def ensure_room(self, workspace: Workspace, *, size_bytes: int = 0) -> None:
        """StorageFullError when there is no room for `size_bytes` more, or for anything. `add` decides for good."""
        limit = workspace.limits.max_storage_bytes
        if limit and (stored := self.stored_in(workspace)) + max(size_bytes, 1) > limit:
            raise StorageFullError(stored, limit)

    def add(self, workspace: Workspace, size_bytes: int) -> None:
        """Count a new file, in the transaction that writes its row.

        StorageFullError when there is no room. Several files that come at the same moment are counted one by one.
        """
        limit = workspace.limits.max_storage_bytes
        if not limit:
            self.add_anyway(workspace.pk, size_bytes)
            return
        self._ensure([workspace.pk])
        rows = self.filter(workspace=workspace, stored_bytes__lte=limit - size_bytes)
        if not rows.update(stored_bytes=F("stored_bytes") + size_bytes):
            raise StorageFullError(self.stored_in(workspace), limit)

    def add_anyway(self, workspace_id: int, size_bytes: int) -> None:
        """Count a result, in the transaction that writes its row. It is kept, even if the plan has no room for it."""
        if not _ADD(workspace=workspace_id, size=size_bytes):
            self._ensure([workspace_id])
            _ADD(workspace=workspace_id, size=size_bytes)

    def lock(self, workspace_ids: Iterable[int | None]) -> None:
        """Until the transaction ends, no other one changes which files these workspaces have.

        Take it before you delete any: when two transactions delete the last two assets of one file, one of them must
        see that it deletes the last.
        """
        wanted = sorted({each for each in workspace_ids if each is not None})
        self._ensure(wanted)
        list(self.filter(workspace__in=wanted).order_by("workspace").select_for_update())

    def subtract(self, sizes: Mapping[int, int]) -> None:
        """Files are gone: bytes by workspace. Call it under `lock`."""
        size = Case(*(When(workspace=each, then=size) for each, size in sizes.items()), default=0)
        self.filter(workspace__in=sizes).update(stored_bytes=Greatest(F("stored_bytes") - size, 0))

    def recount(self, workspace_id: int) -> int:
        """Add up the files and correct the number. Returns the difference in bytes."""
        files = Asset.objects.filter(workspace=workspace_id)
        if self.filter(workspace=workspace_id, stored_bytes=files.stored_bytes()).exists():
            return 0  # as nearly always: adding up takes long, and whoever stores something does not wait for it
        with transaction.atomic():
            # Whoever changes a file's row changes this one as well, and waits: so nothing falls in between.
            self.lock([workspace_id])
            before = self.filter(workspace=workspace_id).values_list("stored_bytes", flat=True)[0]
            real = files.stored_bytes()
            self.filter(workspace=workspace_id).update(stored_bytes=real)
        return real - before

    def _ensure(self, workspace_ids: Iterable[int]) -> None:
        missing = set(workspace_ids) - set(self.filter(workspace__in=workspace_ids).values_list("workspace", flat=True))
        self.bulk_create([StorageUsage(workspace_id=each) for each in sorted(missing)], ignore_conflicts=True)


_ADD = KeptUpdate(
    lambda: (
        StorageUsage.objects.filter(workspace=Slot("workspace", models.BigIntegerField())),
        {"stored_bytes": F("stored_bytes") + Slot("size", models.BigIntegerField())},
        ("workspace",),
    )
)


class StorageUsage(models.Model):
    """One workspace's number, in a row that nothing else writes."""

    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, primary_key=True, related_name="+")
    stored_bytes = models.BigIntegerField(default=0, db_default=0)

    objects = StorageUsageQuerySet.as_manager()

    class Meta:
        db_table = "generations_workspaceusage"  # beside the table that counts by user, of the release before

    def __str__(self) -> str:
        return f"{self.workspace_id}: {self.stored_bytes} bytes"
