"""`manage.py standalone`: first start, restart, kill -9, and a browser that goes the whole way."""

from __future__ import annotations

import json
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.processes import Process, Standalone
from tests.support.waiting import eventually

ADMIN, DEMO = "an admin's password", "a demo password"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSER_MS = 30_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    running = Standalone(tmp_path_factory.mktemp("standalone"), ADMIN_PASSWORD=ADMIN, DEMO_PASSWORD=DEMO)
    yield running
    running.process.stop()


def job(client: httpx.Client, **inputs: object) -> str:
    body = {"inputs": {"prompt": "a fox", "width": 64, "height": 64, "steps": 2, **inputs}}
    return str(client.post("templates/text-to-image/jobs", json=body).json()["id"])


def status(client: httpx.Client, pk: str) -> str:
    return str(client.get(f"jobs/{pk}").json()["status"])


def client_of(server: Standalone) -> httpx.Client:
    key = server.manage("create_api_key", "demo@example.com")
    return httpx.Client(base_url=f"{server.url}/api/v2/", headers={"Authorization": f"Bearer {key}"}, timeout=20)


def test_the_first_start_says_what_one_has_to_know(tmp_path: Path) -> None:
    server = Standalone(tmp_path / "data")
    try:
        assert "SIMULATOR" in server.process.output
        passwords = dict(re.findall(r"(\S+@example\.com)\s+(\S+)", server.process.output))
        assert set(passwords) == {"admin@example.com", "demo@example.com"}
        assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600
        assert httpx.get(f"{server.url}/readyz").json() == {"status": "ok", "failed": []}
        with httpx.Client(base_url=server.url, follow_redirects=True) as visitor:
            token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', visitor.get("/").text)
            assert token is not None
            data = {"login": "demo@example.com", "password": passwords["demo@example.com"]}
            page = visitor.post("/accounts/login/", data={**data, "csrfmiddlewaretoken": token[1]})
            assert "Text to image" in page.text
        taken = Process("manage.py", "standalone", env=server.env)
        assert taken.wait() == 1
        assert "Set PORT to another one" in taken.output
    finally:
        assert server.process.signal(signal.SIGINT) == 0
    assert "go on at the next start" in server.process.output


def test_kill_9_in_the_middle_and_a_second_start_goes_on(tmp_path: Path) -> None:
    server = Standalone(tmp_path, ADMIN_PASSWORD=ADMIN, DEMO_PASSWORD=DEMO)
    with client_of(server) as client:
        before = job(client)
        eventually(lambda: status(client, before) == "succeeded")
        running = job(client, steps=25)
        waiting = [job(client, seed=n) for n in range(3)]
        eventually(lambda: status(client, running) == "running")
        server.process.kill()
    server.process = Process("manage.py", "standalone", env=server.env)
    try:
        server.process.said("ready at")
        assert "passwords" not in server.process.output
        with client_of(server) as client:
            assert status(client, before) == "succeeded"
            for pk in (running, *waiting):
                eventually(lambda pk=pk: status(client, pk) == "succeeded", seconds=60)  # type: ignore[misc]
                assert len(client.get(f"jobs/{pk}").json()["outputs"]) == 1
    finally:
        server.process.stop()


# ------------------------------------------------------------------------------------------ the browser
@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield running
        running.close()


def is_problem(message: ConsoleMessage) -> bool:
    """True for errors, but for the note that Chromium makes of a refused form."""
    return message.type == "error" and "status of 422" not in message.text


@pytest.fixture
def page(browser: Browser, server: Standalone) -> Iterator[Page]:
    """A page that fails the test on any script error or breach of the content security policy."""
    context = browser.new_context(base_url=server.url)
    context.set_default_timeout(BROWSER_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if is_problem(message) else None)
    yield page
    context.close()
    assert not problems


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="What do you want to make?")).to_be_visible()


@pytest.mark.browser
def test_the_whole_path_in_a_browser(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.get_by_role("link", name="Text to image").click()
    page.get_by_label("Prompt", exact=True).fill("a violet forest at night")
    page.get_by_text("Advanced").click()
    page.get_by_label("Seed").fill("12345678901234567890")
    page.get_by_label("Steps").last.fill("20")
    page.get_by_role("button", name="Generate").click()
    # Live: the node, a step, a preview, without a reload.
    panel = page.locator(".panel").first
    expect(panel.locator("[data-now]")).to_have_text("KSampler", timeout=BROWSER_MS)
    expect(panel.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 20"))
    expect(panel.locator("[data-preview]")).to_be_visible()
    expect(panel.locator(".badge")).to_have_text("Done", timeout=BROWSER_MS)
    image = panel.locator(".output img")
    expect(image).to_be_visible()
    assert image.evaluate("async (img) => { await img.decode(); return img.naturalWidth; }") == 512
    # After a reload, on its own page, in the history.
    panel.locator(".panel-head a").click()
    expect(page.get_by_text("12345678901234567890")).to_be_visible()
    expect(page.get_by_text("a violet forest at night")).to_be_visible()
    page.reload()
    expect(page.locator(".panel .output img")).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.locator(".gallery .tile img").first).to_be_visible()
    expect(page.locator(".gallery .badge").first).to_have_text("Done")


@pytest.mark.browser
def test_a_running_generation_is_right_after_a_reload_and_can_be_canceled(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/text-to-image/")
    page.get_by_text("Advanced").click()
    page.get_by_label("Steps").last.fill("60")
    page.get_by_role("button", name="Generate").click()
    page.locator(".panel-head a").first.click()
    expect(page.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    page.reload()
    expect(page.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge")).to_have_text("Canceled", timeout=BROWSER_MS)


@pytest.mark.browser
def test_a_wrong_value_is_shown_at_its_field_without_losing_the_rest(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/text-to-image/")
    page.get_by_label("Prompt", exact=True).fill("kept")
    page.locator("input[name=width]").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".type-integer.invalid .errorlist")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("kept")
    expect(page.locator(".panel")).to_have_count(0)


@pytest.mark.browser
def test_the_admin_publishes_a_template_and_a_user_runs_it(page: Page) -> None:
    from tests.support.factories import txt2img_graph

    page.goto("/accounts/login/?next=/admin/generations/workflowtemplate/add/")
    page.get_by_label("E-mail address").fill("admin@example.com")
    page.get_by_label("Password").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=title]").fill("Made in the admin")
    page.locator("input[name=slug]").fill("made-in-the-admin")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("textarea[name=workflow]").fill(json.dumps(txt2img_graph()))
    page.get_by_role("button", name="Next").click()
    node = page.locator("fieldset", has=page.locator("legend", has_text="node 6"))
    node.locator("input[type=checkbox]").first.check()
    page.get_by_role("button", name="Save and publish").click()
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()
    page.goto("/")
    page.get_by_role("link", name="Made in the admin").click()
    expect(page.locator("textarea")).to_have_count(1)
    page.locator("textarea").fill("a fox")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel .badge")).to_have_text("Done", timeout=BROWSER_MS)


@pytest.mark.browser
def test_the_api_documentation_works_in_a_browser(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/api/v2/templates/{slug}/jobs")).to_be_visible()
    page.get_by_text("/api/v2/templates", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tr.response .response-col_status").first).to_contain_text("200")
