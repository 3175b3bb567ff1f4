"""Signing in with an OpenID Connect server, and what it must not be able to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.test import Client

from accounts.models import ApiKey, User
from comfysaas.env import SignInProvider
from tests.accounts.guessing import PASSWORD, confirm, sign_in
from tests.accounts.inviting import holder
from tests.support.oidc import Provider, oidc_server, person

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/oidc/acme/login/"


@pytest.fixture(autouse=True)
def open_sign_up(settings: Any) -> None:
    settings.SIGNUP_OPEN = True


@pytest.fixture
def acme(settings: Any) -> Iterator[Provider]:
    with oidc_server() as running:
        (app,) = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {
                "OAUTH_PKCE_ENABLED": True,
                "APPS": [{**app, "settings": {**app["settings"], "server_url": running.url}}],
            }
        }
        yield running


def target_of(page: Any) -> str:
    """Where a page leads that leaves the site by itself."""
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.content.decode())
    assert found is not None, page.content.decode()
    return found[1].replace("&amp;", "&")


def come_back(client: Client, page: Any) -> Any:
    """The answer to what the provider sends the browser back with."""
    back = httpx.get(target_of(page)).headers["Location"]
    return client.get(urlsplit(back).path, dict(parse_qsl(urlsplit(back).query)))


def sign_in_with_acme(client: Client, **query: str) -> Any:
    return come_back(client, client.post(LOGIN, query_params=query))


def signed_in_as(client: Client) -> str | None:
    page = client.get("/accounts/email/")
    return page.wsgi_request.user.email if page.status_code == 200 else None


def test_somebody_new_gets_an_account_with_the_address_that_acme_verified(acme: Provider) -> None:
    client = Client()
    answer = sign_in_with_acme(client)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    user = User.objects.get()
    assert (user.email, user.is_verified, user.has_usable_password()) == ("anna@example.com", True, False)
    assert signed_in_as(client) == "anna@example.com"
    again = Client()
    sign_in_with_acme(again)
    assert signed_in_as(again) == "anna@example.com"
    assert not SocialToken.objects.exists()


def test_the_code_is_bound_to_this_browser_and_this_request(acme: Provider) -> None:
    client, other = Client(), Client()
    page = client.post(LOGIN)
    asked = dict(parse_qsl(urlsplit(target_of(page)).query))
    assert asked["code_challenge_method"] == "S256"
    back = httpx.get(target_of(page)).headers["Location"]
    query = dict(parse_qsl(urlsplit(back).query))
    assert other.get(urlsplit(back).path, query).status_code == 401  # not the browser that began
    assert client.get(urlsplit(back).path, {**query, "state": "another"}).status_code == 401
    assert client.get(urlsplit(back).path, query).status_code == 302
    assert Client().get(urlsplit(back).path, query).status_code == 401
    assert acme.exchanged[0]["code_verifier"]


def test_an_address_that_has_an_account_is_not_taken_over(acme: Provider, owner: User, mailoutbox: Any) -> None:
    acme.claims = person(owner.email.upper())
    client = Client()
    answer = sign_in_with_acme(client)
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/confirm-email/")
    assert signed_in_as(client) is None
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1
    (mail,) = mailoutbox
    assert [each.lower() for each in mail.to] == [owner.email]
    assert "You already have an account" in mail.subject
    assert sign_in(Client(), owner.email, PASSWORD)["Location"] == "/"


def test_an_address_that_an_account_only_claims_is_free_for_its_owner(acme: Provider, owner: User) -> None:
    EmailAddress.objects.create(user=owner, email="anna@example.com", verified=False, primary=False)
    client = Client()
    sign_in_with_acme(client)
    assert signed_in_as(client) == "anna@example.com"
    assert User.objects.get(email="anna@example.com") != owner


def test_the_owner_connects_acme_and_signs_in_with_it(acme: Provider, owner: User, mailoutbox: Any) -> None:
    acme.claims = person("somebody@acme.example")
    client = Client()
    sign_in(client, owner.email, PASSWORD)
    assert sign_in_with_acme(client, process="connect")["Location"] == "/accounts/reauthenticate/"
    assert not SocialAccount.objects.exists()
    assert confirm(client)["Location"] == "/accounts/3rdparty/"
    assert "Acme was connected" in mailoutbox[-1].subject
    new = Client()
    sign_in_with_acme(new)
    assert signed_in_as(new) == owner.email


def test_nobody_connects_an_account_of_acme_that_belongs_to_another(
    acme: Provider, owner: User, stranger: User
) -> None:
    first, second = Client(), Client()
    for client, user in ((first, owner), (second, stranger)):
        sign_in(client, user.email, PASSWORD)
        confirm(client)
    sign_in_with_acme(first, process="connect")
    page = second.get(sign_in_with_acme(second, process="connect")["Location"]).content.decode()
    assert SocialAccount.objects.get().user == owner
    assert "belongs to another account" in page


def test_disconnecting_needs_another_way_in(acme: Provider) -> None:
    client = Client()
    sign_in_with_acme(client)
    row = SocialAccount.objects.get()
    page = client.post("/accounts/3rdparty/", {"account": row.pk})
    assert "Set a password first" in page.content.decode()
    assert SocialAccount.objects.exists()


def test_a_stranger_cannot_disconnect_it(acme: Provider, owner: User, stranger: User) -> None:
    client, other = Client(), Client()
    for each, user in ((client, owner), (other, stranger)):
        sign_in(each, user.email, PASSWORD)
        confirm(each)
    sign_in_with_acme(client, process="connect")
    other.post("/accounts/3rdparty/", {"account": SocialAccount.objects.get().pk})
    assert SocialAccount.objects.exists()
    client.post("/accounts/3rdparty/", {"account": SocialAccount.objects.get().pk})
    assert not SocialAccount.objects.exists()


def test_an_address_that_acme_has_not_verified_is_verified_here(acme: Provider, mailoutbox: Any) -> None:
    acme.claims = person("anna@example.com", is_verified=False)
    client = Client()
    assert sign_in_with_acme(client)["Location"] == "/accounts/confirm-email/"
    assert signed_in_as(client) is None
    assert "Confirm your e-mail address" in mailoutbox[0].subject


@pytest.mark.parametrize(("said", "is_verified"), [("false", False), ("true", True), (None, False), (1, False)])
def test_what_acme_says_of_an_address_counts_only_if_it_is_true(acme: Provider, said: Any, is_verified: bool) -> None:
    acme.claims = {**person("anna@example.com"), "email_verified": said}
    client = Client()
    sign_in_with_acme(client)
    assert (signed_in_as(client) is not None) is is_verified
    assert EmailAddress.objects.get().verified is is_verified


def test_acme_without_an_address_has_people_type_one(acme: Provider, mailoutbox: Any) -> None:
    acme.claims = {"sub": "acme|anna"}
    client = Client()
    assert sign_in_with_acme(client)["Location"] == "/accounts/3rdparty/signup/"
    assert client.post("/accounts/3rdparty/signup/", {"email": "anna@example.com"}).status_code == 302
    assert signed_in_as(client) is None
    assert mailoutbox[0].to == ["anna@example.com"]


@pytest.mark.parametrize("signup", [False, True])
def test_closed_sign_up_is_closed_for_acme_unless_it_is_let_in(acme: Provider, settings: Any, signup: bool) -> None:
    settings.SIGNUP_OPEN = False
    settings.SIGN_IN_PROVIDERS = (
        SignInProvider(
            provider="openid_connect", id="acme", name="Acme", client_id="c", secret="s", server_url="https://a.example",
            signup=signup,
        ),
    )  # fmt: skip
    page = sign_in_with_acme(Client())
    assert User.objects.exists() is signup
    assert signup or "Sign-up is closed" in page.content.decode()


@pytest.mark.parametrize(("address", "is_let_in"), [("anna@example.com", True), ("ben@example.com", False)])
def test_an_invitation_counts_for_the_address_that_acme_verified(
    acme: Provider, settings: Any, address: str, is_let_in: bool
) -> None:
    settings.SIGNUP_OPEN, settings.SIGNUP_BY_INVITATION = False, True
    sign_in_with_acme(holder(address))
    assert User.objects.filter(email="anna@example.com").exists() is is_let_in


@pytest.mark.parametrize("path", ["/token", "/userinfo"])
def test_a_provider_that_fails_in_the_middle_signs_nobody_in(acme: Provider, path: str) -> None:
    acme.broken = {path}
    client = Client()
    page = sign_in_with_acme(client)
    assert page.status_code == 401
    assert "did not work" in page.content.decode()
    assert signed_in_as(client) is None


def test_a_provider_that_is_away_is_said_so(acme: Provider) -> None:
    acme.broken = {"/.well-known/openid-configuration"}
    page = Client().post(LOGIN)
    assert page.status_code == 503
    assert "did not work" in page.content.decode()


def test_a_provider_that_does_not_know_whom_it_signs_in_is_refused(acme: Provider) -> None:
    acme.claims = {"email": "anna@example.com", "email_verified": True}
    assert sign_in_with_acme(Client()).status_code == 503
    assert not User.objects.exists()


def test_somebody_who_changes_their_mind_gets_back(acme: Provider) -> None:
    client = Client()
    asked = dict(parse_qsl(urlsplit(target_of(client.post(LOGIN))).query))
    callback = urlsplit(asked["redirect_uri"]).path
    answer = client.get(callback, {"error": "access_denied", "state": asked["state"]}, follow=True)
    assert "Sign in" in answer.content.decode()


def test_a_deactivated_user_does_not_get_in_by_acme(acme: Provider) -> None:
    sign_in_with_acme(Client())
    User.objects.update(is_active=False)
    client = Client()
    assert sign_in_with_acme(client)["Location"] == "/accounts/inactive/"
    assert signed_in_as(client) is None


def test_a_link_alone_signs_nobody_in(acme: Provider) -> None:
    page = Client().get(LOGIN)
    assert page.status_code == 200
    assert "refresh" not in page.content.decode()
    assert acme.asked == []


def test_nobody_is_sent_to_another_site_afterwards(acme: Provider) -> None:
    assert sign_in_with_acme(Client(), next="https://evil.example/")["Location"] == "/"


def test_a_second_factor_is_asked_for_after_acme_too(acme: Provider) -> None:
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    sign_in_with_acme(Client())
    TOTP.activate(User.objects.get(), generate_totp_secret())
    client = Client()
    assert sign_in_with_acme(client)["Location"].startswith("/accounts/2fa/authenticate/")
    assert signed_in_as(client) is None


def test_an_unknown_provider_is_a_404() -> None:
    assert Client().post("/accounts/oidc/nobody/login/").status_code == 404
    assert EmailAddress.objects.count() == 0


def test_somebody_who_signs_in_with_acme_alone_confirms_by_a_mailed_code(acme: Provider, mailoutbox: Any) -> None:
    client = Client()
    sign_in_with_acme(client)
    data = {"name": "a key", "scopes": ["read"]}
    asked = client.post("/account/keys/", data)
    assert asked["Location"] == "/accounts/reauthenticate/mail/?next=%2Faccount%2Fkeys%2F"
    assert client.get("/accounts/reauthenticate/?next=/account/keys/")["Location"] == asked["Location"]
    assert not mailoutbox  # until somebody asks for it
    assert client.post(asked["Location"], {"send": "1"})["Location"] == asked["Location"]
    (mail,) = mailoutbox
    assert mail.to == ["anna@example.com"]
    code = re.search(r"^([A-Z0-9]{4}-[A-Z0-9]{4})$", mail.body, re.MULTILINE)
    assert code is not None
    page = client.post("/accounts/reauthenticate/mail/", {"code": code[1].lower(), "next": "/account/keys/"})
    assert "csk_" in page.content.decode()  # what was asked for is done
    assert ApiKey.objects.count() == 1
