"""Somebody's OpenID Connect server: it says of everybody who comes what a test wants it to say."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt

from tests.support.waiting import patient

CLIENT = "comfysaas"


@dataclass(slots=True)
class Provider:
    """Whom it signs in: `claims` of the next person; what it breaks: `broken` paths answer 500."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: person("anna@example.com"))
    broken: set[str] = field(default_factory=set)
    asked: list[dict[str, str]] = field(default_factory=list)  # parameters of each authorization
    exchanged: list[dict[str, str]] = field(default_factory=list)  # parameters of each code that was exchanged


def person(email: str, *, is_verified: bool = True, **claims: Any) -> dict[str, Any]:
    """What an OpenID Connect server knows of somebody."""
    return {"sub": f"acme|{email}", "email": email, "email_verified": is_verified, "name": "Anna Example", **claims}


@contextmanager
def oidc_server() -> Iterator[Provider]:
    """Runs one on a free port of this machine until the block ends."""
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
            if path in state.broken:
                self._answer(500, {"error": "server_error"})
            elif path == "/.well-known/openid-configuration":
                self._answer(200, _configuration(state.url))
            elif path == "/authorize":
                state.asked.append(query)
                back = urlencode({"code": uuid.uuid4().hex, "state": query["state"]})
                self._answer(302, {}, Location=f"{query['redirect_uri']}?{back}")
            else:
                self._answer(200, state.claims)

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            state.exchanged.append(form)
            if "/token" in state.broken:
                self._answer(500, {"error": "server_error"})
                return
            now = int(time.time())
            token = {"iss": state.url, "aud": CLIENT, "iat": now, "exp": now + 300, **state.claims}
            self._answer(
                200, {"access_token": "a-token", "token_type": "Bearer", "id_token": jwt.encode(token, "k" * 32)}
            )

        def _answer(self, status: int, content: dict[str, Any], **headers: str) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            found = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
            for name, value in found.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(patient(5))


def _configuration(url: str) -> dict[str, Any]:
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "userinfo_endpoint": f"{url}/userinfo",
        "jwks_uri": f"{url}/jwks",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }
