"""Requests to addresses that users name: what may be reached, and what comes back."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from comfysaas import outbound
from comfysaas.outbound import RefusedAddressError, RequestFailedError
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
    with pytest.raises(RefusedAddressError, match="may not be reached"):
        get("https://innocent.example.com/")


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(RefusedAddressError):
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
    other.statuses, other.headers = [302], {"Location": "https://10.0.0.1/secret"}
    with pytest.raises(RefusedAddressError):
        get(other.url, is_followed=True)
    assert get(other.url).status == 302


def test_redirects_end_some_time(other: Receiver, may_reach_here: None) -> None:
    other.statuses, other.headers = [302], {"Location": "/again"}
    assert get(other.url, is_followed=True).status == 302
    assert len(other.received) == 1 + outbound.MAX_REDIRECTS


def test_too_much_and_too_slow_are_given_up(other: Receiver, may_reach_here: None) -> None:
    other.body = b"x" * 2000
    with pytest.raises(RequestFailedError, match="larger"):
        get(other.url)
    other.body, other.delay = b"", 2
    with pytest.raises(RequestFailedError, match="within"):
        get(other.url, seconds=0.2)


def test_nobody_there_is_told(may_reach_here: None) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    with pytest.raises(RequestFailedError, match="connection failed"):
        get(url)


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
