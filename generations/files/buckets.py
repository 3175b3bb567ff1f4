"""Files in an S3 bucket. Apart, because whoever has a disk need not load what speaks S3: 20 MB in each process."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from generations.files.backends import ReleasesConnections

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
TRANSFER_THREADS = 2
TRANSFER_CHUNK_BYTES = 8 * MIB  # S3 takes at most 10,000 parts: 80 GB, and no ComfyUI output is that large
# Some servers refuse uploads that carry a checksum. They word this refusal differently: Backblaze B2 says
# InvalidArgument, Cloudflare R2 NotImplemented, Google SignatureDoesNotMatch, others InvalidRequest or
# MissingContentLength.
REFUSAL_STATUSES = frozenset({400, 411, 501})
OTHER_REFUSALS = frozenset(
    {
        "AuthorizationHeaderMalformed", "BadDigest", "EntityTooLarge", "ExpiredToken", "InvalidBucketName",
        "InvalidDigest", "InvalidToken", "KeyTooLongError", "RequestTimeout", "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip
WITHOUT_CHECKSUMS = Config(
    # DeleteObjects, the one request that must have a checksum, is not among those that we send.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class BucketStorage(ReleasesConnections, S3Storage):  # type: ignore[misc]  # django-storages ships no types
    """S3: each upload carries a SHA-256 that the server compares, and memory stays small however large a file is.

    `checksums`: "on"; "off" for servers that refuse uploads with checksums; "auto" finds out at the first refusal, and
    then does without for as long as the process lives.
    """

    def __init__(self, *, checksums: str = "auto", **options: Any) -> None:
        # Without a limit, a file that is read back is held in memory as a whole.
        super().__init__(**{"max_memory_size": TRANSFER_CHUNK_BYTES, **options})
        self._options = options
        self._checksums = "on" if checksums == "auto" else checksums
        self._may_do_without = checksums == "auto"
        # Whoever calls us tries again with growing pauses: a server that is down should be noticed soon.
        self.client_config: Config = self.client_config.merge(
            Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
        )
        if not self.checks_uploads:
            self.client_config = self.client_config.merge(WITHOUT_CHECKSUMS)
        self.transfer_config = TransferConfig(
            multipart_threshold=TRANSFER_CHUNK_BYTES,
            multipart_chunksize=TRANSFER_CHUNK_BYTES,
            max_concurrency=TRANSFER_THREADS,
        )
        # Parts that are read ahead; boto3's own constructor leaves it at 10.
        self.transfer_config.max_in_memory_upload_chunks = TRANSFER_THREADS

    @property
    def checks_uploads(self) -> bool:
        """True while the server compares what arrives with a checksum; otherwise whoever writes must read it back."""
        return self._checksums == "on"

    def do_without_checksums(self, reason: str) -> bool:
        """Send none from now on. False when that is no option: they are switched on for good, or off already."""
        if not (self._may_do_without and self.checks_uploads):
            return False
        logger.warning("Uploads to %s go without checksums from now on and are read back: %s", self.bucket_name, reason)
        self._checksums = "off"
        self.client_config = self.client_config.merge(WITHOUT_CHECKSUMS)
        self._connections, self._bucket = threading.local(), None
        return True

    def _save(self, name: str, content: File[Any]) -> str:
        try:
            if content.size < TRANSFER_CHUNK_BYTES:
                return self._put(name, content)
            return str(super()._save(name, content))
        except ClientError as error:
            if not (self._may_do_without and self.checks_uploads and _may_be_about_checksums(error)):
                raise
            refusal = error
        try:
            saved = BucketStorage(checksums="off", **self._options)._save(name, content)
        except ClientError:
            raise refusal from None  # it was about something else
        self.do_without_checksums(str(refusal))
        return saved

    def _put(self, name: str, content: File[Any]) -> str:
        """A small file in one request. Once the server says that what it has kept has our checksum, `content` is
        `is_confirmed`: nobody needs to look whether it arrived.
        """
        key = self._normalize_name(clean_name(name))
        content.seek(0)
        body, parameters, digest = content.read(), self._get_write_parameters(name, content), ""
        if self.checks_uploads:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            parameters["ChecksumSHA256"] = digest
        client = self.connection.meta.client
        answer = client.put_object(Bucket=self.bucket_name, Key=key, Body=body, **parameters)
        content.is_confirmed = bool(digest) and answer.get("ChecksumSHA256") == digest  # type: ignore[attr-defined]
        return name

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        """What is sent with an upload."""
        checksum = {"ChecksumAlgorithm": "SHA256"} if self.checks_uploads else {}
        return {**checksum, **super().get_object_parameters(name)}

    def walk(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Key and time of last change of each object whose key begins with `prefix`; a page in memory at a time."""
        pages = self.connection.meta.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket_name, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield found["Key"], found["LastModified"]

    def clear(self, prefix: str, *, before: datetime) -> int:
        """Abort multipart uploads that began before then: their parts cost money and are seen nowhere else."""
        client = self.connection.meta.client
        cleared = 0
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket_name, Prefix=prefix):
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] >= before:
                    continue
                with suppress(client.exceptions.NoSuchUpload):  # finished or aborted meanwhile
                    client.abort_multipart_upload(
                        Bucket=self.bucket_name, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    cleared += 1
        return cleared


def _may_be_about_checksums(error: ClientError) -> bool:
    """Whether the same upload without a checksum could succeed. Trying it does no harm."""
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code == "SignatureDoesNotMatch" or (status in REFUSAL_STATUSES and code not in OTHER_REFUSALS)
