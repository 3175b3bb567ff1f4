"""POST /assets, GET /assets/{id} and its content."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from blake3 import blake3
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client
from PIL import Image

from generations.models import Asset, Status
from tests.api.envelope import error_of
from tests.support.factories import make_asset, make_generation, make_output

# What the Comfy API v2 demands of an asset.
ASSET_KEYS = {"id", "hash", "size_bytes", "content_type", "created_at", "url", "url_expires_at"}


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def upload(client: Client, content: bytes, name: str = "photo.png") -> Any:
    return client.post("/api/v2/assets", {"file": SimpleUploadedFile(name, content, "text/html")})


def test_upload_makes_an_asset_of_mine(api: Client, owner: Any) -> None:
    content = png()
    response = upload(api, content)
    assert response.status_code == 201
    asset = response.json()
    assert set(asset) >= ASSET_KEYS
    assert asset["content_type"] == "image/png"  # of the bytes, whatever the client said
    assert asset["size_bytes"] == len(content)
    assert asset["hash"] == f"blake3:{blake3(content).hexdigest()}"
    assert (asset["created_new"], asset["job_id"], asset["file_path"]) == (True, None, "photo.png")
    assert Asset.objects.get(pk=asset["id"]).user == owner
    again = api.get(f"/api/v2/assets/{asset['id']}").json()
    assert {key: again[key] for key in ("id", "hash", "size_bytes")} == {
        key: asset[key] for key in ("id", "hash", "size_bytes")
    }


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n and then nothing"])
def test_upload_of_nothing_or_of_a_damaged_picture_is_refused(api: Client, content: bytes) -> None:
    error_of(upload(api, content), 422, "invalid_upload")
    assert not Asset.objects.exists()


@pytest.mark.parametrize("content", [b"<script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_a_browser_would_run_is_kept_as_plain_bytes(api: Client, content: bytes) -> None:
    asset = upload(api, content, name="page.html").json()
    assert asset["content_type"] == "application/octet-stream"
    response = api.get(f"/api/v2/assets/{asset['id']}/content")
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert "sandbox" in response["Content-Security-Policy"]


def test_upload_that_is_too_large_is_refused(api: Client, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 10
    error_of(upload(api, png()), 422, "invalid_upload")


def test_upload_without_a_file_names_the_field(api: Client) -> None:
    error = error_of(api.post("/api/v2/assets", {"other": "x"}), 422, "invalid_request")
    assert error["details"]["errors"][0]["field"] == "file"


def test_result_names_its_job(api: Client, owner: Any) -> None:
    output = make_output(make_generation(owner, status=Status.SUCCEEDED))
    assert api.get(f"/api/v2/assets/{output.asset_id}").json()["job_id"] == str(output.generation_id)


@pytest.mark.parametrize("rest", ["", "/content"])
@pytest.mark.parametrize("identity", ["stranger's", "unknown", "malformed"])
@pytest.mark.django_db(transaction=True)
async def test_asset_that_is_not_mine_is_not_found(
    async_api: AsyncClient, stranger: Any, identity: str, rest: str
) -> None:
    theirs = await sync_to_async(make_asset)(stranger)
    asset = {"stranger's": str(theirs.pk), "unknown": str(uuid.uuid4()), "malformed": "x"}[identity]
    error_of(await async_api.get(f"/api/v2/assets/{asset}{rest}"), 404, "not_found")


@pytest.mark.django_db(transaction=True)
async def test_content_is_the_file_with_ranges(async_api: AsyncClient, owner: Any) -> None:
    content = png()
    asset = await sync_to_async(make_asset)(owner, content)
    path = f"/api/v2/assets/{asset.pk}/content"

    whole = await async_api.get(path)
    assert whole.status_code == 200
    assert await body_of(whole) == content
    assert whole["X-Content-Type-Options"] == "nosniff"
    assert whole["Content-Disposition"].startswith("attachment")
    assert "private" in whole["Cache-Control"]

    part = await async_api.get(path, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part["Content-Range"]) == (206, f"bytes 2-5/{len(content)}")
    assert await body_of(part) == content[2:6]

    outside = await async_api.get(path, headers={"Range": "bytes=999999-"})
    assert (outside.status_code, outside["Content-Range"]) == (416, f"bytes */{len(content)}")


async def body_of(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.streaming_content])
