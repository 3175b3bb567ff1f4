"""HTTP to addresses that users name: webhooks, and files to fetch.

Whoever may name an address could otherwise reach what only this server reaches (server-side request forgery). So each
connection goes to an address that was looked at after the name was resolved, and to no other; a redirect is a new
request with all checks. Private networks are refused but for those in OUTBOUND_ALLOWED_NETWORKS.

Nor may anybody map the network from our answers: whatever keeps a connection from coming about, the user reads the same
sentence after the same time, and the log has the reason.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx
from django.conf import settings
from django.utils.encoding import iri_to_uri

from generations import database

MAX_REDIRECTS = 3
USER_AGENT = f"comfysaas/{settings.VERSION}"
UNREACHABLE = "The address could not be reached. It must lead to a server on the public internet that speaks https."
# Nobody learns from the time, either: refusing what a name leads to is quicker than not finding the name.
UNREACHABLE_SECONDS = 2.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

logger = logging.getLogger(__name__)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """The text of the address shows that it may not be asked; `str()` says why."""


class RequestFailedError(Exception):
    """No usable answer came; `str()` says why, to the user who named the address."""


class _UnreachableError(Exception):
    """No connection came about; `str()` says why, for the log alone."""


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
        raise RefusedAddressError("This is not a web address.") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise RefusedAddressError("This is not a web address: it must begin with https://.")
    if parts.username is not None or parts.password is not None:
        raise RefusedAddressError("An address with a user name or password in it is not accepted.")
    if any(character <= " " or character == "\x7f" for character in url):
        raise RefusedAddressError("Remove spaces and control characters from the address.")
    literal = _literal(host)
    if literal is not None and not _may_reach(literal):
        raise RefusedAddressError("An address in a private network cannot be used.")
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
    begin, is_sent = time.monotonic(), asyncio.Event()
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(
                method, url, dict(headers or {}), body,
                max_bytes=max_bytes, redirects=MAX_REDIRECTS * is_followed, is_sent=is_sent,
            )  # fmt: skip
    except TimeoutError as error:
        if is_sent.is_set():
            raise RequestFailedError(f"No answer within {seconds:.0f} seconds.") from error
        logger.info("No connection to %s within %.0f seconds", _shown(url), seconds)
    except _UnreachableError as error:
        logger.info("No connection to %s: %s", _shown(url), error)
    await asyncio.sleep(begin + UNREACHABLE_SECONDS - time.monotonic())
    raise RequestFailedError(UNREACHABLE)


def _shown(url: str) -> str:
    """For the log: without the path and query, in which webhooks' addresses carry secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def fetch(url: str, *, max_bytes: int, seconds: float) -> Answer:
    """GET from a thread; the answer is a 200. RefusedAddressError, RequestFailedError."""
    database.release()
    answer = asyncio.run(request("GET", url, max_bytes=max_bytes, seconds=seconds, is_followed=True))
    if answer.status != 200:
        raise RequestFailedError(f"The answer was {answer.status}.")
    return answer


async def _exchange(
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    max_bytes: int,
    redirects: int,
    is_sent: asyncio.Event,
) -> Answer:
    """Follows so many redirects. `is_sent` tells whether the request has reached a server."""
    url = _ascii(url)
    check_url(url)
    is_sent.clear()
    sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    if body:
        sent["Content-Length"] = str(len(body))
    answer = await _ask(method, url, sent, body, max_bytes=max_bytes, is_followed=redirects > 0, is_sent=is_sent)
    if not (redirects and _is_redirect(answer)):
        return answer
    target = urljoin(url, answer.headers["location"])
    try:
        check_url(_ascii(target))
    except RefusedAddressError as error:
        raise RequestFailedError("The answer was a redirect to an address that cannot be used.") from error
    return await _exchange(method, target, headers, body, max_bytes=max_bytes, redirects=redirects - 1, is_sent=is_sent)


async def _ask(
    method: str,
    url: str,
    sent: Mapping[str, str],
    body: bytes,
    *,
    max_bytes: int,
    is_followed: bool,
    is_sent: asyncio.Event,
) -> Answer:
    """What this address answers; of a redirect that is followed, the body is not read."""

    async def trace(event: str, _info: Mapping[str, Any]) -> None:
        if event.endswith(".send_request_headers.complete"):
            is_sent.set()

    headers = _with_host(url, sent)
    async with (
        _GuardedBackend(urlsplit(url).scheme) as backend,
        httpcore.AsyncConnectionPool(ssl_context=_ssl_context(), network_backend=backend) as pool,
    ):
        try:
            async with pool.stream(
                method, url, headers=headers, content=body or None, extensions={"trace": trace}
            ) as response:
                got = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                answer = Answer(response.status, got, b"")
                if is_followed and _is_redirect(answer):
                    return answer
                return replace(answer, body=await _read(response, max_bytes))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
            raise _UnreachableError(f"{_shown(url)}: {error!r}") from error


def _is_redirect(answer: Answer) -> bool:
    return answer.status in {301, 302, 303, 307, 308} and bool(answer.headers.get("location"))


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
        raise RefusedAddressError("This is not a web address.") from error
    return iri_to_uri(parts._replace(netloc=host + port).geturl())


def _with_host(url: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    host = urlsplit(url).netloc.encode("ascii")
    return [(b"Host", host), *((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())]


async def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > max_bytes:
                raise RequestFailedError(f"The answer is larger than {max_bytes} bytes.")
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError) as error:
        raise RequestFailedError("The connection broke in the middle of the answer.") from error
    return bytes(body)


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves names itself, and connects to what it has looked at."""

    def __init__(self, scheme: str) -> None:
        self._backend = httpcore.AnyIOBackend()
        self._scheme = scheme
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """The pool forgets connections whose TLS handshake did not end."""
        for stream in self._opened:
            await stream.aclose()

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
                msg = f"{host} leads to {address}, which may not be reached"
                raise _UnreachableError(msg)
        problem: Exception | None = None
        for address in addresses:
            try:
                stream = await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
            else:
                self._opened.append(stream)
                return stream
        raise problem or httpcore.ConnectError(f"{host} has no address.")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise RefusedAddressError("This is not a web address.")

    async def sleep(self, seconds: float) -> None:
        """As the library wants it."""
        await self._backend.sleep(seconds)


async def _resolve(host: str, port: int) -> list[IPAddress]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _UnreachableError(f"{host} has no address: {error}") from error
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
