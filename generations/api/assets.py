"""The caller's files: uploads and results."""

from __future__ import annotations

import re
import uuid
from typing import Annotated

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import File, Form, Header, Path, Router
from ninja import Status as Answer
from ninja.files import UploadedFile

from accounts.access import user_of
from accounts.current import ensure_may_change, workspace_of
from accounts.models import Scope
from generations import contract
from generations.api.operations import IdempotencyKey, operation
from generations.api.schemas import NO_NUL
from generations.api.schemas.assets import AssetOut, FromHash
from generations.files import assets, delivery
from generations.models import Asset, Output, Status
from generations.models.asset import AssetQuerySet

router = Router()
HASH = re.compile("blake3:[0-9a-f]{64}")
ONE_MINUTE, ONE_WEEK = 60, 604_800


@operation(
    router,
    "POST",
    "/assets",
    scope=Scope.RUN,
    name="postAssets",
    summary="Upload a file",
    returns={200: AssetOut, 201: AssetOut},
    errors=(409, 422),
)
def post_asset(  # noqa: PLR0917  (django-ninja reads form fields from here)
    request: HttpRequest,
    file: UploadedFile = File(...),  # type: ignore[type-arg]  # noqa: B008
    content_type: Annotated[
        str, Form(max_length=200, description="Ignored: the type is detected from the bytes.")
    ] = "",
    file_path: Annotated[str, Form(max_length=255, pattern=NO_NUL, description="The name of the file.")] = "",
    expected_hash: Annotated[
        str, Form(max_length=80, pattern=NO_NUL, description="`blake3:<hex>`. Other bytes get 409 `hash_mismatch`.")
    ] = "",
    tags: Annotated[list[str], Form(max_length=32)] = [],  # noqa: B006
    expires_in: Annotated[
        int | None, Form(ge=ONE_MINUTE, le=ONE_WEEK, description="Seconds until the file is deleted.")
    ] = None,
    idempotency_key: IdempotencyKey = "",
) -> Answer[AssetOut]:
    """Uploads a file, whose `id` can be an input of jobs. 200 when you have the same bytes: they are shared."""
    details = assets.FileDetails(name=file_path, tags=_words(tags), expires_in=expires_in)
    asset, is_new = assets.add(
        user=user_of(request),
        workspace=workspace_of(request),
        file=file,
        details=details,
        expected_hash=expected_hash,
        idempotency_key=idempotency_key,
    )
    return Answer(201 if is_new else 200, _describe(asset, created_new=is_new))


@operation(
    router,
    "POST",
    "/assets/from-hash",
    scope=Scope.RUN,
    name="assetFromHash",
    summary="Make an asset from bytes that you uploaded before",
    returns={200: AssetOut, 201: AssetOut},
    errors=(404, 422),
)
def from_hash(request: HttpRequest, payload: FromHash) -> Answer[AssetOut]:
    """Makes an asset from the hash alone. 404 `blob_not_found` when none of your files has this hash. 200 when you have
    the same file under the same name already.
    """
    if not HASH.fullmatch(payload.hash.lower()):
        raise assets.BlobNotFoundError
    details = assets.FileDetails(name=payload.file_path, tags=_words(payload.tags), expires_in=payload.expires_in)
    asset, is_new = assets.add_from_hash(
        user=user_of(request), workspace=workspace_of(request), digest=payload.hash, details=details
    )
    return Answer(201 if is_new else 200, _describe(asset, created_new=False))


@operation(
    router,
    "HEAD",
    "/assets/by-hash/{hash}",
    scope=Scope.READ,
    name="headAssetByHash",
    summary="Look for one of your files by its hash",
    returns={200: None},
    errors=(404,),
)
def head_by_hash(request: HttpRequest, hash: Annotated[str, Path(examples=["blake3:…"])]) -> HttpResponse:
    """200 when `POST assets/from-hash` would find the bytes, else 404."""
    digest = hash.lower()
    found = HASH.fullmatch(digest) and _rows(request).with_bytes(digest).exists()
    if not found:
        raise Http404
    return HttpResponse(content_type="application/json")


@operation(
    router,
    "GET",
    "/assets/{id}",
    scope=Scope.READ,
    name="getAsset",
    summary="Read about a file",
    returns={200: AssetOut},
    errors=(404,),
)
def get_asset(request: HttpRequest, id: uuid.UUID) -> AssetOut:
    """Describes a file and gives a fresh link to its bytes."""
    found = _find(request, id)
    return _describe_text(found) if isinstance(found, Output) else _describe(found)


@operation(
    router,
    "DELETE",
    "/assets/{id}",
    scope=Scope.RUN,
    name="deleteAsset",
    summary="Delete a file",
    returns={204: None},
    errors=(404, 409),
)
def delete_asset(request: HttpRequest, id: uuid.UUID) -> Answer[None]:
    """Deletes the file. 403: another member brought it, and you are no admin. Other assets with the same bytes stay.

    409 `asset_in_use` for a job's result, and while an unfinished job needs the file.
    """
    found = _find(request, id)
    if isinstance(found, Output):
        raise assets.AssetInUseError
    ensure_may_change(request, found)
    assets.delete(found)
    return Answer(204, None)


@operation(
    router,
    "GET",
    "/assets/{id}/content",
    scope=Scope.READ,
    name="getAssetContent",
    summary="Download a file",
    returns={200: None, 206: None, 302: None, 304: None, 416: None},
    errors=(404,),
)
def get_content(
    request: HttpRequest,
    id: uuid.UUID,
    range: Annotated[str, Header(alias="Range", description="Such as `bytes=0-1048575`.")] = "",
) -> HttpResponseBase:
    """The bytes of the file, or of the range that you ask for. 302 to a signed link when files are stored in S3."""
    asset = _find(request, id)
    if isinstance(asset, Output):
        body, content_type = contract.inline(asset)
        return HttpResponse(body, content_type=content_type, headers={"X-Content-Type-Options": "nosniff"})
    return delivery.serve(request, asset, is_download=True)


def _words(tags: list[str]) -> list[str]:
    return [tag.replace("\x00", "")[:100] for tag in tags if tag][:32]


def _rows(request: HttpRequest) -> AssetQuerySet:
    return Asset.objects.in_workspace(workspace_of(request))


def _find(request: HttpRequest, pk: uuid.UUID) -> Asset | Output:
    """The workspace's file with this id, or a text that a job made without a file; Http404."""
    found = _rows(request).select_related("output").filter(pk=pk).first()
    return found or get_object_or_404(
        Output.objects.in_workspace(workspace_of(request)).exclude(generation__status=Status.CANCELED),
        public_id=pk,
        asset=None,
    )


def _describe_text(output: Output) -> AssetOut:
    body, content_type = contract.inline(output)
    return AssetOut(
        id=output.public_id,
        hash=None,
        size_bytes=len(body),
        content_type=content_type,
        file_path=contract.inline_name(output),
        tags=[],
        created_at=output.created_at,
        url=settings.PUBLIC_ORIGIN + reverse("api:getAssetContent", args=[output.public_id]),
        url_expires_at=contract.url_expiry(),
        job_id=output.generation_id,
    )


def _describe(asset: Asset, *, created_new: bool | None = None) -> AssetOut:
    output = getattr(asset, "output", None)
    return AssetOut(
        id=asset.pk,
        hash=asset.hash,
        size_bytes=asset.size_bytes,
        content_type=asset.content_type,
        file_path=asset.name,
        tags=asset.tags,
        created_at=asset.created_at,
        url=settings.PUBLIC_ORIGIN + reverse("api:getAssetContent", args=[asset.pk]),
        url_expires_at=contract.url_expiry(),
        expires_at=asset.expires_at,
        job_id=output.generation_id if output else None,
        created_new=created_new,
    )
