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
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg.types.json import Jsonb

from tests.benchmarks.common import Result, add_user, cluster
from tests.support.processes import Cluster, add_server
from tests.support.waiting import eventually

GIB = 1024**3
CHUNK = b"\0" * 1024 * 1024


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


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _resident_mib(pid: int) -> float:
    """Of a process and its children."""
    total = 0.0
    for process in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        total += pages * 4096 / 2**20
    return total


def _copy(running: Cluster, size: int) -> float:
    """Let one output of that size be stored; the worker's largest memory meanwhile, in MiB."""
    pid = running.processes["worker"]._process.pid
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as database:
        outputs = {"9": {"files": [{"filename": f"{size}.bin", "subfolder": "", "type": "output"}]}}
        row = database.execute(
            "INSERT INTO generations_generation (id, user_id, version_id, server_id, inputs, status, priority, cost,"
            " model_files, attempt, losses, is_memory_retry, is_cache_bypassed, prompt_id, upstream_outputs,"
            " store_after, store_attempts, created_at, error_code, error_message, error_node_id, error_node_title,"
            " error_class_type) SELECT gen_random_uuid(), u.id, v.id, s.id, '{}', 'storing', 0, 1, '[]', 1, 0, false,"
            " false, gen_random_uuid(), %s, now(), 0, now(), '', '', '', '', ''"
            " FROM accounts_user u, generations_templateversion v, generations_comfyserver s LIMIT 1 RETURNING id",
            (Jsonb(outputs),),
        ).fetchone()
        assert row is not None
        peak = 0.0
        query = "SELECT status FROM generations_generation WHERE id = %s"
        while (status := database.execute(query, row).fetchone()) == ("storing",):
            peak = max(peak, _resident_mib(pid))
            time.sleep(0.1)
        assert status == ("succeeded",), (status, running.processes["worker"].output)
    return peak


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
        running.start("worker")
        eventually(lambda: _copy(running, 1000) > 0, seconds=60)
        for _ in range(3):
            before = _copy(running, 20 * 2**20)
        begin = time.monotonic()
        peak = _copy(running, GIB)
        seconds = time.monotonic() - begin
    return [
        Result("copy_growth_mib", round(peak - before, 1), "MiB"),
        Result("copy_mib_per_second", round(1024 / seconds), "MiB/s"),
    ]
