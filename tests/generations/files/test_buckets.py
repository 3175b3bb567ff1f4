"""S3: whole files or none, and checksums where the server takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.files.storage import default_storage

from generations.files import spooling, storage
from tests.generations.files.stored import stored, write
from tests.support.pictures import png
from tests.support.s3 import BUCKET, Answer, ChoosyS3, choosy_s3, running_s3, storage_settings

REFUSALS: list[Answer | None] = [
    (400, "InvalidArgument"),
    (501, "NotImplemented"),
    (403, "SignatureDoesNotMatch"),
    (411, "MissingContentLength"),
    None,
]


@pytest.fixture
def choosy(settings: Any) -> Callable[..., AbstractContextManager[ChoosyS3]]:
    @contextmanager
    def serve(refusal: Answer | None, checksums: str = "auto", **options: bool) -> Iterator[ChoosyS3]:
        server = ChoosyS3(refusal, **options)
        with choosy_s3(server) as url:
            settings.STORAGES = {**settings.STORAGES, **storage_settings(url, checksums=checksums)}
            settings.S3_BUCKET = BUCKET
            yield server

    return serve


@pytest.mark.s3
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_server_that_takes_no_checksums_is_found_out_once(choosy: Any, refusal: Answer | None) -> None:
    with choosy(refusal) as server:
        write("outputs/a/1.0", png())
        assert stored("outputs/a/1.0") == png()
        server.seen.clear()
        write("outputs/a/1.1", b"x" * 20_000_000)  # in several parts
        assert len(stored("outputs/a/1.1")) == 20_000_000
        with closing(spooling.spool([png()])) as spooled:
            assert storage.write_thumbnail("outputs/a/1.0", spooled)
        storage.delete(["outputs/a/1.0", "outputs/a/1.1"])
        assert not [key for key, _ in storage.walk("outputs/a/") if not key.endswith(".thumb")]
        assert server.seen
        assert not [upload for upload in server.seen if upload[1]]


@pytest.mark.s3
def test_a_large_first_file_finds_it_out_as_well(choosy: Any) -> None:
    with choosy((400, "InvalidArgument")):
        write("outputs/a/1.0", b"x" * 20_000_000)
        assert len(stored("outputs/a/1.0")) == 20_000_000


@pytest.mark.s3
def test_without_checksums_what_was_written_is_read_back(choosy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with choosy((400, "InvalidArgument"), checksums="off") as server:
        write("outputs/a/1.0", png())
        assert server.seen == [("PUT", False)]
        monkeypatch.setattr(storage, "_stored_hash", lambda key: "blake3:other")
        with pytest.raises(storage.DamagedCopyError, match="other bytes"):
            write("outputs/a/1.0", png())


@pytest.mark.s3
def test_a_small_file_that_the_server_has_checked_is_one_request(settings: Any) -> None:
    with running_s3() as url:
        settings.STORAGES = {**settings.STORAGES, **storage_settings(url)}
        settings.S3_BUCKET = BUCKET
        requests: list[str] = []
        backend: Any = default_storage
        backend.connection.meta.client.meta.events.register(
            "before-send.s3", lambda request, **_: requests.append(request.method)
        )
        write("outputs/a/1.0", png())
        assert requests == ["PUT"]
        assert stored("outputs/a/1.0") == png()


@pytest.mark.s3
def test_checksums_that_are_switched_on_stay_on(choosy: Any) -> None:
    with choosy((400, "InvalidArgument"), checksums="on") as server:
        with pytest.raises(ClientError, match="InvalidArgument"):
            write("outputs/a/1.0", png())
        assert all(is_checked for _method, is_checked in server.seen)


@pytest.mark.s3
@pytest.mark.parametrize("refusal", [(403, "AccessDenied"), (400, "BadDigest"), (400, "InvalidArgument")])
def test_a_refusal_for_another_reason_leaves_checksums_on(choosy: Any, refusal: Answer) -> None:
    with choosy(refusal, refuses_everything=True):
        with pytest.raises(ClientError, match=refusal[1]):
            write("outputs/a/1.0", png())
        backend: Any = default_storage
        assert backend.checks_uploads
