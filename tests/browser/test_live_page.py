"""A run while it runs: steps and previews without a reload, the same after one, and cancelling."""

from __future__ import annotations

import re

from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.steps import follow, sign_in
from tests.support.waiting import eventually


def test_the_whole_path_in_a_browser(page: Page) -> None:
    sign_in(page)
    follow(page.get_by_role("link", name="Text to image"))
    page.get_by_label("Prompt", exact=True).fill("a violet forest at night")
    page.get_by_text("Advanced").click()
    page.get_by_label("Seed").fill("12345678901234567890")
    page.get_by_label("Steps").last.fill("60")
    page.get_by_role("button", name="Generate").click()
    # Live: the node, a step, a preview, without a reload.
    panel = page.locator(".panel").first
    expect(panel.locator("[data-now]")).to_have_text("KSampler")
    expect(panel.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    expect(panel.locator("[data-preview]")).to_be_visible()
    expect(panel.locator(".badge")).to_have_text("Done")
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


def test_a_running_generation_is_right_after_a_reload_and_can_be_canceled(page: Page) -> None:
    sign_in(page)
    page.goto("/templates/text-to-image/")
    page.get_by_text("Advanced").click()
    page.get_by_label("Steps").last.fill("60")
    page.get_by_role("button", name="Generate").click()
    page.locator(".panel-head a").first.click()
    expect(page.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    page.reload()
    expect(page.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge")).to_have_text("Canceled")


def test_an_answer_to_cancel_that_comes_late_does_not_hide_the_end(page: Page) -> None:
    sign_in(page)
    page.goto("/templates/text-to-image/")
    page.get_by_text("Advanced").click()
    page.get_by_label("Steps").last.fill("60")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel [data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    answers: list[tuple[Route, APIResponse]] = []
    refreshes: list[Route] = []

    def hold(route: Route) -> None:
        refreshes.append(route)

    page.route("**/cancel/", lambda route: answers.append((route, route.fetch())))
    page.route("**/panel/", hold)
    with page.expect_request("**/panel/"):
        page.get_by_role("button", name="Cancel").click()
    eventually(lambda: page.title() and answers, what="the answer")  # page.title() lets Playwright work
    route, answer = answers.pop()
    route.fulfill(response=answer)
    expect(page.locator(".badge")).to_have_text("Stopping")
    for refresh in refreshes:
        refresh.continue_()
    expect(page.locator(".badge")).to_have_text("Canceled")
