"""Where files lie: exact bytes, sniffed types, thumbnails, private links; on disk and in S3."""

from __future__ import annotations

import io
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone
from PIL import Image

from generations.files import spooling, storage
from tests.generations.files.stored import stored
from tests.support.pictures import png
from tests.support.s3 import BUCKET, client, running_s3, storage_settings
from tests.support.waiting import patient


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def backend(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    if request.param == "disk":
        yield "disk"
        return
    with running_s3() as url:
        settings.STORAGES = {**settings.STORAGES, **storage_settings(url)}
        settings.S3_BUCKET = BUCKET
        yield url


def test_a_repeated_copy_overwrites_itself(backend: str) -> None:
    key = storage.output_key(uuid.uuid4(), 1, 0)
    for color in ("red", "blue"):
        with closing(spooling.spool([png(color)])) as spooled:
            storage.write(key, spooled)
    assert stored(key) == png("blue")


def test_what_was_written_is_read_back_with_its_hash_and_size(backend: str) -> None:
    content = png()
    with closing(spooling.spool([content[:10], content[10:]], expected_bytes=len(content))) as spooled:
        storage.write("uploads/a", spooled)
        assert (spooled.size_bytes, spooled.content_type) == (len(content), "image/png")
        assert (spooled.look.width, spooled.look.height) == (16, 16)
        assert spooled.hash.startswith("blake3:")
    assert stored("uploads/a") == content


def test_a_result_and_its_thumbnail_are_written_beside_each_other(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=patient(20))
    write, write_thumbnail = storage.write, storage.write_thumbnail

    monkeypatch.setattr(storage, "write", lambda *arguments: (both.wait(), write(*arguments))[1])
    monkeypatch.setattr(storage, "write_thumbnail", lambda *arguments: (both.wait(), write_thumbnail(*arguments))[1])
    with closing(spooling.spool([png()])) as spooled:
        asset = storage.keep(spooled, key="outputs/x/1.0", user_id=1, workspace_id=1, name="a.png")
    assert stored(asset.key) == png()
    assert stored(asset.thumbnail_key).startswith(b"RIFF")


def test_a_storage_that_fails_has_no_thumbnail_under_way_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    write_thumbnail, written = storage.write_thumbnail, []

    def failing(*_arguments: object) -> None:
        msg = "the storage is down"
        raise OSError(msg)

    monkeypatch.setattr(storage, "write", failing)
    monkeypatch.setattr(storage, "write_thumbnail", lambda *arguments: written.append(write_thumbnail(*arguments)))
    with closing(spooling.spool([png()])) as spooled, pytest.raises(OSError, match="down"):
        storage.keep(spooled, key="outputs/x/1.0", user_id=1, workspace_id=1, name="a.png")
    assert written == ["outputs/x/1.0.thumb"]


def test_deleting_what_is_gone_is_fine(backend: str) -> None:
    storage.delete(["uploads/never-was", ""])


def test_a_thumbnail_is_small_and_webp(backend: str) -> None:
    with closing(spooling.spool([png(size=(2000, 1000))])) as spooled:
        key = storage.write_thumbnail("uploads/b", spooled)
    with Image.open(io.BytesIO(stored(key))) as image:
        assert (image.format, image.size) == ("WEBP", (512, 256))


@pytest.mark.parametrize("content", [b"", b"just text", b"\x89PNG\r\n\x1a\nbroken", b"<svg onload='alert(1)'/>"])
def test_no_thumbnail_is_no_failure(content: bytes) -> None:
    with closing(spooling.spool([content])) as spooled:
        assert storage.write_thumbnail("uploads/c", spooled) == ""


@pytest.mark.parametrize("content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html><script>", b"hello"])
def test_active_content_is_never_shown_inline(content: bytes) -> None:
    with closing(spooling.spool([content])) as spooled:
        assert spooled.content_type not in storage.INLINE_TYPES


@pytest.mark.slow
def test_a_picture_that_would_explode_is_not_decoded() -> None:
    # 30,000 x 30,000 pixels in a few hundred kB.
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    with closing(spooling.spool([buffer.getvalue()])) as spooled:
        assert storage.write_thumbnail("uploads/d", spooled) == ""


@pytest.mark.s3
def test_only_a_signed_link_opens_an_object_and_it_fixes_type_and_name(settings: Any) -> None:
    with running_s3() as url:
        settings.STORAGES = {**settings.STORAGES, **storage_settings(url)}
        settings.S3_BUCKET = BUCKET
        content = png()
        with closing(spooling.spool([content])) as spooled:
            storage.write("outputs/x/0", spooled)
        link = storage.signed_url("outputs/x/0", content_type="image/png", download_name="größe.png")
        assert "X-Amz-Signature=" in link
        assert "X-Amz-Expires=60" in link
        with urllib.request.urlopen(link) as response:
            assert response.read() == content
            assert response.headers["Content-Type"] == "image/png"
            assert response.headers["Content-Disposition"].startswith("attachment")
        with closing(client(url)) as s3:
            grants = s3.get_object_acl(Bucket=BUCKET, Key="outputs/x/0")["Grants"]
        assert not [grant for grant in grants if "AllUsers" in grant["Grantee"].get("URI", "")]


def test_links_are_signed_for_the_address_that_browsers_use(settings: Any) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        **storage_settings("http://s3.internal:9000", public_url="https://files.example.com"),
    }
    link = storage.signed_url("outputs/x/0", content_type="image/png", download_name=None)
    assert link.startswith("https://files.example.com/results/outputs/x/0?")


@pytest.mark.s3
def test_what_s3_holds_is_verified_and_left_overs_are_removed(settings: Any) -> None:
    with running_s3() as url:
        settings.STORAGES = {**settings.STORAGES, **storage_settings(url)}
        settings.S3_BUCKET = BUCKET
        with closing(spooling.spool([b"x" * 20_000_000])) as spooled:  # in several parts
            storage.write("outputs/verified/1.0", spooled)
            assert dict(storage.walk("outputs/verified/")).keys() == {"outputs/verified/1.0"}
        with closing(client(url)) as s3:
            assert s3.head_object(Bucket=BUCKET, Key="outputs/verified/1.0")["ContentLength"] == 20_000_000
            s3.create_multipart_upload(Bucket=BUCKET, Key="outputs/begun/1.0")
            assert storage.clear("outputs/begun/", before=datetime(2001, 1, 1, tzinfo=UTC)) == 0  # moto says 2010
            assert storage.clear("outputs/begun/", before=timezone.now()) == 1
            assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_other_bytes_than_were_written_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(spooling.spool([b"original"])) as spooled:
        monkeypatch.setattr(storage, "_stored_hash", lambda key: "blake3:other")
        with pytest.raises(storage.DamagedCopyError, match="other bytes"):
            storage.write("outputs/x/1.0", spooled)
        monkeypatch.setattr("generations.files.backends.DiskStorage.size", lambda self, key: 3)
        with pytest.raises(storage.DamagedCopyError, match="3 bytes"):
            storage.write("outputs/x/1.0", spooled)


def test_a_thumbnail_that_came_with_the_measures_is_written_as_it_is(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(spooling.spool([png()], with_thumbnail=True)) as spooled:
        monkeypatch.setattr("generations.comfy.decoders.ask", None)  # nothing is decoded a second time
        asset = storage.keep(spooled, key="outputs/x/1.0", user_id=1, workspace_id=1, name="a.png")
        assert stored(asset.key) == png()
        assert stored(asset.thumbnail_key) == spooled.thumbnail
        none = replace(spooled, thumbnail=b"")
        assert not storage.keep(none, key="outputs/x/1.1", user_id=1, workspace_id=1, name="a.png").thumbnail_key
