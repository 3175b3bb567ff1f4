"""A template's form: what stays in it when a value is wrong, and what it says when sending it fails."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.steps import sign_in, sign_in_here


def test_a_wrong_value_is_shown_at_its_field_without_losing_the_rest(page: Page) -> None:
    sign_in(page)
    page.goto("/templates/text-to-image/")
    page.get_by_label("Prompt", exact=True).fill("kept")
    page.locator("input[name=width]").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".type-integer.invalid .errorlist")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("kept")
    expect(page.locator(".panel")).to_have_count(0)


def test_a_picture_stays_chosen_when_another_field_is_wrong(page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "#4080c0").save(photo)
    sign_in(page)
    page.goto("/templates/image-to-image/")
    page.locator("input[type=file]").first.set_input_files(photo)
    page.locator("input[name=width]").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".type-integer.invalid .errorlist")).to_be_visible()
    expect(page.locator("img.chosen")).to_have_attribute("src", re.compile("^/assets/.*/thumbnail/$"))
    page.locator("input[name=width]").fill("64")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel").first).to_be_visible()


def test_a_form_of_somebody_who_is_signed_out_says_so_or_leads_to_the_sign_in(
    failing_page: Page, tmp_path: Path
) -> None:
    page = failing_page
    photo = tmp_path / "photo.png"
    Image.effect_noise((1024, 1024), 90).save(photo)  # more than anybody may send who is not signed in
    sign_in(page)
    page.goto("/templates/image-to-image/")
    page.locator("input[type=file]").first.set_input_files(photo)
    page.context.clear_cookies()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#notices")).to_contain_text("You are signed out.")
    page.get_by_role("link", name="Sign in again").click()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=%2Ftemplates%2Fimage-to-image%2F$"))
    sign_in_here(page)
    expect(page).to_have_url(re.compile("/templates/image-to-image/$"))
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Generate").click()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=%2Ftemplates%2Fimage-to-image%2F$"))


def test_whatever_goes_wrong_with_a_form_is_said_in_words(failing_page: Page) -> None:
    page = failing_page
    sign_in(page)
    page.goto("/templates/text-to-image/")
    page.get_by_label("Prompt", exact=True).fill("kept")
    notices = page.locator("#notices")
    for status, words in (
        (500, "Something went wrong on our side, and nothing was changed."),
        (413, "too large"),
        (404, "no longer exists"),
    ):
        page.route(
            "**/templates/text-to-image/",
            lambda route, _request, status=status: route.fulfill(status=status, body="<html><h1>a proxy</h1></html>"),
        )
        page.get_by_role("button", name="Generate").click()
        expect(notices).to_contain_text(words)
        page.unroute("**/templates/text-to-image/")
    page.context.set_offline(True)
    page.get_by_role("button", name="Generate").click()
    expect(notices).to_contain_text("The server cannot be reached.")
    page.context.set_offline(False)
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Generate").click()
    expect(notices).to_contain_text("The page was open too long")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("kept")
    page.reload()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel").first).to_be_visible()
    expect(notices).to_be_empty()
