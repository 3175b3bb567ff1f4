"""Authenticator apps, recovery codes and who may do without them. Passkeys: tests/browser/test_sign_in.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.totp.internal.auth import yield_hotp_counters_from_time as counters
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory

from accounts import audit, second_factor
from accounts.models import AuditEntry, User
from tests.accounts.guessing import PASSWORD, confirm, sign_in
from tests.accounts.test_sign_in import NEW, reset

pytestmark = pytest.mark.django_db


def code_of(secret: str) -> str:
    """What the app shows at the moment."""
    found: str = format_hotp_value(hotp_value(secret, next(iter(counters()))))
    return found


@pytest.fixture
def secret(owner: User) -> str:
    """The owner's second factor."""
    found: str = generate_totp_secret()
    TOTP.activate(owner, found)
    return found


def half_way(owner: User) -> Client:
    """A browser that knows the password."""
    client = Client()
    assert sign_in(client, owner.email, PASSWORD)["Location"].startswith("/accounts/2fa/authenticate/")
    return client


def is_signed_in(client: Client) -> bool:
    return client.get("/account/keys/").status_code == 200


def test_setting_it_up_gives_recovery_codes_and_a_mail(
    owner: User, mailoutbox: Any, django_capture_on_commit_callbacks: Any
) -> None:
    client = Client()
    sign_in(client, owner.email, PASSWORD)
    assert client.get("/accounts/2fa/totp/activate/")["Location"].startswith("/accounts/reauthenticate/")
    confirm(client)
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    found = re.search(r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"', page)
    assert found is not None
    assert "data:image/svg+xml" in page
    refused = client.post("/accounts/2fa/totp/activate/", {"code": "000000"})
    assert "Incorrect code" in refused.content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        done = client.post("/accounts/2fa/totp/activate/", {"code": code_of(found[1])})
    assert done["Location"] == "/accounts/2fa/recovery-codes/"
    assert len(re.findall(r"<li>\d{8}</li>", client.get(done["Location"]).content.decode())) == 10
    assert "authenticator app protects" in mailoutbox[0].subject


def test_the_password_alone_opens_nothing(owner: User, secret: str) -> None:
    client = half_way(owner)
    for path in ("/", "/account/keys/", "/accounts/email/", "/accounts/2fa/", "/accounts/sessions/", "/api/v2/me"):
        assert client.get(path).status_code in {302, 401}, path
    assert not is_signed_in(client)
    assert client.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})["Location"] == "/"
    assert is_signed_in(client)


def test_a_code_works_once(owner: User, secret: str) -> None:
    code = code_of(secret)
    assert half_way(owner).post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302
    again = half_way(owner).post("/accounts/2fa/authenticate/", {"code": code})
    assert "Incorrect code" in again.content.decode()


@pytest.mark.parametrize("again", ["{}", "{:.3}-{}", " {} "])
def test_a_code_works_once_for_as_long_as_it_is_accepted(owner: User, secret: str, again: str) -> None:
    """allauth forgets after 30 seconds that it was used, and accepts it for 90."""
    code = code_of(secret)
    half_way(owner).post("/accounts/2fa/authenticate/", {"code": code})
    cache.delete(f"allauth.mfa.totp.used?user={owner.pk}&code={code}")
    typed = {"{}": code, "{:.3}-{}": f"{code[:3]}-{code[3:]}", " {} ": f" {code} "}[again]
    assert half_way(owner).post("/accounts/2fa/authenticate/", {"code": typed}).status_code == 200


def test_a_recovery_code_works_once(owner: User, secret: str) -> None:
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    code = RecoveryCodes.activate(owner).get_unused_codes()[0]
    assert half_way(owner).post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302
    assert half_way(owner).post("/accounts/2fa/authenticate/", {"code": code}).status_code == 200


def test_codes_cannot_be_guessed(owner: User, secret: str) -> None:
    answers = []
    for _ in range(8):
        client = half_way(owner)
        answers.append(client.post("/accounts/2fa/authenticate/", {"code": "000000"}).content.decode())
    assert "Too many" in answers[-1]
    client = half_way(owner)
    client.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert not is_signed_in(client)


def test_patience_guesses_no_codes_either(
    owner: User, secret: str, patient_guesses: Callable[[int], None], mailoutbox: Any
) -> None:
    patient_guesses(40)
    for _ in range(50):
        page = half_way(owner).post("/accounts/2fa/authenticate/", {"code": "000000"}).content.decode()
        assert "Incorrect code" in page
    refused = half_way(owner).post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert "Too many" in refused.content.decode()
    # Whoever guesses knows the password. The owner, who sets another by mail, is not locked out for the day.
    reset(owner, mailoutbox)
    client = Client()
    sign_in(client, owner.email, NEW)
    client.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert is_signed_in(client)


def test_a_reset_by_mail_does_not_go_around_it(owner: User, secret: str, mailoutbox: Any) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": owner.email})
    link = re.search(r"/accounts/password/reset/key/\S+/", mailoutbox[-1].body)
    assert link is not None
    path = client.get(link[0], follow=True).redirect_chain[-1][0]
    client.post(path, {"password1": "another horse battery", "password2": "another horse battery"})
    assert not is_signed_in(client)
    answer = sign_in(client, owner.email, "another horse battery")
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")


def test_removing_it_takes_a_confirmation(owner: User, secret: str) -> None:
    client = half_way(owner)
    client.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert client.post("/accounts/2fa/totp/deactivate/")["Location"].startswith("/accounts/reauthenticate/")
    assert Authenticator.objects.filter(user=owner).exists()
    confirm(client)
    client.post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.filter(user=owner, type="totp").exists()


def test_secrets_lie_encrypted_in_the_database(owner: User, secret: str) -> None:
    row = Authenticator.objects.get(user=owner, type="totp")
    assert secret not in str(row.data)
    assert second_factor.SecondFactorAdapter().decrypt(row.data["secret"]) == secret


def test_whoever_runs_the_site_lets_somebody_in_who_lost_everything(owner: User, secret: str, mailoutbox: Any) -> None:
    for _ in range(2):
        call_command("remove_second_factors", owner.email.upper())
    assert sign_in(Client(), owner.email, PASSWORD)["Location"] == "/"
    (mail,) = mailoutbox
    assert "no longer takes a second factor" in mail.subject
    entry = AuditEntry.objects.get()
    assert (entry.person_id, entry.actor_label, entry.details) == (owner.pk, audit.COMMAND, {"second factors": [1, 0]})
    with pytest.raises(CommandError, match="No user has the address"):
        call_command("remove_second_factors", "nobody@example.com")


@pytest.mark.parametrize(
    ("public_url", "host", "expected", "works"),
    [
        ("https://studio.example.com", "studio.example.com", "studio.example.com", True),
        ("https://studio.example.com/sub", "localhost", "studio.example.com", True),
        ("http://127.0.0.1:8000", "localhost:8000", "localhost", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1", False),
    ],
)
def test_passkeys_belong_to_the_public_host(
    settings: Any, public_url: str, host: str, expected: str, works: bool
) -> None:
    from allauth.core import context

    settings.PUBLIC_URL = public_url
    settings.ALLOWED_HOSTS = ["*"]
    with context.request_context(RequestFactory().get("/", headers={"host": host})):
        assert second_factor.passkey_host() == expected
        assert second_factor.has_passkeys() is works


def test_a_passkey_of_nobody_signs_nobody_in() -> None:
    client = Client()
    assert client.get("/accounts/2fa/webauthn/login/", headers={"accept": "application/json"}).status_code == 200
    for credential in ("", "{}", "no JSON", '{"id": "x", "rawId": "x", "response": {}}'):
        answer = client.post("/accounts/2fa/webauthn/login/", {"credential": credential})
        assert answer.status_code in {200, 302}, credential
        assert not is_signed_in(client)
    cache.clear()
