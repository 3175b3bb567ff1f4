"""Requests to addresses that users name: what may be reached, and what comes back."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from generations import outbound
from generations.outbound import RefusedAddressError, RequestFailedError
from tests.support.receiver import Receiver, receiver


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def may_reach_here(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]


def get(url: str, **options: Any) -> outbound.Answer:
    return asyncio.run(outbound.request("GET", url, **{"max_bytes": 1000, "seconds": 5, **options}))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "example.com", "https://user:pw@example.com/",
        "https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data",
        "https://[::1]/", "https://[fe80::1]/", "https://[fd00::1]/", "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://0.0.0.0/", "https://100.64.0.1/",
        "https://224.0.0.1/", "https://255.255.255.255/", "https://exa mple.com/", "https://example.com:99999/",
        "https://example.com/\r\nX: y",
    ],
)  # fmt: skip
def test_what_is_not_the_public_web_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddressError):
        outbound.check_url(url)


@pytest.mark.parametrize("url", ["https://example.com/a?b=c", "https://1.1.1.1/", "https://[2606:4700::1111]/x"])
def test_the_public_web_is_fine(url: str) -> None:
    outbound.check_url(url)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
def test_a_name_that_leads_to_a_private_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, address)
    with pytest.raises(RequestFailedError, match=outbound.UNREACHABLE):
        get("https://innocent.example.com/")


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(RequestFailedError, match=outbound.UNREACHABLE):
        get("https://innocent.example.com/")


def test_numbers_that_are_addresses_in_disguise_are_refused() -> None:
    for url in ("https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://localhost/"):
        with pytest.raises((RefusedAddressError, RequestFailedError)):
            get(url)


def test_an_allowed_network_is_reached_by_the_address_that_was_looked_at(
    other: Receiver, may_reach_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = other.url.rsplit(":", 1)[1]
    looked_up = _resolve_to(monkeypatch, "127.0.0.1")
    answer = get(f"http://inside.example.com:{port}/path?q=1")
    assert (answer.status, answer.body) == (200, b"ok")
    assert other.received[0][0] == "/path?q=1"
    assert other.received[0][1]["host"] == f"inside.example.com:{port}"
    assert looked_up == ["inside.example.com"]  # once: the connection goes to what was checked


def test_other_letters_are_written_as_the_web_writes_them(
    other: Receiver, may_reach_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = _resolve_to(monkeypatch, "127.0.0.1")
    port = other.url.rsplit(":", 1)[1]
    assert get(f"http://bücher.example:{port}/schön.png").status == 200
    assert looked_up == ["xn--bcher-kva.example"]
    assert other.received[0][0] == "/sch%C3%B6n.png"


def test_a_redirect_is_checked_like_a_new_request(other: Receiver, may_reach_here: None) -> None:
    for target in ("https://10.0.0.1/secret", "https://user:pw@example.com/", "https://exa mple.com/"):
        other.statuses, other.headers = [302], {"Location": target}
        with pytest.raises(RequestFailedError, match="a redirect to an address that cannot be used"):
            get(other.url, is_followed=True)
    other.headers = {"Location": "https://localhost:1/secret"}
    with pytest.raises(RequestFailedError, match=outbound.UNREACHABLE):
        get(other.url, is_followed=True)
    assert get(other.url).status == 302


def test_redirects_end_some_time(other: Receiver, may_reach_here: None) -> None:
    other.statuses, other.headers = [302], {"Location": "/again"}
    assert get(other.url, is_followed=True).status == 302
    assert len(other.received) == 1 + outbound.MAX_REDIRECTS


def test_too_much_is_given_up(other: Receiver, may_reach_here: None) -> None:
    other.body = b"x" * 2000
    with pytest.raises(RequestFailedError, match="larger"):
        get(other.url)


@pytest.fixture
def odd_servers() -> Iterator[dict[str, int]]:
    """Ports of this machine where no answer can be had, each for another reason."""
    with ExitStack() as stack:
        listening = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in ("silent", "rude")}
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    listening["rude"].accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        yield {name: found.getsockname()[1] for name, found in {**listening, "closed": closed}.items()}
        listening["rude"].shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_whatever_keeps_a_connection_from_coming_about_reads_and_takes_the_same(
    other: Receiver,
    odd_servers: dict[str, int],
    may_reach_here: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(outbound, "UNREACHABLE_SECONDS", 0.5)
    monkeypatch.setattr(outbound, "_may_reach", lambda address: str(address) == "127.0.0.1")
    caplog.set_level("INFO", "generations.outbound")
    urls = [
        f"http://127.0.0.1:{odd_servers['closed']}/secret-path",
        f"http://127.0.0.1:{odd_servers['rude']}/secret-path",
        f"https://127.0.0.1:{odd_servers['silent']}/secret-path",  # TCP is there, and TLS never is
        f"https://127.0.0.1:{other.url.rsplit(':', 1)[1]}/secret-path",  # speaks no TLS
        "https://nowhere.invalid/secret-path",
        "https://private.test/secret-path",
    ]
    resolve = outbound._resolve

    async def resolved(host: str, port: int) -> list[Any]:
        return [ipaddress.ip_address("10.11.12.13")] if host == "private.test" else await resolve(host, port)

    monkeypatch.setattr(outbound, "_resolve", resolved)
    for url in urls:
        begin = time.monotonic()
        with pytest.raises(RequestFailedError) as caught:
            get(url, seconds=1)
        assert str(caught.value) == outbound.UNREACHABLE
        assert time.monotonic() - begin >= 0.5
    assert "private.test leads to 10.11.12.13" in caplog.text
    assert "nowhere.invalid has no address" in caplog.text
    assert len(caplog.messages) == len(urls)
    assert "secret-path" not in caplog.text


def test_a_server_that_was_reached_is_told_to_be_slow(other: Receiver, may_reach_here: None) -> None:
    other.gate.clear()
    with pytest.raises(RequestFailedError, match="No answer within"):
        get(other.url, seconds=0.5)


def test_an_answer_that_breaks_off_is_none(other: Receiver, may_reach_here: None) -> None:
    other.headers = {"Content-Length": "1000"}
    with pytest.raises(RequestFailedError, match="broke in the middle"):
        get(other.url)


def test_fetch_wants_a_200(other: Receiver, may_reach_here: None) -> None:
    assert outbound.fetch(other.url, max_bytes=100, seconds=5).body == b"ok"
    other.statuses = [404]
    with pytest.raises(RequestFailedError, match="404"):
        outbound.fetch(other.url, max_bytes=100, seconds=5)


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[Any]:
        asked.append(host)
        return [ipaddress.ip_address(address) for address in addresses]

    monkeypatch.setattr(outbound, "_resolve", resolve)
    return asked
