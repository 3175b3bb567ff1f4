"""Bytes of results: owner only, ranges, names, and nothing active ever shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from tests.support.factories import make_asset
from tests.support.s3 import BUCKET, running_s3, storage_settings

CONTENT = bytes(range(256)) * 20
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
pytestmark = pytest.mark.django_db(transaction=True)


async def client_of(user: Any) -> AsyncClient:
    client = AsyncClient()
    await client.aforce_login(user, backend=BACKEND)
    return client


async def body(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.streaming_content])


@pytest.fixture
def asset(owner: Any) -> Any:
    return make_asset(owner, CONTENT, content_type="image/png", name="größe.png")


async def test_the_owner_gets_every_byte(owner: Any, asset: Any) -> None:
    response = await (await client_of(owner)).get(f"/assets/{asset.pk}/")
    assert await body(response) == CONTENT
    assert response["Content-Type"] == "image/png"
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"].startswith("inline")
    assert "private" in response["Cache-Control"]


@pytest.mark.parametrize("suffix", ["", "thumbnail/"])
async def test_strangers_and_staff_get_a_404_and_anonymous_ones_sign_in(
    asset: Any, stranger: Any, staff: Any, suffix: str
) -> None:
    for user in (stranger, staff):
        assert (await (await client_of(user)).get(f"/assets/{asset.pk}/{suffix}")).status_code == 404
    assert (await AsyncClient().get(f"/assets/{asset.pk}/{suffix}")).status_code == 302


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=5000-", 206, CONTENT[5000:]),
        ("bytes=-7", 206, CONTENT[-7:]),
        ("bytes=0-999999", 200, CONTENT),
        ("nonsense", 200, CONTENT),
    ],
)
async def test_ranges(owner: Any, asset: Any, header: str, status: int, expected: bytes) -> None:
    response = await (await client_of(owner)).get(f"/assets/{asset.pk}/", headers={"Range": header})
    assert (response.status_code, await body(response)) == (status, expected)


async def test_a_range_behind_the_end_is_a_416(owner: Any, asset: Any) -> None:
    response = await (await client_of(owner)).get(f"/assets/{asset.pk}/", headers={"Range": "bytes=999999-"})
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("content_type", ["image/svg+xml", "text/html", "application/octet-stream"])
async def test_active_or_unknown_content_is_a_download(owner: Any, content_type: str) -> None:
    asset = await sync_to_async(make_asset)(owner, b"<script>", content_type=content_type, name="x.svg")
    response = await (await client_of(owner)).get(f"/assets/{asset.pk}/")
    assert response["Content-Disposition"].startswith("attachment")
    assert response["Content-Type"] == "application/octet-stream"


async def test_a_thumbnail_is_a_small_picture(owner: Any) -> None:
    asset = await sync_to_async(make_asset)(owner)
    response = await (await client_of(owner)).get(f"/assets/{asset.pk}/thumbnail/")
    assert (response.status_code, response["Content-Type"]) == (200, "image/webp")


@pytest.fixture
def s3(settings: Any) -> Iterator[str]:
    with running_s3() as url:
        settings.STORAGES = {**settings.STORAGES, **storage_settings(url)}
        settings.S3_BUCKET = BUCKET
        yield url


@pytest.mark.s3
async def test_in_s3_the_owner_is_sent_to_a_signed_link(owner: Any, stranger: Any, s3: str) -> None:
    asset = await sync_to_async(make_asset)(owner, CONTENT)
    response = await (await client_of(owner)).get(f"/assets/{asset.pk}/")
    assert response.status_code == 302
    assert response["Location"].startswith(f"{s3}/{BUCKET}/uploads/")
    assert "X-Amz-Signature" in response["Location"]
    assert (await (await client_of(stranger)).get(f"/assets/{asset.pk}/")).status_code == 404
