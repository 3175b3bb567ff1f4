"""POST /assets, GET /assets/{id} and its content."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from blake3 import blake3
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client
from django.utils import timezone

from generations import tasks
from generations.files import assets
from generations.models import Asset, Status
from tests.api.envelope import error_of
from tests.support.factories import make_asset, make_generation, make_output
from tests.support.pictures import png

# What the Comfy API v2 demands of an asset.
ASSET_KEYS = {"id", "hash", "size_bytes", "content_type", "created_at", "url", "url_expires_at"}


PHOTO = png("teal", size=(40, 30))


def upload(client: Client, content: bytes, name: str = "photo.png") -> Any:
    return client.post("/api/v2/assets", {"file": SimpleUploadedFile(name, content, "text/html")})


def test_upload_makes_an_asset_of_mine(api: Client, owner: Any) -> None:
    content = PHOTO
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
    error_of(upload(api, PHOTO), 422, "invalid_upload")


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
    content = PHOTO
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


def test_the_same_bytes_are_stored_once_and_live_as_long_as_anything_needs_them(
    api: Client, media_root: Path, eager_tasks: None, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = upload(api, PHOTO, "a.png"), upload(api, PHOTO, "b.png")
    assert (first.status_code, second.status_code) == (201, 200)
    assert (second.json()["created_new"], second.json()["file_path"]) == (False, "b.png")
    files = {path for path in media_root.rglob("*") if path.is_file()}
    assert len(files) == 2  # the picture and its thumbnail
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/api/v2/assets/{first.json()['id']}").status_code == 204
    assert {path for path in media_root.rglob("*") if path.is_file()} == files
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/api/v2/assets/{second.json()['id']}").status_code == 204
    assert not [path for path in media_root.rglob("*") if path.is_file()]
    error_of(api.delete(f"/api/v2/assets/{second.json()['id']}"), 404, "not_found")


def test_what_was_announced_is_checked(api: Client) -> None:
    content = PHOTO
    digest = f"blake3:{blake3(content).hexdigest()}"
    file = {"file": SimpleUploadedFile("a.png", content), "content_type": "image/png", "file_path": "x/y.png"}
    wrong = api.post("/api/v2/assets", {**file, "expected_hash": digest[:-4] + "0000"})
    error_of(wrong, 409, "hash_mismatch")
    assert not Asset.objects.exists()
    file["file"] = SimpleUploadedFile("a.png", content)
    right = api.post(
        "/api/v2/assets", {**file, "expected_hash": digest.upper().replace("BLAKE3", "blake3"), "tags": ["a", "b"]}
    )
    assert right.status_code == 201, right.content
    assert (right.json()["file_path"], right.json()["tags"]) == ("x/y.png", ["a", "b"])


@pytest.mark.parametrize(
    "name", ["a\nb: c\r\n.png", "../../etc/passwd", 'a"b\\c.png', "sch\u00f6n \u202e.png", "\t", "x" * 255]
)
def test_whatever_a_file_is_called_it_can_be_downloaded(api: Client, name: str) -> None:
    file = {"file": SimpleUploadedFile("a.png", PHOTO), "file_path": name}
    asset = api.post("/api/v2/assets", file).json()
    response = api.get(f"/api/v2/assets/{asset['id']}/content")
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith("attachment")
    assert asset["file_path"].isprintable()


def test_from_hash_makes_assets_of_my_bytes_alone(api: Client, owner: Any, stranger: Any) -> None:
    mine, theirs = make_asset(owner), make_asset(stranger, PHOTO)
    assert api.head(f"/api/v2/assets/by-hash/{mine.hash}").status_code == 200
    assert api.head(f"/api/v2/assets/by-hash/{theirs.hash}").status_code == 404
    assert api.head("/api/v2/assets/by-hash/nonsense").status_code == 404

    def mint(digest: str, **fields: Any) -> Any:
        return api.post("/api/v2/assets/from-hash", {"hash": digest, **fields}, content_type="application/json")

    error_of(mint(theirs.hash), 404, "blob_not_found")
    error_of(mint("nonsense"), 404, "blob_not_found")
    made = mint(mine.hash, file_path="twin.png")
    assert (made.status_code, made.json()["created_new"]) == (201, False)
    again = mint(mine.hash, file_path="twin.png")
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    assert mint(mine.hash).json()["id"] == str(mine.pk)


def test_a_result_can_become_an_input_and_outlives_its_job(
    api: Client, owner: Any, media_root: Path, eager_tasks: None, django_capture_on_commit_callbacks: Any
) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    output = make_output(generation)
    error_of(api.delete(f"/api/v2/assets/{output.asset_id}"), 409, "asset_in_use")
    made = api.post(
        "/api/v2/assets/from-hash",
        {"hash": output.asset.hash, "file_path": "kept.png"},
        content_type="application/json",
    ).json()
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/api/v2/jobs/{generation.pk}").status_code == 204
    kept = Asset.objects.get(pk=made["id"])
    assert (media_root / kept.key).exists()


def test_a_file_is_kept_for_as_long_as_was_asked(
    api: Client, media_root: Path, eager_tasks: None, django_capture_on_commit_callbacks: Any
) -> None:
    file = {"file": SimpleUploadedFile("a.png", PHOTO)}
    error_of(api.post("/api/v2/assets", {**file, "expires_in": 59}), 422, "invalid_request")
    file = {"file": SimpleUploadedFile("a.png", PHOTO)}
    asset = api.post("/api/v2/assets", {**file, "expires_in": 60}).json()
    until = datetime.fromisoformat(asset["expires_at"])
    assert timedelta(seconds=50) < until - timezone.now() <= timedelta(seconds=60)
    longer = api.post(
        "/api/v2/assets/from-hash", {"hash": asset["hash"], "expires_in": 3600}, content_type="application/json"
    ).json()
    assert (longer["id"], longer["expires_at"] > asset["expires_at"]) == (asset["id"], True)
    Asset.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    error_of(api.get(f"/api/v2/assets/{asset['id']}"), 404, "not_found")
    with django_capture_on_commit_callbacks(execute=True):
        assert tasks.expire() == 1
    assert not [path for path in media_root.rglob("*") if path.is_file()]


def test_an_upload_is_made_once_for_each_idempotency_key(api: Client) -> None:
    def send() -> Any:
        file = {"file": SimpleUploadedFile("a.png", PHOTO)}
        return api.post("/api/v2/assets", file, headers={"Idempotency-Key": "once"})

    assert send().status_code == 201
    error_of(send(), 422, "idempotency_key_reuse")
    assert Asset.objects.count() == 1


def test_a_text_of_a_job_is_an_asset_too(api: Client, owner: Any, stranger: Any, api_for: Any) -> None:
    output = make_output(make_generation(owner, status=Status.SUCCEEDED), value="a poem")
    found = api.get(f"/api/v2/assets/{output.public_id}").json()
    assert (found["content_type"], found["size_bytes"], found["hash"]) == ("text/plain; charset=utf-8", 6, None)
    assert found["job_id"] == str(output.generation_id)
    error_of(api.delete(f"/api/v2/assets/{output.public_id}"), 409, "asset_in_use")
    error_of(api_for(stranger).get(f"/api/v2/assets/{output.public_id}"), 404, "not_found")
    error_of(api_for(stranger).delete(f"/api/v2/assets/{output.public_id}"), 404, "not_found")


def test_only_so_many_uploads_of_one_user_are_stored_at_a_time(api: Client, owner: Any, stranger: Any) -> None:
    with ExitStack() as stack:
        for _ in range(assets.uploads.per_user):
            stack.enter_context(assets.uploads.one_more(owner.pk))
        response = upload(api, PHOTO)
        error_of(response, 429, "too_busy")
        assert int(response["Retry-After"]) > 0
    assert upload(api, PHOTO).status_code == 201
