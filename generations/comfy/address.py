"""Where a ComfyUI server is: one base URL from which HTTP and websocket addresses derive."""

import base64
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed base URL: `http(s)://[user:password@]host[:port][/prefix][?token=…]`.

    `root` has neither credentials nor query, so it can be shown. Query parameters are repeated on every
    request.
    """

    root: str
    query: tuple[tuple[str, str], ...]
    authorization: str | None

    @classmethod
    def parse(cls, base_url: str) -> Self:
        """Raises ValueError with a readable sentence when the URL cannot be used."""
        parts = urlsplit(base_url.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"A ComfyUI address looks like http://host:8188, not “{_without_secrets(base_url)}”.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        root = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
        return cls(root, tuple(parse_qsl(parts.query, keep_blank_values=True)), authorization)

    def headers(self, extra: dict[str, str]) -> dict[str, str]:
        """The headers of every request: credentials of the URL, overridden by what the caller gives."""
        return ({"Authorization": self.authorization} if self.authorization else {}) | extra

    def websocket_url(self, client_id: str) -> str:
        query = urlencode([*self.query, ("clientId", client_id)], quote_via=quote)
        return f"ws{self.root.removeprefix('http')}/api/ws?{query}"

    def __str__(self) -> str:
        return self.root


def _without_secrets(url: str) -> str:
    return url.rpartition("@")[2].partition("?")[0]
