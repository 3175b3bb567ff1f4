"""Attempts to do more than one may: with keys, templates, passwords, links in mails and servers' headers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from accounts.models import MAX_KEYS
from tests.security.conftest import Api, MakeKey, StartServer
from tests.support.processes import PASSWORD, ROOT, Standalone, free_port
from tests.support.waiting import eventually

SECRET = "Bearer of-the-proxy"
TOO_MANY = "Too many failed login attempts"


def test_a_limited_key_gets_no_unlimited_one(api: Api, make_key: MakeKey) -> None:
    client = api(make_key(scopes=("read", "manage"), requests_per_minute=5))
    for wanted in (0, 5, 1000):
        assert (
            client.post("keys", json={"name": "n", "scopes": ["read"], "requests_per_minute": wanted}).status_code
            == 403
        )
    assert len(client.get("keys").json()["keys"]) == 1


def test_keys_made_at_once_stay_within_the_limit(api: Api, make_key: MakeKey) -> None:
    client = api(make_key(scopes=("read", "manage")))
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(client.post, "keys", json={"name": "n", "scopes": ["read"]}) for _ in range(MAX_KEYS + 20)]
        statuses = [each.result().status_code for each in asked]
    assert sorted(set(statuses)) == [201, 409]
    assert len(client.get("keys").json()["keys"]) == MAX_KEYS


def test_a_withdrawn_template_runs_in_no_way(api: Api, make_key: MakeKey) -> None:
    staff, user = api(make_key("maker@example.com", user={"is_staff": True, "is_superuser": True})), api(make_key())
    workflow = (ROOT / "docs" / "examples" / "workflow_api.json").read_bytes()
    form = {"title": "Withdrawn soon", "publish": "true"}
    made = staff.post("templates", data=form, files={"file": ("workflow.json", workflow)})
    assert made.status_code == 201, made.text
    slug = made.json()["slug"]
    job = user.post(f"templates/{slug}/jobs", json={"inputs": {}}).json()
    assert user.post(f"jobs/{job['id']}/rerun", json={}).status_code == 201
    assert staff.patch(f"templates/{slug}", json={"is_published": False}).status_code == 200
    for body in ({}, {"new_seed": True}, {"inputs": {}}):
        refused = user.post(f"jobs/{job['id']}/rerun", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "template_not_allowed")
    for body in ({"inputs": {}}, {"inputs": {}, "count": 2}):
        assert user.post(f"templates/{slug}/jobs", json=body).status_code == 404
    assert user.get(f"jobs/{job['id']}").status_code == 200


# ------------------------------------------------------------------------------------------- passwords and mails
@pytest.fixture(scope="module")
def behind_a_proxy(start_server: StartServer) -> Standalone:
    """Tells clients apart by the address that the proxy names; open to sign up."""
    return start_server(TRUST_PROXY_HEADERS="true", SIGNUP_OPEN="true")


def submit(server: Standalone, path: str, data: dict[str, str], address: str, **headers: str) -> httpx.Response:
    """A form of the account pages, from that address."""
    with httpx.Client(base_url=server.url, headers={"X-Forwarded-For": address, **headers}, timeout=60) as client:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(path).text)
        assert token is not None
        return client.post(path, data={**data, "csrfmiddlewaretoken": token[1]})


def test_guesses_from_elsewhere_do_not_lock_the_owner_out(behind_a_proxy: Standalone) -> None:
    wrong = {"login": "demo@example.com", "password": "wrong"}
    pages = [submit(behind_a_proxy, "/accounts/login/", wrong, "198.51.100.7").text for _ in range(6)]
    assert TOO_MANY in pages[-1]
    assert TOO_MANY not in pages[-2]
    right = {**wrong, "password": PASSWORD}
    assert TOO_MANY in submit(behind_a_proxy, "/accounts/login/", right, "198.51.100.7").text
    assert submit(behind_a_proxy, "/accounts/login/", right, "203.0.113.1").status_code == 302


def test_signing_up_looks_alike_for_who_is_registered_and_who_is_not(behind_a_proxy: Standalone) -> None:
    passwords = {"password1": "a long enough one", "password2": "a long enough one"}
    answers = [
        submit(behind_a_proxy, "/accounts/signup/", {"email": email, **passwords}, "203.0.113.1")
        for email in ("demo@example.com", "new@example.com")
    ]
    seen = [(each.status_code, each.headers["Location"], sorted(each.headers), each.text) for each in answers]
    assert seen[0] == seen[1]
    assert seen[0][:2] == (302, "/accounts/confirm-email/")
    unconfirmed = {"login": "new@example.com", "password": "a long enough one"}
    answer = submit(behind_a_proxy, "/accounts/login/", unconfirmed, "203.0.113.1")
    assert answer.headers["Location"] == "/accounts/confirm-email/"


def test_a_reset_link_does_not_follow_the_host_header(behind_a_proxy: Standalone) -> None:
    host = f"localhost:{behind_a_proxy.port}"
    data = {"email": "demo@example.com"}
    assert submit(behind_a_proxy, "/accounts/password/reset/", data, "203.0.113.1", Host=host).status_code == 302
    newest = "from accounts.models import OutgoingMail; print(OutgoingMail.objects.first().text)"
    link = re.search(r"http\S+/accounts/password/reset/key/", behind_a_proxy.manage("shell", "-v", "0", "-c", newest))
    assert link is not None
    assert link[0].startswith(behind_a_proxy.url)
    forged = {"X-Forwarded-Host": "evil.example"}
    assert httpx.get(f"{behind_a_proxy.url}/accounts/password/reset/", headers=forged).status_code == 400


# ------------------------------------------------------------------------------------------- servers' headers
@contextmanager
def eavesdropper() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """(its address, the headers of each request that it got)."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(dict(self.headers))
            self.send_error(500)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_moved_takes_no_secret_along(api: Api, start_server: StartServer) -> None:
    server = start_server()
    staff = api(server.make_key("mover@example.com", user={"is_staff": True, "is_superuser": True}), server=server)
    real = {"name": "gpu", "url": f"http://127.0.0.1:{free_port()}", "auth_header_name": "Authorization"}
    made = staff.post("servers", json={**real, "auth_header_value": SECRET})
    assert made.status_code == 201, made.text
    path = f"servers/{made.json()['id']}"
    with eavesdropper() as (url, heard):
        moved = staff.patch(path, json={"url": url})
        assert (moved.status_code, moved.json()["auth_header_name"]) == (200, "")
        staff.post(f"{path}/check")
        eventually(lambda: len(heard) >= 2, what="requests of the relay and of the check")
        staff.patch(path, json={"is_enabled": False})
    assert SECRET not in str(heard)
