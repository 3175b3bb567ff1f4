"""Signing up and in: mails over SMTP, passkeys in Chromium's virtual authenticator, and an OpenID Connect server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.totp.internal.auth import yield_hotp_counters_from_time as counters
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.browser.conftest import is_error, new_page
from tests.browser.steps import DEMO_PASSWORD, follow
from tests.support.oidc import Provider, oidc_server, person
from tests.support.processes import Standalone, free_port
from tests.support.smtp import Mailbox, mail_server
from tests.support.waiting import eventually

PASSWORD, ANOTHER = "correct horse battery", "another horse battery"


class Site(NamedTuple):
    """A site with a mail server and a provider."""

    url: str
    mail_port: int
    acme: Provider
    server: Standalone


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        acme, mail_port = stack.enter_context(oidc_server()), free_port()
        provider = {
            "provider": "openid_connect", "id": "acme", "name": "Acme", "client_id": "comfysaas", "secret": "s",
            "server_url": acme.url,
        }  # fmt: skip
        server = Standalone(
            tmp_path_factory.mktemp("sign-in"), ADMIN_PASSWORD=PASSWORD, DEMO_PASSWORD=DEMO_PASSWORD,
            SIGNUP_OPEN="true", SIGN_IN_PROVIDERS=json.dumps([provider]),
            EMAIL_HOST="127.0.0.1", EMAIL_PORT=str(mail_port), EMAIL_SECURITY="none",
        )  # fmt: skip
        stack.callback(server.stop)
        # Browsers make passkeys for names alone.
        yield Site(server.url.replace("127.0.0.1", "localhost"), mail_port, acme, server)


@pytest.fixture
def mailbox(site: Site) -> Iterator[Mailbox]:
    with mail_server(site.mail_port) as running:
        yield running


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Page]:
    """A window that fails the test on any error in the console."""
    with new_page(browser, site.url, is_error) as opened:
        yield opened


def link_in(mailbox: Mailbox, to: str, pattern: str) -> str:
    """The path of the link in the newest mail to this address, which its text and its HTML have."""

    def look() -> str | None:
        for mail in reversed(mailbox.received):
            bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
            assert all(bodies)
            links = [re.search(rf"https?://[^\s\"<]+{pattern}[^\s\"<]*", body.get_content()) for body in bodies if body]
            if mail["To"] == to and links[0]:
                assert links[1] is not None
                assert links[1][0] == links[0][0]
                return urlsplit(links[0][0]).path
        return None

    return eventually(look, seconds=30, what=f"a mail to {to} with {pattern}")


def sign_up(tab: Page, mailbox: Mailbox, email: str) -> None:
    """From the start page to the templates, with a new account."""
    tab.goto("/")
    tab.get_by_role("link", name="Sign up").click()
    tab.get_by_label("E-mail address").fill(email)
    tab.get_by_label("Password", exact=True).fill(PASSWORD)
    tab.get_by_label("Password (again)").fill(PASSWORD)
    follow(tab.get_by_role("button", name="Create account"))
    expect(tab.get_by_role("heading", name="Confirm your address")).to_be_visible()
    tab.goto(link_in(mailbox, email, "/accounts/confirm-email/"))
    follow(tab.get_by_role("button", name="Confirm"))
    expect(tab.get_by_role("heading", name="What do you want to make?")).to_be_visible()


def sign_out(tab: Page) -> None:
    tab.goto("/accounts/logout/")
    follow(tab.locator("main").get_by_role("button", name="Sign out"))


def enter(tab: Page, email: str, password: str = PASSWORD) -> None:
    """The form of the sign-in, sent."""
    tab.goto("/accounts/login/")
    tab.get_by_label("E-mail address").fill(email)
    tab.get_by_label("Password").fill(password)
    follow(tab.get_by_role("button", name="Sign in", exact=True))


def confirm(tab: Page, password: str = PASSWORD) -> None:
    """The page that asks once more, before what is dangerous."""
    expect(tab.get_by_role("heading", name="Is it you?")).to_be_visible()
    tab.get_by_label("Password").fill(password)
    follow(tab.get_by_role("button", name="Continue"))


def device(tab: Page) -> tuple[CDPSession, str]:
    """A phone or computer that keeps passkeys: the session that controls it, and its id."""
    control = tab.context.new_cdp_session(tab)
    control.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    return control, control.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


def expect_signed_in(tab: Page) -> None:
    expect(tab.get_by_role("heading", name="What do you want to make?")).to_be_visible()


def test_a_stranger_becomes_a_user_and_resets_a_password(tab: Page, mailbox: Mailbox) -> None:
    email = "anna@example.com"
    sign_up(tab, mailbox, email)
    sign_out(tab)
    tab.goto("/accounts/login/")
    follow(tab.get_by_role("link", name="Forgot your password?"))
    tab.get_by_label("E-mail address").fill(email)
    follow(tab.get_by_role("button", name="Send the link"))
    link = link_in(mailbox, email, "/accounts/password/reset/key/")
    tab.goto(link)
    tab.get_by_label("New password", exact=True).fill(ANOTHER)
    tab.get_by_label("New password (again)").fill(ANOTHER)
    follow(tab.get_by_role("button", name="Change password"))
    enter(tab, email, ANOTHER)
    expect_signed_in(tab)
    sign_out(tab)
    tab.goto(link)
    expect(tab.get_by_role("heading", name="This link no longer works")).to_be_visible()


def test_a_mail_that_found_no_server_arrives_once_there_is_one(tab: Page, site: Site) -> None:
    tab.goto("/accounts/password/reset/")
    tab.get_by_label("E-mail address").fill("demo@example.com")
    follow(tab.get_by_role("button", name="Send the link"))
    expect(tab.get_by_role("heading", name="Check your e-mail")).to_be_visible()
    site.server.process.said("A mail was not sent and is tried again")
    with mail_server(site.mail_port) as late:
        assert link_in(late, "demo@example.com", "/accounts/password/reset/key/")


def test_a_passkey_signs_in_and_a_lost_one_locks_nobody_out(tab: Page, mailbox: Mailbox) -> None:
    email = "ben@example.com"
    sign_up(tab, mailbox, email)
    control, phone = device(tab)
    tab.goto("/accounts/2fa/webauthn/add/")
    confirm(tab)
    tab.get_by_label("Name").fill("Phone")
    follow(tab.get_by_role("button", name="Add"))
    expect(tab.get_by_text("The passkey is added.")).to_be_visible()
    codes = tab.get_by_label("Unused codes").get_by_role("listitem").all_inner_texts()
    assert len(codes) == 10
    assert control.send("WebAuthn.getCredentials", {"authenticatorId": phone})["credentials"][0]["isResidentCredential"]

    sign_out(tab)
    tab.goto("/accounts/login/")
    follow(tab.get_by_role("button", name="Sign in with a passkey"))
    expect_signed_in(tab)

    sign_out(tab)  # its second factor, after the password
    enter(tab, email)
    expect(tab.get_by_role("heading", name="Second factor")).to_be_visible()
    follow(tab.get_by_role("button", name="Use a passkey or security key"))
    expect_signed_in(tab)

    sign_out(tab)  # the phone is lost
    control.send("WebAuthn.clearCredentials", {"authenticatorId": phone})
    control.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": phone})
    device(tab)  # another one, which has no passkey
    tab.goto("/accounts/login/")
    tab.get_by_role("button", name="Sign in with a passkey").click()
    expect(tab.get_by_text("The passkey did not work.")).to_be_visible()
    enter(tab, email)
    tab.get_by_label("Code").fill(codes[0])
    follow(tab.get_by_role("button", name="Sign in", exact=True))
    expect_signed_in(tab)
    tab.goto("/accounts/2fa/webauthn/")
    follow(tab.get_by_role("link", name="Remove"))
    confirm(tab)
    follow(tab.get_by_role("button", name="Remove"))
    expect(tab.get_by_text("The passkey is removed.")).to_be_visible()
    sign_out(tab)
    enter(tab, email)
    expect_signed_in(tab)


def test_an_authenticator_app_is_set_up_and_asked_for(tab: Page, mailbox: Mailbox) -> None:
    email = "cleo@example.com"
    sign_up(tab, mailbox, email)
    tab.goto("/accounts/2fa/")
    follow(tab.get_by_role("link", name="Set up"))
    confirm(tab)
    expect(tab.get_by_role("img", name="QR code")).to_be_visible()
    secret = tab.get_by_label("Secret").input_value()
    tab.get_by_label("Authenticator code").fill(format_hotp_value(hotp_value(secret, next(iter(counters())))))
    follow(tab.get_by_role("button", name="Switch on"))
    codes = tab.get_by_label("Unused codes").get_by_role("listitem").all_inner_texts()
    sign_out(tab)
    enter(tab, email)
    tab.goto("/")
    expect(tab.get_by_role("heading", name="Second factor")).to_be_visible()  # not signed in yet
    tab.get_by_label("Code").fill(codes[1])
    follow(tab.get_by_role("button", name="Sign in", exact=True))
    expect_signed_in(tab)


def test_acme_signs_somebody_new_in_and_takes_no_account_over(tab: Page, site: Site, mailbox: Mailbox) -> None:
    site.acme.claims = person("dora@example.com")
    tab.goto("/")
    tab.get_by_role("button", name="Sign in with Acme").click()
    expect_signed_in(tab)
    tab.goto("/accounts/3rdparty/")
    expect(tab.locator("main").get_by_text("dora@example.com")).to_be_visible()

    sign_out(tab)
    site.acme.claims = person("demo@example.com")
    tab.goto("/")
    tab.get_by_role("button", name="Sign in with Acme").click()
    expect(tab.get_by_role("heading", name="Confirm your address")).to_be_visible()
    tab.goto("/")
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    assert link_in(mailbox, "demo@example.com", "/accounts/password/reset/")


def test_signing_out_everywhere_ends_what_is_open_elsewhere(tab: Page, browser: Browser, site: Site) -> None:
    enter(tab, "demo@example.com", DEMO_PASSWORD)
    with new_page(browser, site.url, is_error) as other:
        enter(other, "demo@example.com", DEMO_PASSWORD)
        expect_signed_in(other)
        tab.goto("/accounts/sessions/")
        expect(tab.get_by_text("This browser")).to_have_count(1)
        follow(tab.get_by_role("button", name="Sign out everywhere else"))
        expect(tab.get_by_text("You are signed out everywhere else.")).to_be_visible()
        other.goto("/")
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        tab.goto("/")
        expect_signed_in(tab)


def test_a_new_address_takes_the_place_of_the_old_one_once_it_is_confirmed(tab: Page, mailbox: Mailbox) -> None:
    old, new = "eve@example.com", "eve@example.org"
    sign_up(tab, mailbox, old)
    tab.goto("/accounts/email/")
    tab.get_by_label("New address").fill(new)
    follow(tab.get_by_role("button", name="Change address"))
    confirm(tab)
    expect(tab.get_by_text(f"{new} takes its place")).to_be_visible()
    tab.goto(link_in(mailbox, new, "/accounts/confirm-email/"))
    follow(tab.get_by_role("button", name="Confirm"))
    tab.goto("/accounts/email/")
    expect(tab.get_by_text(f"You sign in as {new}")).to_be_visible()
    eventually(
        lambda: any(mail["To"] == old and "was changed" in mail["Subject"] for mail in mailbox.received),
        seconds=30,
        what="a mail to the old address",
    )
    sign_out(tab)
    enter(tab, new)
    expect_signed_in(tab)


@pytest.mark.parametrize("width", [390, 1300])
def test_pages_are_no_wider_than_the_screen(tab: Page, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    for path in ("login", "signup", "password/reset", "inactive", "3rdparty/login/cancelled"):
        tab.goto(f"/accounts/{path}/")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
    enter(tab, "demo@example.com", DEMO_PASSWORD)
    for path in ("email", "password/change", "2fa", "3rdparty", "sessions", "logout"):
        tab.goto(f"/accounts/{path}/")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("width", [360, 390])
def test_all_of_the_header_is_on_a_phone_also_for_staff(tab: Page, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    enter(tab, "admin@example.com")
    avatar = tab.locator("header summary[aria-label=Account]").bounding_box()
    brand = tab.locator("header .brand img").bounding_box()
    assert avatar is not None
    assert brand is not None
    assert width - avatar["x"] - avatar["width"] >= brand["x"] > 5  # as far from its edge as the brand
