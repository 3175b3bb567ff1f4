"""Files that users own, and the outputs of generations."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils import timezone

from accounts.models import InWorkspace, WorkspaceRows

if TYPE_CHECKING:
    from accounts.models import User, Workspace


# Spelled out, because generations are defined on top of assets.
ACTIVE_STATUSES = ("queued", "submitted", "running", "storing")


def file_name(text: str) -> str:
    """A name to offer on download: without control characters, which would end a header, and not too long."""
    return "".join(character if character.isprintable() else " " for character in text).strip()[-255:] or "file"


class AssetQuerySet(WorkspaceRows["Asset"]):
    def for_member(self, user: User | AnonymousUser) -> Self:
        """As of all that belongs to workspaces, those that are still kept."""
        return super().for_member(user).kept()

    def in_workspace(self, workspace: Workspace) -> Self:
        """As of all that belongs to workspaces, those that are still kept."""
        return super().in_workspace(workspace).kept()

    def kept(self) -> Self:
        """Those whose time is not up."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now()))

    def in_use(self) -> Self:
        """Those that a result is, or that an unfinished generation takes as an input: they cannot be deleted."""
        return self.filter(models.Q(output__isnull=False) | models.Q(used_by__status__in=ACTIVE_STATUSES)).distinct()

    def unused(self) -> Self:
        """All others: looked at one by one, so that it takes as long as there are, and not as there are in all."""
        uses = Asset.used_by.through.objects.filter(generation__status__in=ACTIVE_STATUSES)
        is_result = models.Exists(Output.objects.filter(asset=models.OuterRef("pk")))
        return self.filter(~is_result, ~models.Exists(uses.filter(asset=models.OuterRef("pk"))))

    def stored_bytes(self) -> int:
        """What their files take. Added up file by file: `StorageUsage` knows it at once for all of a user's."""
        files = self.order_by().values("key", "size_bytes").distinct()
        return files.aggregate(total=models.Sum("size_bytes"))["total"] or 0

    def with_bytes(self, digest: str) -> Self:
        """Those whose bytes have this hash (blake3:<hex>)."""
        return self.filter(hash=digest.lower())


class Asset(InWorkspace):
    """One stored file of a workspace: an uploaded input or a copied result, with the member who brought or made it.

    Its bytes never change. Several assets of a workspace may share one stored file (`key`), which goes with the last of
    them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="assets")
    name = models.CharField(max_length=255, help_text="File name to offer on download.")
    key = models.CharField(max_length=255, db_index=True, help_text="Its key in the storage.")
    thumbnail_key = models.CharField(max_length=255, blank=True)
    content_type = models.CharField(max_length=100, help_text="Sniffed from the bytes, never taken on trust.")
    size_bytes = models.BigIntegerField()
    hash = models.CharField(max_length=71, help_text="blake3:<hex> of the bytes.")
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    has_audio = models.BooleanField(
        null=True, blank=True, help_text="Whether a video has sound. Empty: not a video, or not known."
    )
    tags = models.JSONField(default=list, blank=True, help_text="Words that its owner gave it.")
    expires_at = models.DateTimeField(
        null=True, blank=True, db_index=True, help_text="When it is deleted. Empty: kept as long as everything else."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AssetQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(size_bytes__gte=0), name="asset_size_positive")]
        indexes = [
            models.Index(fields=["hash", "user"], name="asset_hash_user"),
            models.Index(fields=["workspace", "hash"], name="asset_of_workspace"),
            models.Index(fields=["created_at"], name="asset_age"),
            models.Index(fields=["workspace", "created_at"], name="asset_age_of_workspace"),
        ]

    def __str__(self) -> str:
        return self.name


class OutputKind(models.TextChoices):
    """What a person would call it."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    LATENT = "latent"
    FILE = "file"
    DATA = "data"


class OutputQuerySet(WorkspaceRows["Output"]):
    workspace_path = "generation__workspace"


class Output(models.Model):
    """One thing that an output node returned: a file (asset), a text or some other value. Nothing is dropped."""

    generation = models.ForeignKey("Generation", on_delete=models.CASCADE, related_name="outputs")
    node_id = models.CharField(max_length=200)
    key = models.CharField(max_length=200, help_text="Name of the node's list, such as images.")
    index = models.PositiveIntegerField(help_text="Position in that list.")
    position = models.PositiveIntegerField(help_text="Order among the generation's outputs.")
    kind = models.CharField(max_length=8, choices=OutputKind)
    is_temporary = models.BooleanField(
        default=False, help_text="A preview (ComfyUI's type “temp”), not a saved result."
    )
    asset = models.OneToOneField(Asset, null=True, blank=True, on_delete=models.CASCADE, related_name="output")
    value = models.JSONField(null=True, blank=True, help_text="The text or value, when it is not a file.")
    public_id = models.UUIDField(
        default=uuid.uuid4, db_index=True, editable=False, help_text="Id of a text or value in the API."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = OutputQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "node_id", "key", "index"], name="output_unique"),
            models.CheckConstraint(
                condition=models.Q(asset__isnull=False) | models.Q(value__isnull=False),
                name="output_has_asset_or_value",
            ),
            models.CheckConstraint(condition=models.Q(kind__in=OutputKind.values), name="output_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.node_id}.{self.key}[{self.index}]"
