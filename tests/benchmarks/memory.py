"""How much a worker grows while it copies an output of 1 GB from ComfyUI to S3.

ComfyUI is a server of the measurement's own that streams zeros, S3 one that throws away what it is sent; the worker's
memory is read from outside ten times a second, after a small output was copied to warm up.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from tests.benchmarks.common import Result, add_user, cluster
from tests.support.observing import tree_rss_bytes
from tests.support.processes import Cluster, add_server

MIB = 2**20
CHUNK = b"\0" * MIB
LARGE_MIB, WARM_UP_MIB, WARM_UPS, SAMPLE_SECONDS = 1024, 20, 3, 0.1
SMALL = {"LARGE_MIB": 2, "WARM_UP_MIB": 1, "WARM_UPS": 1}
# Made by the models, so that no column is forgotten.
PREPARE = """
from datetime import timedelta
from django.utils import timezone
from accounts.models import User
from generations.models import ComfyServer, Generation, TemplateVersion
for size in {sizes!r}:
    files = [{{"filename": f"{{size}}.bin", "subfolder": "", "type": "output"}}]
    made = Generation.objects.create(
        user=User.objects.get(), version=TemplateVersion.objects.first(), server=ComfyServer.objects.get(), attempt=1,
        inputs={{}}, status="storing", upstream_outputs={{"9": {{"files": files}}}},
        store_after=timezone.now() + timedelta(days=1),
    )
    print(made.pk)
"""


class _ComfyUI(BaseHTTPRequestHandler):
    """/api/view streams as many bytes as the file name says; everything else is an empty object."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        size = int(query["filename"][0].split(".")[0]) if "filename" in query else 2
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        if "filename" not in query:
            self.wfile.write(b"{}")
            return
        while size > 0:
            self.wfile.write(CHUNK[:size])
            size -= len(CHUNK)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class _S3(BaseHTTPRequestHandler):
    """Takes objects, whole or in parts, and keeps only their lengths."""

    protocol_version = "HTTP/1.1"
    sizes: dict[str, int] = {}

    def do_PUT(self) -> None:
        number = self._swallow()
        path = urlsplit(self.path).path
        self.sizes[path] = (self.sizes.get(path, 0) if "partNumber" in self.path else 0) + number
        self._answer(200, b"", {"ETag": f'"{hashlib.md5(str(number).encode()).hexdigest()}"'})

    def do_POST(self) -> None:
        self._swallow()
        path = urlsplit(self.path).path
        if "uploads" in urlsplit(self.path).query:
            self.sizes[path] = 0
            body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        else:
            body = b'<CompleteMultipartUploadResult><ETag>"x-1"</ETag></CompleteMultipartUploadResult>'
        self._answer(200, body, {"Content-Type": "application/xml"})

    def do_HEAD(self) -> None:
        size = self.sizes.get(urlsplit(self.path).path)
        self.send_response(200 if size is not None else 404)
        self.send_header("Content-Length", str(size or 0))
        self.send_header("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT")
        self.end_headers()

    def _swallow(self) -> int:
        """Bytes of the body, also of a chunked one as boto3 sends it with checksums; the number of payload bytes."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        else:
            left = int(self.headers.get("Content-Length", "0"))
            while left > 0:
                left -= len(self.rfile.read(min(left, 65536)))
        decoded = self.headers.get("X-Amz-Decoded-Content-Length")
        return int(decoded or self.headers.get("Content-Length", "0"))

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them, so that no connection is left open


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _prepare(running: Cluster, sizes: list[int]) -> list[str]:
    """Generations whose outputs of these sizes wait to be copied, but not yet; their ids."""
    return running.manage("shell", "--verbosity", "0", "-c", PREPARE.format(sizes=sizes)).split()


def _copy(running: Cluster, generation: str) -> float:
    """Let its output be copied; the worker's largest memory meanwhile, in MiB."""
    worker = running.processes["worker"]
    peak = 0
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database:
        database.execute("UPDATE generations_generation SET store_after = now() WHERE id = %s", (generation,))
        query = "SELECT status, error_message FROM generations_generation WHERE id = %s"
        while (row := database.execute(query, (generation,)).fetchone()) and row[0] == "storing":
            peak = max(peak, tree_rss_bytes(worker.pid))
            time.sleep(SAMPLE_SECONDS)
    assert row is not None
    assert row[0] == "succeeded", (*row, worker.output)
    return peak / MIB


def measure() -> list[Result]:
    """All numbers."""
    with _serving(_ComfyUI) as comfyui, _serving(_S3) as bucket, cluster() as running:
        add_server(running.env["DATABASE_URL"], "large", comfyui)
        add_user(running, "bench@example.com")
        running.env |= {
            "S3_BUCKET": "results",
            "S3_ENDPOINT_URL": bucket,
            "S3_ACCESS_KEY_ID": "bench",
            "S3_SECRET_ACCESS_KEY": "bench-secret",
        }
        *warm_up, large = _prepare(running, [1000, *[WARM_UP_MIB * MIB] * WARM_UPS, LARGE_MIB * MIB])
        running.start("worker")
        before = [_copy(running, each) for each in warm_up][-1]
        begin = time.monotonic()
        peak = _copy(running, large)
        seconds = time.monotonic() - begin
    return [
        Result("copy_growth_mib", round(peak - before, 1), "MiB"),
        Result("copy_mib_per_second", round(LARGE_MIB / seconds), "MiB/s"),
    ]
