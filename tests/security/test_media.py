"""Pictures and videos that unfold or that open sockets: decoders elsewhere are bounded, and the server goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from generations.comfy import decoder_process, decoders
from tests.security.conftest import Api, MakeKey
from tests.support import bombs
from tests.support.observing import peak_rss_bytes, reset_peak_rss, rss_bytes, unharmed
from tests.support.processes import Standalone, free_port
from tests.support.waiting import patient

MB = 10**6
# What the decoders may take together, beside which the server itself keeps its size.
DECODERS_MB = decoders.AT_ONCE * (decoder_process.MEMORY_BYTES / MB + 60)


def put(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    return client.post("assets", files={"file": (name, content)}, timeout=patient(60))


@pytest.fixture
def client(api: Api, make_key: MakeKey) -> httpx.Client:
    """Of a user whose decoders run already: two files at a time make sure of both."""
    client = api(make_key())
    with ThreadPoolExecutor(decoders.AT_ONCE) as threads:
        for number in range(decoders.AT_ONCE):
            threads.submit(put, client, "small.png", bombs.png(600, 600 + number))
    return client


@contextmanager
def same_size(server: Standalone, *, megabytes: float) -> Iterator[None]:
    """Fails the test when the server's own process grew more than that, children aside."""
    reset_peak_rss(server.pid)
    before = rss_bytes(server.pid)
    yield
    growth = (peak_rss_bytes(server.pid) - before) / MB
    assert growth < megabytes, f"The server itself grew by {growth:.0f} MB"


@contextmanager
def udp_ports() -> Iterator[set[int]]:
    """The ports that anything on this machine is bound to at any time until the block ends."""
    seen: set[int] = set()
    ending = threading.Event()

    def look() -> None:
        while True:
            for table in ("/proc/net/udp", "/proc/net/udp6"):
                for line in Path(table).read_text().splitlines()[1:]:
                    seen.add(int(line.split()[1].rpartition(":")[2], 16))
            if ending.wait(0.02):
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ending.set()
        thread.join()


def test_six_pictures_of_64_megapixels_at_once(running_server: Standalone, client: httpx.Client) -> None:
    bomb = bombs.png(8000, 8000)
    assert len(bomb) < 260_000
    with (
        unharmed(running_server, megabytes=DECODERS_MB),
        same_size(running_server, megabytes=60),
        ThreadPoolExecutor(6) as threads,
    ):
        answers = list(threads.map(lambda number: put(client, "a.png", bomb + bytes([number])), range(6)))
    assert {answer.status_code for answer in answers} <= {201, 503}
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert made
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)


def test_a_picture_beyond_the_limit_is_refused_by_its_header(running_server: Standalone, client: httpx.Client) -> None:
    bomb = bombs.png(20_000, 20_000, colors=1)
    with unharmed(running_server, megabytes=60):
        answer = put(client, "a.png", bomb)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_upload")
    assert "64 megapixels" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("icon.ico", lambda: bombs.icon(bombs.png(13_300, 13_300, colors=1))),
        ("movie.mov", lambda: bombs.movie(bombs.png(16_000, 16_000, colors=1), 16_000, 16_000)),
        ("small.mov", lambda: bombs.movie(bombs.png(16_000, 16_000, colors=1), 64, 64)),
    ],
)
def test_what_hides_a_large_picture_is_kept_undecoded(
    running_server: Standalone, client: httpx.Client, name: str, content: Callable[[], bytes]
) -> None:
    bomb = content()
    with unharmed(running_server, megabytes=100), same_size(running_server, megabytes=60):
        answer = put(client, name, bomb)
    assert answer.status_code == 201
    assert client.get(f"assets/{answer.json()['id']}").json().get("thumbnail_url") in (None, "")
    job = {"inputs": {"image": answer.json()["id"]}}
    refused = client.post("templates/image-to-image/jobs", json=job)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_inputs")


@pytest.mark.parametrize("name", ["a.flv", "a.mp4", "a.sdp"])
def test_a_session_description_opens_no_socket(running_server: Standalone, client: httpx.Client, name: str) -> None:
    port = free_port() & ~1
    content = bombs.session_as_flv(port) if name != "a.sdp" else bombs.SDP % port
    with unharmed(running_server, megabytes=60), udp_ports() as seen:
        kept = put(client, name, content)
        form = {"prompt": (None, "x"), "image": (name, content)}
        used = client.post("templates/image-to-image/jobs", files=form)
    assert not seen & {port, port + 1}
    assert kept.status_code == 201
    assert (used.status_code, used.json()["error"]["code"]) == (422, "invalid_inputs")
    assert "cannot be used" in used.text or "Choose a picture" in used.text
