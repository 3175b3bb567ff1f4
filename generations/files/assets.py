"""Users' files: adding them, and deleting them together with their bytes."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import shared_task
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import rates
from accounts.concurrency import AtOnce
from accounts.models import Workspace
from generations.broker import ask
from generations.comfy import decoders
from generations.files import accepting, spooling, storage
from generations.files.accepting import InvalidUploadError
from generations.models import (
    Asset,
    DiscardedFile,
    IdempotencyKey,
    StorageUsage,
)
from generations.models.asset import AssetQuerySet, file_name
from generations.models.idempotency import KeyReuseError
from generations.models.usage import StorageFullError

if TYPE_CHECKING:
    from accounts.models import User

logger = logging.getLogger(__name__)

uploads = AtOnce("uploads", per_user=8, in_all=64)
EXPIRE_AT_ONCE = 500


class HashMismatchError(Exception):
    """Other bytes arrived than the client said it would send."""


class BlobNotFoundError(Exception):
    """The workspace has no file with that hash."""


class AssetInUseError(Exception):
    """It is a result of a generation, or an unfinished one needs it."""


@dataclass(frozen=True, slots=True)
class FileDetails:
    """What a client says of a file that it brings: its name there, words, and how long it is wanted (seconds)."""

    name: str = ""
    tags: Sequence[str] = ()
    expires_in: int | None = None

    def apply(self, asset: Asset) -> None:
        """Write it into a new asset."""
        if self.name:
            asset.name = file_name(self.name)
        asset.tags = list(self.tags)
        if self.expires_in is not None:
            asset.expires_at = timezone.now() + timedelta(seconds=self.expires_in)


NO_DETAILS = FileDetails()


def upload(*, user: User, workspace: Workspace | None = None, file: UploadedFile[Any], kind: str = "") -> Asset:
    """Store a file for a parameter of this kind ("image", "mask", "video", "audio"; "" for any of them).

    InvalidUploadError when it is none that a workflow can use; errors as of `add`.
    """
    return add(user=user, workspace=workspace, file=file, is_medium=True, kind=kind)[0]


def add(
    *,
    user: User,
    workspace: Workspace | None = None,
    file: UploadedFile[Any],
    is_medium: bool = False,
    kind: str = "",
    details: FileDetails = NO_DETAILS,
    expected_hash: str = "",
    idempotency_key: str = "",
) -> tuple[Asset, bool]:
    """(the asset, whether its bytes are new). Bytes that the workspace has already are not stored a second time; by
    default it is the user's own.

    InvalidUploadError; HashMismatchError when they are not the announced ones; KeyReuseError; TooBusyError when the
    user has too many uploads under way; decoders.BusyError; rates.RateLimitedError; StorageFullError.
    """
    workspace = workspace or Workspace.objects.personal_of(user)
    IdempotencyKey.objects.ensure_unused(user, idempotency_key)
    rates.count_upload(workspace)
    _ensure_size(workspace, file.size)
    with ExitStack() as stack:
        stack.enter_context(uploads.one_more(user.pk))
        spooled, name = _received(file, stack, is_medium=is_medium, kind=kind)
        if expected_hash and expected_hash.lower() != spooled.hash:
            raise HashMismatchError
        with transaction.atomic():
            again = _from_stored_bytes(user, workspace, spooled.hash, name)
            if again is not None:
                IdempotencyKey.objects.claim(user, idempotency_key)
                details.apply(again)
                again.save()
                return again, False
        return _stored(user, workspace, spooled, name, details, idempotency_key), True


def _received(file: UploadedFile[Any], stack: ExitStack, *, is_medium: bool, kind: str) -> tuple[spooling.Spooled, str]:
    """(the bytes, in a format that browsers show, and the name that goes with it); `stack` closes what was read."""
    spooled, name = stack.enter_context(closing(spooling.spool(file.chunks()))), file.name or "upload"
    accepting.check(spooled, is_medium=is_medium, kind=kind)
    if is_medium and spooled.content_type in accepting.CONVERTED:
        spooled = stack.enter_context(closing(accepting.as_png(spooled)))
        name = f"{name.rpartition('.')[0] or name}.png"
    return spooled, name


def _ensure_size(workspace: Workspace, size_bytes: int | None) -> None:
    """StorageFullError, InvalidUploadError for what is too large; None while nobody knows its size."""
    StorageUsage.objects.ensure_room(workspace, size_bytes=size_bytes or 0)
    if size_bytes is not None and size_bytes > settings.MAX_UPLOAD_BYTES:
        msg = f"The file is larger than {settings.MAX_UPLOAD_BYTES // 2**20} MB."
        raise InvalidUploadError(msg)


def _stored(  # noqa: PLR0917
    user: User, workspace: Workspace, spooled: spooling.Spooled, name: str, details: FileDetails, idempotency_key: str
) -> Asset:
    asset_id = uuid.uuid4()
    key = storage.upload_key(asset_id)
    try:
        asset = storage.keep(
            spooled,
            key=key,
            user_id=user.pk,
            workspace_id=workspace.pk,
            name=name,
            asset_id=asset_id,
            is_strict=True,
        )
    except decoders.DamagedError as error:
        raise InvalidUploadError(accepting.damaged("image")) from error
    details.apply(asset)
    try:
        with transaction.atomic():
            IdempotencyKey.objects.claim(user, idempotency_key)
            asset.save()
            StorageUsage.objects.add(workspace, asset.size_bytes)
    except (KeyReuseError, StorageFullError):
        discard_files([asset.key, asset.thumbnail_key])
        raise
    return asset


def _from_stored_bytes(user: User, workspace: Workspace, digest: str, name: str) -> Asset | None:
    """A new asset over bytes that the workspace has, not saved yet. Inside a transaction: the one it is made
    from is locked until its end, so that the bytes stay.
    """
    source = Asset.objects.in_workspace(workspace).with_bytes(digest).select_for_update(of=("self",)).first()
    if source is None:
        return None
    return Asset(
        user=user,
        workspace=workspace,
        name=file_name(name),
        key=source.key,
        thumbnail_key=source.thumbnail_key,
        content_type=source.content_type,
        size_bytes=source.size_bytes,
        hash=source.hash,
        width=source.width,
        height=source.height,
        has_audio=source.has_audio,
    )


def add_from_hash(
    *, user: User, workspace: Workspace | None = None, digest: str, details: FileDetails
) -> tuple[Asset, bool]:
    """(an asset over bytes that the workspace has already, whether it is a new one). BlobNotFoundError.

    An upload under the same name is given back as it is, kept longer if that was asked for.
    """
    workspace = workspace or Workspace.objects.personal_of(user)
    with transaction.atomic():
        same = (
            Asset.objects.in_workspace(workspace).with_bytes(digest).filter(output=None).select_for_update(of=("self",))
        )
        found = (same.filter(name=file_name(details.name)) if details.name else same).order_by("created_at").first()
        if found is not None and (not details.tags or list(details.tags) == found.tags):
            _keep_longer(found, details)
            return found, False
        made = _from_stored_bytes(user, workspace, digest, details.name or (found.name if found else "upload"))
        if made is None:
            raise BlobNotFoundError
        details.apply(made)
        made.save()
        return made, True


def _keep_longer(asset: Asset, details: FileDetails) -> None:
    """A file that was wanted for longer before keeps its time."""
    if asset.expires_at is None:
        return
    wanted = timezone.now() + timedelta(seconds=details.expires_in) if details.expires_in else None
    if wanted is None or wanted > asset.expires_at:
        asset.expires_at = wanted
        asset.save(update_fields=["expires_at"])


def delete(asset: Asset) -> None:
    """Remove it; its bytes go unless another one shares them. AssetInUseError."""
    with transaction.atomic():
        rows = Asset.objects.filter(pk=asset.pk)
        StorageUsage.objects.lock([asset.workspace_id])  # first, as `discard` does
        rows.select_for_update(of=("self",)).first()
        if rows.in_use().exists():
            raise AssetInUseError
        discard(rows)


def delete_uploads(user: User, workspace: Workspace) -> int:
    """Remove what the user uploaded in the workspace and no unfinished generation needs, a few hundred at most. How
    many that were.
    """
    return discard_unused(Asset.objects.filter(user=user, workspace=workspace, output=None))


def discard(assets: QuerySet[Asset]) -> int:
    """Delete these assets for good, and those of their files that no other asset shares. How many that were.

    Inside a transaction: whoever makes another asset of the same file locks the one that it is made from.
    """
    StorageUsage.objects.lock(assets.order_by().values_list("workspace", flat=True).distinct())
    rows = list(assets.select_for_update(of=("self",)))
    files = {asset.key: asset for asset in rows}
    Asset.objects.filter(pk__in=[asset.pk for asset in rows]).only("pk").delete()
    for key in Asset.objects.filter(key__in=files).values_list("key", flat=True):
        files.pop(key, None)  # another one shares it, and the thumbnail with it
    sizes: Counter[int] = Counter()
    for asset in files.values():
        if asset.workspace_id is not None:
            sizes[asset.workspace_id] += asset.size_bytes
    StorageUsage.objects.subtract(sizes)
    if files:
        discard_files(key for asset in files.values() for key in (asset.key, asset.thumbnail_key))
    return len(rows)


def discard_unused(assets: AssetQuerySet, size: int = EXPIRE_AT_ONCE) -> int:
    """Delete those that are no result and that no unfinished generation needs, so many at most. How many that were."""
    with transaction.atomic():
        chosen = Asset.objects.filter(
            pk__in=list(assets.unused().order_by("created_at").values_list("pk", flat=True)[:size])
        )
        StorageUsage.objects.lock(chosen.values_list("workspace", flat=True).distinct())  # first, as `discard` does
        list(chosen.select_for_update(of=("self",)).values_list("pk"))
        return discard(chosen.unused())  # still: a generation may have got one since it was chosen


def discard_files(keys: Iterable[str]) -> None:
    """Have these files deleted once the surrounding transaction is committed, if there is one.

    They are written down, so that it happens whatever becomes of the broker, the worker and the storage meanwhile.
    """
    named = sorted({key for key in keys if key})
    DiscardedFile.objects.add(named)
    transaction.on_commit(lambda: ask(delete_files, named))


@shared_task(name="generations.tasks.delete_files")
def delete_files(keys: list[str]) -> None:
    """Remove files that nothing names any more. Those that the storage keeps for now are found again by `sweep`."""
    gone = []
    try:
        for key in keys:
            storage.delete([key])
            gone.append(key)
    except Exception:
        logger.warning("%d of %d files are deleted later", len(keys) - len(gone), len(keys), exc_info=True)
    DiscardedFile.objects.filter(key__in=gone).delete()
