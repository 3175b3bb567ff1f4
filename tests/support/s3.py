"""A real S3 server over HTTP (moto), a choosy one in front of it, and settings that use it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import ThreadedMotoServer
from werkzeug.serving import make_server

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


Answer = tuple[int, str]  # HTTP status, S3's error code


class ChoosyS3:
    """Moto behind a door that does not take uploads with checksums, as several S3-compatible servers do not.

    `refusal` is what it answers; None: it takes them and keeps their frame as part of the file. `seen` has
    (method, has a checksum) of each upload.
    """

    def __init__(self, refusal: Answer | None, *, refuses_everything: bool = False) -> None:
        self._refusal = refusal
        self._refuses_everything = refuses_everything
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.seen: list[tuple[str, bool]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        names = ("HTTP_X_AMZ_CHECKSUM", "HTTP_X_AMZ_SDK_CHECKSUM", "HTTP_X_AMZ_TRAILER")
        is_checked = any(key.startswith(names) for key in environ)
        if environ["REQUEST_METHOD"] in {"PUT", "POST"} and environ["PATH_INFO"].count("/") > 1:
            self.seen.append((environ["REQUEST_METHOD"], is_checked))
            if self._refusal and (is_checked or self._refuses_everything):
                return self._refuse(self._refusal, environ, start_response)
            if is_checked:
                return self._moto(_framed(environ), start_response)
        return self._moto(environ, start_response)

    @staticmethod
    def _refuse(refusal: Answer, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(f"{refusal[0]} Refused", [("Content-Type", "application/xml")])
        return [f"<Error><Code>{refusal[1]}</Code><Message>Unsupported header</Message></Error>".encode()]


def _framed(environ: dict[str, Any]) -> dict[str, Any]:
    body = b"5;chunk-signature\r\n" + environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    unchecked = {key: value for key, value in environ.items() if "CHECKSUM" not in key and "TRAILER" not in key}
    return {**unchecked, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


@contextmanager
def choosy_s3(server: ChoosyS3) -> Iterator[str]:
    """Yields its address; its bucket is empty."""
    door = make_server("127.0.0.1", 0, server, threaded=True)
    thread = threading.Thread(target=door.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{door.server_port}"
        with closing(client(url)) as made:
            made.create_bucket(Bucket=BUCKET)
        yield url
    finally:
        door.shutdown()
        thread.join()
        door.server_close()


def client(url: str) -> Any:
    """boto3's client for that server."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=CREDENTIALS["access_key"],
        aws_secret_access_key=CREDENTIALS["secret_key"],
    )


def storage_settings(url: str, *, public_url: str | None = None, **more: str) -> dict[str, Any]:
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
        **more,
    }
    backend = "generations.files.buckets.BucketStorage"
    return {
        "default": {"BACKEND": backend, "OPTIONS": options},
        "signing": {"BACKEND": backend, "OPTIONS": {**options, "endpoint_url": public_url or url}},
    }
