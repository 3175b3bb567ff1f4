"""HTTP to addresses that users name: webhooks, and files to fetch.

Whoever may name an address could otherwise reach what only this server reaches (server-side request forgery). So each
connection goes to an address that was looked at after the name was resolved, and to no other; a redirect is a new
request with all checks. Private networks are refused but for those in OUTBOUND_ALLOWED_NETWORKS.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx
from django.conf import settings
from django.utils.encoding import iri_to_uri

from comfysaas import __version__, database

MAX_REDIRECTS = 3
USER_AGENT = f"comfysaas/{__version__}"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """The address is none that may be asked; `str()` says why."""


class RequestFailedError(Exception):
    """No usable answer came; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in small letters
    body: bytes


def check_url(url: str) -> None:
    """RefusedAddressError for what can be seen to be wrong without resolving the name."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise RefusedAddressError("This is no address of the web.") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise RefusedAddressError("This is no address of the web: it must begin with https://.")
    if parts.username is not None or parts.password is not None:
        raise RefusedAddressError("An address with a user name or password in it is not accepted.")
    if any(character <= " " or character == "\x7f" for character in url):
        raise RefusedAddressError("An address has no spaces or control characters.")
    literal = _literal(host)
    if literal is not None and not _may_reach(literal):
        raise RefusedAddressError(f"{host} is a private address.")
    if parts.scheme == "http" and not (
        settings.OUTBOUND_ALLOWED_NETWORKS and (literal is None or _is_allowed(literal))
    ):
        raise RefusedAddressError("The address must begin with https://.")


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    max_bytes: int,
    seconds: float,
    is_followed: bool = False,
) -> Answer:
    """One exchange, redirects included if `is_followed`, within so many seconds and bytes.

    RefusedAddressError, RequestFailedError. Of a redirect that is not followed, the answer is the redirect.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(
                method, url, dict(headers or {}), body, max_bytes=max_bytes, redirects=MAX_REDIRECTS * is_followed
            )
    except TimeoutError as error:
        raise RequestFailedError(f"No answer within {seconds:.0f} seconds.") from error


def fetch(url: str, *, max_bytes: int, seconds: float) -> Answer:
    """GET from a thread; the answer is a 200. RefusedAddressError, RequestFailedError."""
    database.release()
    answer = asyncio.run(request("GET", url, max_bytes=max_bytes, seconds=seconds, is_followed=True))
    if answer.status != 200:
        raise RequestFailedError(f"The answer was {answer.status}.")
    return answer


async def _exchange(
    method: str, url: str, headers: dict[str, str], body: bytes, *, max_bytes: int, redirects: int
) -> Answer:
    url = _ascii(url)
    check_url(url)
    sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    if body:
        sent["Content-Length"] = str(len(body))
    async with httpcore.AsyncConnectionPool(
        ssl_context=_ssl_context(), network_backend=_GuardedBackend(urlsplit(url).scheme)
    ) as pool:
        try:
            async with pool.stream(method, url, headers=_with_host(url, sent), content=body or None) as response:
                got = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                target = got.get("location")
                if response.status in {301, 302, 303, 307, 308} and target and redirects:
                    target = urljoin(url, target)
                else:
                    return Answer(response.status, got, await _read(response, max_bytes))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
            raise RequestFailedError(_reason(error)) from error
    return await _exchange(method, target, headers, body, max_bytes=max_bytes, redirects=redirects - 1)


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _ascii(url: str) -> str:
    """As it is sent: other letters in the name and in the path are written as the web writes them."""
    if url.isascii():
        return url
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise RefusedAddressError("This is no address of the web.") from error
    return iri_to_uri(parts._replace(netloc=host + port).geturl())


def _with_host(url: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    host = urlsplit(url).netloc.encode("ascii")
    return [(b"Host", host), *((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())]


async def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > max_bytes:
            raise RequestFailedError(f"The answer is larger than {max_bytes} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _reason(error: Exception) -> str:
    return f"The connection failed: {error}" if str(error) else "The connection failed."


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves names itself, and connects to what it has looked at."""

    def __init__(self, scheme: str) -> None:
        self._backend = httpcore.AnyIOBackend()
        self._scheme = scheme

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """To the first of the name's addresses that takes the connection, if all of them may be reached."""
        addresses = await _resolve(host, port)
        for address in addresses:
            if not _may_reach(address) or (self._scheme == "http" and not _is_allowed(address)):
                msg = f"{host} leads to {address}, which may not be reached."
                raise RefusedAddressError(msg)
        problem: Exception | None = None
        for address in addresses:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore.ConnectError(f"{host} has no address.")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise RefusedAddressError("This is no address of the web.")

    async def sleep(self, seconds: float) -> None:
        """As the library wants it."""
        await self._backend.sleep(seconds)


async def _resolve(host: str, port: int) -> list[IPAddress]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RequestFailedError(f"There is no server called {host}.") from error
    return list(dict.fromkeys(ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found))


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _may_reach(address: IPAddress) -> bool:
    return _is_allowed(address) or _is_public(address)


def _is_allowed(address: IPAddress) -> bool:
    return any(address in network for network in settings.OUTBOUND_ALLOWED_NETWORKS)


def _is_public(address: IPAddress) -> bool:
    """True for what anybody on the internet reaches; IPv4 addresses inside of IPv6 ones count as what they are."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved
