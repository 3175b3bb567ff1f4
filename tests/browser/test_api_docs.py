"""The API's documentation, tried out by somebody signed in and by somebody with a key."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.browser.steps import DEMO_PASSWORD, sign_in


def test_the_api_documentation_works_in_a_browser(page: Page) -> None:
    sign_in(page)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/api/v2/templates/{slug}/jobs")).to_be_visible()
    page.get_by_text("/api/v2/templates", exact=True).first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tr.response .response-col_status").first).to_contain_text("200")


def test_a_key_is_made_on_a_page_opens_the_documentation_and_is_revoked(page: Page, browser: Browser) -> None:
    """The whole way of a developer: key, typed operation, a job, and the end of the key."""
    sign_in(page)
    page.goto("/account/keys/")
    page.get_by_label("Name").fill("From a test")
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Password").fill(DEMO_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    secret = page.get_by_label("The key").input_value()

    stranger = browser.new_context(base_url=page.url.partition("/account")[0]).new_page()
    problems: list[str] = []
    stranger.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    stranger.goto("/api/docs")
    typed = stranger.locator("[id*=run_text_to_image]").first
    expect(stranger.locator(".opblock").first).to_be_visible()
    expect(typed).to_have_count(0)
    stranger.locator("button.authorize").first.click()
    stranger.locator(".auth-container").filter(has_text="ApiKeyAuth").locator("input").fill(secret)
    stranger.locator(".modal-ux button[type=submit]").first.click()
    stranger.locator(".modal-ux .btn-done").first.click()
    expect(typed).to_be_visible()
    typed.click()
    typed.locator(".try-out__btn").click()
    typed.locator(".execute").click()
    expect(typed.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    assert problems == []
    stranger.context.close()

    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/account/keys/")
    page.locator("article").filter(has_text="From a test").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("was revoked")).to_be_visible()
    answer = httpx.get(page.url.replace("/account/keys/", "/api/v2/me"), headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 401
