"""Values of the environment that make no sense stop the start."""

from __future__ import annotations

import json

import pytest

from comfysaas.env import Env, SignInProvider

ACME = {
    "provider": "openid_connect", "id": "acme", "name": "Acme", "client_id": "c", "secret": "s",
    "server_url": "https://login.acme.example",
}  # fmt: skip


def test_a_time_zone_that_there_is_not_stops_the_start() -> None:
    assert Env(time_zone="Europe/Berlin").time_zone == "Europe/Berlin"
    with pytest.raises(ValueError, match="“Berlin” is not a time zone; use a name such as Europe/Berlin"):
        Env(time_zone="Berlin")


def test_services_to_sign_in_with_come_from_one_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGN_IN_PROVIDERS", json.dumps([{"provider": "google", "client_id": "c", "secret": "s"}, ACME]))
    google, acme = Env().sign_in_providers
    assert (google.provider, google.secret.get_secret_value(), google.signup) == ("google", "s", False)
    assert (acme.id, acme.server_url) == ("acme", "https://login.acme.example")
    assert "'s'" not in repr(google)


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ({"provider": "nobody"}, "“nobody” is no provider of django-allauth"),
        ({"provider": "../x"}, "String should match pattern"),
        ({"provider": "openid_connect"}, "openid_connect needs an id, a name and a server_url"),
        ({"client_id": ""}, "at least 1 character"),
        ({"sekret": "s"}, "Extra inputs are not permitted"),
    ],
)
def test_a_service_that_makes_no_sense_stops_the_start(provider: dict[str, str], message: str) -> None:
    given = {"provider": "google", "client_id": "c", "secret": "s", **provider}
    with pytest.raises(ValueError, match=message):
        SignInProvider.model_validate(given)


def test_two_services_with_one_id_stop_the_start() -> None:
    with pytest.raises(ValueError, match="two providers have the same id"):
        Env(sign_in_providers=(SignInProvider.model_validate(ACME), SignInProvider.model_validate(ACME)))


def test_a_way_to_encrypt_mails_that_there_is_not_stops_the_start() -> None:
    with pytest.raises(ValueError, match="'starttls', 'tls' or 'none'"):
        Env.model_validate({"email_security": "ssl"})
