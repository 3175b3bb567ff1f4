"""A team from its creation to a member's removal, with two people in two browsers."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import is_error, new_page
from tests.browser.steps import ADMIN_PASSWORD, follow, sign_in, sign_in_here
from tests.support.processes import Standalone

GUEST = "admin@example.com"


def work_in(page: Page, workspace: str) -> None:
    """Choose it in the page header."""
    page.locator(".switcher summary").click()
    follow(page.locator(".switcher").get_by_role("button", name=workspace))


def test_two_people_share_a_team(page: Page, browser: Browser, server: Standalone) -> None:
    sign_in(page)
    page.goto("/account/workspaces/")
    page.get_by_label("Name").fill("Two people")
    follow(page.get_by_role("button", name="Create team"))
    expect(page.locator(".switcher summary")).to_have_text("Two people")
    follow(page.get_by_role("link", name="Invite people"))
    page.get_by_label("E-mail address").fill(GUEST)
    follow(page.get_by_role("button", name="Invite"))
    expect(page.get_by_role("heading", name=f"We wrote to {GUEST}")).to_be_visible()
    link = page.get_by_label("The link").input_value()

    with new_page(browser, server.url, is_error) as guest:
        guest.goto(link)
        expect(guest.get_by_role("heading", name="Join “Two people”")).to_be_visible()
        follow(guest.get_by_role("link", name="Sign in"))
        sign_in_here(guest, GUEST, ADMIN_PASSWORD)
        follow(guest.get_by_role("button", name=f"Join as {GUEST}"))
        expect(guest.locator(".switcher summary")).to_have_text("Two people")
        work_in(guest, "Personal")
        expect(guest.locator(".switcher summary")).to_have_text("Personal")
        work_in(guest, "Two people")

        follow(page.get_by_role("link", name="Two people", exact=True))
        expect(page.get_by_role("heading", name="2 members")).to_be_visible()
        follow(page.get_by_role("link", name=GUEST))
        page.get_by_label("Role", exact=True).select_option("admin")
        page.get_by_label("Max waiting").fill("3")
        follow(page.get_by_role("button", name="Save"))
        follow(page.get_by_role("link", name=GUEST))
        expect(page.get_by_label("Max waiting")).to_have_value("3")
        page.once("dialog", lambda dialog: dialog.accept())
        follow(page.get_by_role("button", name="Remove from the team"))
        expect(page.get_by_role("heading", name="1 member")).to_be_visible()
        guest.goto("/")
        expect(guest.locator(".switcher summary")).to_have_text("Personal")
