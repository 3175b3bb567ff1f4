"""The log of a webhook, which renews itself while a message waits."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.steps import sign_in


def test_what_a_reader_opened_in_the_log_stays_open(page: Page) -> None:
    """Nobody answers at this address, so the message waits for its next attempt."""
    sign_in(page)
    page.goto("/account/webhooks/")
    page.get_by_label("Address").fill("https://nobody.invalid/hook")
    page.get_by_role("button", name="Add webhook").click()
    page.get_by_role("button", name="Send a test").click()
    message = page.locator("#deliveries details")
    message.locator("summary").click()
    for _ in range(2):
        with page.expect_response("**/log/"):
            pass
    expect(message.get_by_text("Attempts")).to_be_visible()
    expect(message.locator("summary")).to_be_focused()
