"""PUBLIC_URL with a path: every address lies below it, for proxies that pass the path on and for those that do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websocket

from comfysaas.mount import Mounted
from tests.support.processes import Process, Standalone, free_port
from tests.support.waiting import eventually

PASSWORD = "correct horse battery"
PROXY = {"Host": "example.com", "X-Forwarded-Proto": "https", "Origin": "https://example.com"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    server = Standalone(
        tmp_path_factory.mktemp("studio"), PUBLIC_URL="https://example.com/studio", TRUST_PROXY_HEADERS="true",
        ADMIN_PASSWORD=PASSWORD, DEMO_PASSWORD=PASSWORD,
    )  # fmt: skip
    yield server
    server.stop()


@pytest.fixture
def browser(studio: Standalone) -> Iterator[httpx.Client]:
    """The admin's, signed in, as the proxy in front passes its requests on."""
    with httpx.Client(base_url=studio.url, headers=PROXY) as client:
        page = client.get("/studio/accounts/login/")
        cookie = page.cookies["csrftoken"]
        data = {"login": "admin@example.com", "password": PASSWORD, "csrfmiddlewaretoken": token_of(page)}
        # Cookies are for https alone: httpx would not send them here by itself.
        answer = client.post("/studio/accounts/login/", data=data, headers={"Cookie": f"csrftoken={cookie}"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/studio/")
        kept = [header for header in answer.headers.get_list("Set-Cookie") if header.startswith(("sessionid", "csrf"))]
        assert len(kept) == 2
        assert all("Path=/studio/;" in f"{header};" and "Secure" in header for header in kept)
        client.headers["Cookie"] = "; ".join(header.partition(";")[0] for header in kept)
        client.cookies.clear()
        yield client


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "path", ["", "generations/", "account/keys/", "accounts/password/change/", "admin/", "api/docs"]
)
def test_pages_link_to_nothing_outside_of_the_path(browser: httpx.Client, path: str) -> None:
    page = browser.get(f"/studio/{path}")
    assert page.status_code == 200
    links = re.findall(r'(?:href|src|action|data-\w+)="(/[^"]*)"', page.text)
    assert links
    assert [link for link in links if not link.startswith("/studio/")] == []
    statics = {link for link in links if link.startswith("/studio/static/")}
    assert {browser.get(link).status_code for link in statics} <= {200}


def test_the_api_gives_addresses_below_the_path(browser: httpx.Client) -> None:
    made = browser.post(
        "/studio/api/v2/templates/text-to-image/jobs", json={"inputs": {"prompt": "a fox"}},
        headers={"X-CSRFToken": csrf(browser)},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    job = made.json()
    assert job["urls"]["self"].removeprefix("https://example.com").startswith("/studio/api/v2/jobs/")
    done = eventually(lambda: ended(browser, job["id"]), seconds=60, what="the job")
    assert done["status"] == "succeeded"
    output = done["outputs"][0]["url"]
    assert output.startswith("https://example.com/studio/api/v2/")
    assert browser.get(output.removeprefix("https://example.com")).status_code == 200
    document = browser.get("/studio/api/v2/openapi.json").json()
    assert document["servers"] == [{"url": "/studio"}]


def csrf(browser: httpx.Client) -> str:
    return dict(pair.split("=", 1) for pair in browser.headers["Cookie"].split("; "))["csrftoken"]


def ended(browser: httpx.Client, pk: str) -> Any:
    job = browser.get(f"/studio/api/v2/jobs/{pk}").json()
    return job if job["status"] in {"succeeded", "failed", "canceled"} else None


@pytest.mark.parametrize("root", ["/studio/", "/"])
def test_sockets_are_found_below_the_path(studio: Standalone, browser: httpx.Client, root: str) -> None:
    socket = websocket.create_connection(
        f"ws://127.0.0.1:{studio.port}{root}ws/generations/", host="example.com", origin="https://example.com",
        cookie=browser.headers["Cookie"], timeout=20,
    )  # fmt: skip
    socket.close()


def test_a_proxy_may_take_the_path_off(browser: httpx.Client) -> None:
    for path in ("/accounts/login/", "/healthz", "/api/v2/me"):
        assert browser.get(path).status_code in {200, 302}
    assert browser.get("/studio/healthz").status_code == 200
    assert browser.get("/studio").headers["Location"] == "/studio/"


def test_mails_lead_to_the_public_address(studio: Standalone) -> None:
    here = f"http://127.0.0.1:{studio.port}"  # a Host that is allowed, but is not the public one
    with httpx.Client(
        base_url=here, headers={"X-Forwarded-Proto": "https", "Origin": here.replace("http", "https")}
    ) as client:
        page = client.get("/studio/accounts/password/reset/")
        data = {"email": "demo@example.com", "csrfmiddlewaretoken": token_of(page)}
        cookie = {"Cookie": f"csrftoken={page.cookies['csrftoken']}"}
        assert client.post("/studio/accounts/password/reset/", data=data, headers=cookie).status_code == 302
    newest = "from accounts.models import OutgoingMail; print(OutgoingMail.objects.first().text)"
    mail = studio.manage("shell", "-v", "0", "-c", newest)
    assert "https://example.com/studio/accounts/password/reset/key/" in mail
    assert here not in mail


def test_the_port_option_counts_for_links_and_trusted_origins(tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()
    folder = str(tmp_path_factory.mktemp("port"))
    process = Process(
        "manage.py", "standalone", "--port", str(port),
        env={"DATA_DIR": folder, "ADMIN_PASSWORD": PASSWORD, "DEMO_PASSWORD": PASSWORD},
    )  # fmt: skip
    try:
        process.said(rf"ready at http://127\.0\.0\.1:{port}")
        here = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=here, headers={"Origin": here}) as client:
            page = client.get("/accounts/password/reset/")
            data = {"email": "demo@example.com", "csrfmiddlewaretoken": token_of(page)}
            assert client.post("/accounts/password/reset/", data=data).status_code == 302
            form = {"login": "admin@example.com", "password": PASSWORD}
            page = client.get("/accounts/login/")
            client.post("/accounts/login/", data={**form, "csrfmiddlewaretoken": token_of(page)})
            opened = re.search(r'href="(/outbox/[^"]+/)"', client.get("/outbox/").text)
            assert opened is not None
            assert f"{here}/accounts/password/reset/key/" in client.get(opened[1]).text
    finally:
        process.stop()


async def test_what_is_complete_stays_as_it_is() -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope.get("path"))

    mounted = Mounted(inner, "/studio/")
    for path in ("/studio/x", "/studio", "/x", "/studiox", "/"):
        await mounted({"type": "http", "path": path}, None, None)
    await mounted({"type": "lifespan"}, None, None)
    assert seen == ["/studio/x", "/studio", "/studio/x", "/studio/studiox", "/studio/", None]
