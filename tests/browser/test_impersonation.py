"""Staff look at a person, become them under a banner, and come back."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.steps import ADMIN_PASSWORD, follow, sign_in_here


def test_the_banner_is_on_every_page_until_it_is_ended(page: Page) -> None:
    page.goto("/accounts/login/?next=/admin/accounts/user/?q=demo@example.com")
    sign_in_here(page, "admin@example.com", ADMIN_PASSWORD)
    follow(page.get_by_role("link", name="Look"))
    expect(page.get_by_role("heading", name="What you can do")).to_be_visible()
    person = page.url
    page.get_by_label("Why you impersonate this person").fill("Ticket 7")
    follow(page.get_by_role("button", name="Impersonate"))
    page.get_by_label("Password").fill(ADMIN_PASSWORD)
    follow(page.get_by_role("button", name="Continue"))

    banner = page.get_by_role("complementary", name="Impersonation")
    for address in ("/generations/", "/", "/account/storage/", "/api/docs", "/account/workspaces/"):
        page.goto(address)
        expect(banner).to_contain_text("You, admin@example.com, are impersonating demo@example.com.")
    page.goto("/")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(banner).to_be_in_viewport()
    expect(page.get_by_role("link", name="Admin")).to_have_count(0)

    follow(banner.get_by_role("button", name="End"))
    assert page.url == person
    expect(banner).to_have_count(0)
    expect(page.get_by_text("stopped impersonating").first).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("link", name="Admin")).to_be_visible()


def test_suspending_asks_first_and_reinstating_follows(page: Page) -> None:
    page.goto("/accounts/login/?next=/admin/accounts/user/add/")
    sign_in_here(page, "admin@example.com", ADMIN_PASSWORD)
    page.get_by_label("E-mail").fill("to-suspend@example.com")
    page.locator("input[name=password1]").fill("correct horse battery")
    page.locator("input[name=password2]").fill("correct horse battery")
    follow(page.get_by_role("button", name="Save", exact=True))
    follow(page.get_by_role("link", name="Look at this person"))
    page.get_by_label("Why you suspend this person").fill("Spam")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_role("button", name="Reinstate")).to_have_count(0)
    page.once("dialog", lambda dialog: dialog.accept())
    follow(page.get_by_role("button", name="Suspend"))
    expect(page.get_by_text("since").first).to_contain_text("Spam")
    follow(page.get_by_role("button", name="Reinstate"))
    expect(page.get_by_role("button", name="Suspend")).to_be_visible()
