"""A server and a Chromium for the tests of pages. What people do on pages is in `steps.py`.

`page` is a fresh browser window on `server`, and fails its test on any script error or breach of the content security
policy. `failing_page` is one whose requests may fail. Every test here has the mark `browser`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.steps import ADMIN_PASSWORD, DEMO_PASSWORD
from tests.support.processes import Standalone
from tests.support.waiting import patient

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSER_MS = patient(30_000)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is in this folder; pytest passes the items of all folders."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """One server for all browser tests, which therefore make templates and jobs with names of their own."""
    passwords = {"ADMIN_PASSWORD": ADMIN_PASSWORD, "DEMO_PASSWORD": DEMO_PASSWORD}
    running = Standalone(tmp_path_factory.mktemp("standalone"), **passwords)
    yield running
    running.stop()


@pytest.fixture(scope="package")
def browser(chromium_path: str) -> Iterator[Browser]:
    """Ends with this folder's tests: while Playwright runs, no test of another folder could run an event loop."""
    expect.set_options(timeout=BROWSER_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield running
        running.close()


@contextmanager
def new_page(browser: Browser, url: str, is_problem: Callable[[ConsoleMessage], bool]) -> Iterator[Page]:
    """A page with cookies of its own. At the end, AssertionError for script errors and what `is_problem` picks."""
    context = browser.new_context(base_url=url)
    context.set_default_timeout(BROWSER_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if is_problem(message) else None)
    yield page
    context.close()
    assert not problems


def is_error(message: ConsoleMessage) -> bool:
    """True for errors, except for the note that Chromium makes of a refused form."""
    return message.type == "error" and "status of 422" not in message.text


@pytest.fixture
def page(browser: Browser, server: Standalone) -> Iterator[Page]:
    """A page that fails the test on any error in the console."""
    with new_page(browser, server.url, is_error) as opened:
        yield opened


@pytest.fixture
def failing_page(browser: Browser, server: Standalone) -> Iterator[Page]:
    """A page whose requests may fail, which Chromium notes; breaches of the content security policy fail the test."""
    with new_page(browser, server.url, lambda message: "Policy" in message.text) as opened:
        yield opened
