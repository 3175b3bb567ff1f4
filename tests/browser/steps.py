"""What people do on pages, in steps that several tests share."""

from __future__ import annotations

import base64

from playwright.sync_api import Locator, Page, expect

ADMIN_PASSWORD, DEMO_PASSWORD = "an admin's password", "a demo password"


def sign_in(page: Page) -> None:
    """From the start page to the templates, as the demo user."""
    page.goto("/")
    sign_in_here(page)
    expect(page.get_by_role("heading", name="What do you want to make?")).to_be_visible()


def sign_in_here(page: Page, email: str = "demo@example.com", password: str = DEMO_PASSWORD) -> None:
    """On the sign-in form that is open, until the page behind it is loaded."""
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    follow(page.get_by_role("button", name="Sign in", exact=True))


def follow(link: Locator) -> None:
    """Clicks what leads to another page and waits until that is loaded: until then its scripts hear nothing of what is
    clicked, and its forms go without them.
    """
    with link.page.expect_navigation():
        link.click()


def to_the_import(page: Page) -> None:
    """Signs in where an admin makes new templates."""
    page.goto("/accounts/login/?next=/admin/generations/workflowtemplate/add/")
    sign_in_here(page, "admin@example.com", ADMIN_PASSWORD)
    expect(page.locator(".studio-drop")).to_be_visible()
    page.wait_for_load_state("networkidle")


def drop(page: Page, selector: str, *files: tuple[str, bytes]) -> None:
    """Drops these files, each a name and its bytes, on an element."""
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, text] of files) {
                const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
                transfer.items.add(new File([bytes], name));
            }
            return transfer;
        }""",
        [[name, base64.b64encode(content).decode()] for name, content in files],
    )
    page.dispatch_event(selector, "drop", {"dataTransfer": transfer})


def open_in_studio(page: Page, name: str, content: bytes) -> None:
    """Drops a workflow where new templates are made, and waits for the studio: until it is loaded, its scripts hear
    nothing of what is clicked.
    """
    drop(page, ".studio-drop", (name, content))
    page.locator("[data-studio]").wait_for()
    page.wait_for_load_state()
