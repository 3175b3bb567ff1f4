"""Importing several files at once: by dropping, with the keyboard, and over a bad connection."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from generations.studio.starters import starters
from tests.browser.steps import drop, follow, to_the_import
from tests.support.archives import zipped


def workflow(text: str) -> bytes:
    """One of its own for each text."""
    graph = starters()[0]["graph"]
    return json.dumps({**graph, "note": {"class_type": "CLIPTextEncode", "inputs": {"text": text}}}).encode()


def test_several_files_are_dropped_and_a_bad_one_stops_none(page: Page) -> None:
    to_the_import(page)
    archive = zipped({"dogs.json": workflow("dogs"), "README.md": b"hello", "again.json": workflow("cats")})
    drop(page, ".studio-drop", ("cats.json", workflow("cats")), ("broken.json", b'{"1": '), ("more.zip", archive))
    title = page.locator("[data-report-title]")
    expect(title).to_have_text("2 made, 1 already here, 1 skipped, 1 refused.")
    expect(title).to_be_focused()
    lines = page.locator(".studio-line")
    expect(lines.locator("strong")).to_have_text(
        ["cats.json", "broken.json", "more.zip/dogs.json", "more.zip/README.md", "more.zip/again.json"]
    )
    expect(lines.nth(1)).to_contain_text("It may be cut off")
    follow(lines.nth(2).get_by_role("link", name="Dogs"))
    expect(page.get_by_role("heading", name="Dogs").first).to_be_visible()
    # A template that exists takes one, and says so before anything is sent.
    page.get_by_role("button", name="Other workflow …").click()
    drop(page, "dialog .studio-drop", ("a.json", b"{}"), ("b.json", b"{}"))
    expect(page.locator("dialog [data-drop-name]")).to_have_text("Choose one file: a template has a single workflow.")


def test_several_files_are_chosen_with_the_keyboard_and_reading_them_is_stopped(page: Page) -> None:
    to_the_import(page)
    files = [
        {"name": f"birds {number}.json", "mimeType": "application/json", "buffer": workflow(f"birds {number}")}
        for number in range(3)
    ]
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/import/", hold)
    page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    page.get_by_role("button", name="Make a template", exact=True).press("Enter")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    expect(page.locator("[data-report-title]")).to_have_text("Reading 1 of 3: birds 0.json …")
    stop.press("Enter")
    held.pop().continue_()
    expect(page.locator("[data-report-title]")).to_have_text("Stopped. 1 made.")


def test_file_that_does_not_get_through_is_named_and_the_next_one_is_tried(failing_page: Page) -> None:
    page = failing_page
    to_the_import(page)
    answers: list[Callable[[Route], None]] = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503),
        lambda route: route.fulfill(status=200, body="<html>Sign in</html>"),
        lambda route: route.continue_(),
    ]

    def answer(route: Route) -> None:
        answers.pop(0)(route)

    page.route("**/import/", answer)
    drop(page, ".studio-drop", *((f"fish {number}.json", workflow(f"fish {number}")) for number in range(4)))
    expect(page.locator("[data-report-title]")).to_have_text("1 made, 3 refused.")
    expect(page.locator(".studio-line")).to_contain_text(
        ["The server cannot be reached", "Something went wrong on our side", "That did not work", "Fish 3"]
    )
    # Too much is not sent at all: no route answers any more.
    form = page.locator("[data-several]")
    form.evaluate("(form) => (form.dataset.mostBytes = 100)")
    drop(page, ".studio-drop", ("big.json", workflow("big")), ("large.json", workflow("large")))
    expect(page.locator("[data-report-title]")).to_have_text("2 refused.")
    expect(page.locator(".studio-line").first).to_contain_text("This is too large for the server.")
    form.evaluate("(form) => (form.dataset.mostFiles = 1)")
    drop(page, ".studio-drop", ("a.json", b"{}"), ("b.json", b"{}"))
    expect(page.locator(".studio-line")).to_have_text(re.compile("drop at most 1 files at a time, not 2"))
