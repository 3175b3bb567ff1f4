"""A real S3 server over HTTP (moto), and settings that use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "results"
CREDENTIALS = {"access_key": "test-access-key", "secret_key": "test-secret-key"}


@contextmanager
def running_s3(port: int = 0) -> Iterator[str]:
    """Yields the address of an S3 server with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, actual = server.get_host_and_port()
        url = f"http://{host}:{actual}"
        with closing(client(url)) as made:
            made.create_bucket(Bucket=BUCKET)
        yield url
    finally:
        server.stop()


def client(url: str) -> Any:
    """boto3's client for that server."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=CREDENTIALS["access_key"],
        aws_secret_access_key=CREDENTIALS["secret_key"],
    )


def storage_settings(url: str, *, public_url: str | None = None) -> dict[str, Any]:
    """STORAGES entries as settings.py makes them for S3_BUCKET."""
    options = {
        "bucket_name": BUCKET,
        "endpoint_url": url,
        "region_name": "us-east-1",
        **CREDENTIALS,
        "default_acl": None,
        "querystring_auth": True,
        "querystring_expire": 60,
        "file_overwrite": True,
        "signature_version": "s3v4",
        "addressing_style": "path",
    }
    backend = "generations.backends.BucketStorage"
    return {
        "default": {"BACKEND": backend, "OPTIONS": options},
        "signing": {"BACKEND": backend, "OPTIONS": {**options, "endpoint_url": public_url or url}},
    }
