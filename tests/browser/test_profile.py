"""The profile: a picture, and the browser's time zone as a suggestion."""

from __future__ import annotations

from playwright.sync_api import Browser, FilePayload, expect

from tests.browser.steps import follow, sign_in
from tests.support.pictures import picture
from tests.support.processes import Standalone


def test_the_browsers_time_zone_is_suggested_and_a_picture_shown(browser: Browser, server: Standalone) -> None:
    context = browser.new_context(base_url=server.url, timezone_id="Europe/Lisbon")
    page = context.new_page()
    sign_in(page)
    page.locator("summary[aria-label=Account]").click()
    follow(page.get_by_role("link", name="Settings"))
    expect(page.get_by_text("Your browser is in Europe/Lisbon.")).to_be_visible()
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("Time zone", exact=True)).to_have_value("Europe/Lisbon")
    follow(page.get_by_role("button", name="Save"))
    expect(page.get_by_label("Time zone", exact=True)).to_have_value("Europe/Lisbon")
    expect(page.get_by_text("Your browser is in")).to_be_hidden()

    file = FilePayload(name="me.png", mimeType="image/png", buffer=picture("PNG"))
    page.get_by_label("New picture").set_input_files(file)
    follow(page.get_by_role("button", name="Use this picture"))
    shown = page.locator("header img.avatar")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    follow(page.get_by_role("button", name="Remove the picture"))
    expect(page.locator("header img.avatar")).to_have_count(0)
    context.close()
