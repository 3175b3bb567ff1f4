"""Files of one's own: uploads and results."""

from __future__ import annotations

import uuid

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import File, Router
from ninja import Status as Answer
from ninja.files import UploadedFile

from generations import delivery, services
from generations.api.jobs import caller, url_expiry
from generations.api.schemas import AssetOut, ErrorEnvelope
from generations.models import Asset

router = Router()


@router.post(
    "/assets",
    response={201: AssetOut, 401: ErrorEnvelope, 403: ErrorEnvelope, 422: ErrorEnvelope},
    operation_id="postAssets",
    summary="Upload a file",
)
def post_asset(request: HttpRequest, file: UploadedFile = File(...)) -> Answer[AssetOut]:  # type: ignore[type-arg]  # noqa: B008
    """Upload a picture, video or sound, to be used by its `id` as an input."""
    asset = services.upload(user=caller(request), file=file)
    described = _describe(request, asset)
    described.created_new = True
    return Answer(201, described)


@router.get(
    "/assets/{id}",
    response={200: AssetOut, 401: ErrorEnvelope, 404: ErrorEnvelope},
    operation_id="getAsset",
    summary="Read about a file",
)
def get_asset(request: HttpRequest, id: uuid.UUID) -> AssetOut:
    """What is known of a file."""
    return _describe(request, _mine(request, id))


@router.get(
    "/assets/{id}/content",
    response={200: None, 206: None, 302: None, 401: ErrorEnvelope, 404: ErrorEnvelope, 416: None},
    operation_id="getAssetContent",
    summary="Download a file",
    url_name="getAssetContent",
)
async def get_content(request: HttpRequest, id: uuid.UUID) -> HttpResponseBase:
    """Its bytes; ranges are honoured. A redirect to a signed link when they lie in S3."""
    return await delivery.serve(request, await sync_to_async(_mine)(request, id), is_download=True)


def _mine(request: HttpRequest, pk: uuid.UUID) -> Asset:
    return get_object_or_404(Asset.objects.for_user(request.user).select_related("output"), pk=pk)


def _describe(request: HttpRequest, asset: Asset) -> AssetOut:
    output = getattr(asset, "output", None)
    return AssetOut(
        id=asset.pk,
        hash=asset.hash,
        size_bytes=asset.size_bytes,
        content_type=asset.content_type,
        file_path=asset.name,
        created_at=asset.created_at,
        url=request.build_absolute_uri(reverse("api:getAssetContent", args=[asset.pk])),
        url_expires_at=url_expiry(),
        job_id=output.generation_id if output else None,
    )
