"""Secrets whose SECRET_KEY is lost: named failures, and nothing of the cipher text leaves the site."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django import forms
from django.apps import apps
from django.core.mail import send_mail
from django.db import models
from django.utils import timezone
from encrypted_fields.fields import EncryptedFieldMixin

from accounts.models import User
from accounts.models.encrypted import SecretTextField, Unreadable, UnreadableError, revealed
from accounts.models.outgoing_mail import OutgoingMail
from accounts.second_factor import SecondFactorAdapter
from comfysaas.mail import send_mails
from generations.models import ComfyServer, Generation, Webhook, WebhookDelivery
from generations.relay.submit import submit_upstream
from generations.relay.supervisor import Supervisor
from generations.scheduling import server_check
from generations.webhooks import outbox, sending
from tests.support.factories import make_generation, make_server
from tests.support.receiver import receiver
from tests.support.smtp import mail_server

pytestmark = pytest.mark.django_db(transaction=True)
FIELDS = [
    field for model in apps.get_models() for field in model._meta.get_fields() if isinstance(field, EncryptedFieldMixin)
]


def lose_the_key(model: type[models.Model], name: str) -> str:
    """Store there what no key opens; returns it."""
    stored = Fernet(Fernet.generate_key()).encrypt(b"a secret").decode()
    assert model._default_manager.update(**{name: models.Value(stored, models.TextField())}) == 1
    return stored


def test_every_encrypted_column_is_one_that_says_so() -> None:
    assert len(FIELDS) == 4
    assert all(isinstance(each, SecretTextField) for each in FIELDS)


def test_it_is_empty_but_there_and_saving_keeps_what_is_stored(settings: Any) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value="Bearer x")
    assert ComfyServer.objects.get().headers == {"Authorization": "Bearer x"}
    stored = lose_the_key(ComfyServer, "auth_header_value")
    server = ComfyServer.objects.get()
    value = server.auth_header_value
    assert isinstance(value, Unreadable)
    assert (str(value), bool(value), value.stored) == ("", True, stored)
    server.full_clean()
    server.save()
    assert ComfyServer.objects.get().auth_header_value.stored == stored  # type: ignore[union-attr]
    with pytest.raises(UnreadableError, match="SECRET_KEY_FALLBACKS"):
        revealed(value, "It")


def test_a_server_is_unreachable_and_hears_nothing() -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value="Bearer x")
    lose_the_key(ComfyServer, "auth_header_value")
    is_fine, said = server_check.check(ComfyServer.objects.get())
    assert not is_fine
    assert "Its header Authorization cannot be decrypted" in said
    ComfyServer.objects.update(state_message="")
    supervisor = Supervisor()
    supervisor._balance()
    assert not supervisor._agents
    server.refresh_from_db(fields=["state", "state_message"])
    assert server.state == "unreachable"
    assert "SECRET_KEY_FALLBACKS" in server.state_message


def test_a_mail_waits_with_the_reason(settings: Any, admin: Any) -> None:
    settings.EMAIL_BACKEND = "comfysaas.mail.Outbox"
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    with mail_server() as mailbox:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
        send_mail("Subject", "Body", "site@example.com", ["anna@example.com"])
        lose_the_key(OutgoingMail, "message")
        assert send_mails() == 0
        assert mailbox.received == []
    mail = OutgoingMail.objects.get()
    assert "The mail cannot be decrypted" in mail.error
    assert mail.state == "waiting"
    settings.EMAIL_HOST, settings.IS_CLUSTER = "", False
    assert "The mail cannot be decrypted" in admin.get(f"/outbox/{mail.pk}/").content.decode()


def test_a_webhook_is_not_sent_and_says_why(owner: User, admin: Any, client_for: Any) -> None:
    with receiver() as server:
        hook = Webhook.objects.create(user=owner, url=server.url)
        lose_the_key(Webhook, "secret")
        outbox.test(hook)
        WebhookDelivery.objects.update(next_attempt_at=timezone.now())
        sending.deliver_webhooks()
        assert server.received == []
    assert "cannot be read" in WebhookDelivery.objects.get().error
    assert "cannot be read" in client_for(owner).get(f"/account/webhooks/{hook.pk}/").content.decode()
    page = admin.get(f"/admin/generations/webhook/{hook.pk}/change/").content.decode()
    assert "SECRET_KEY_FALLBACKS" in page


def test_a_job_is_not_submitted_without_its_partner_key(owner: User) -> None:
    make_generation(owner, partner_key="comfyui-key")
    lose_the_key(Generation, "partner_key")
    with pytest.raises(UnreadableError):
        submit_upstream(Generation.objects.get(), {}, None, None, client_id="x")  # type: ignore[arg-type]


def test_a_second_factor_is_refused(owner: User) -> None:
    stored = Fernet(Fernet.generate_key()).encrypt(b"a secret").decode()
    Authenticator.objects.create(user=owner, type=Authenticator.Type.TOTP, data={"secret": stored})
    with pytest.raises(forms.ValidationError, match="cannot be read any more"):
        SecondFactorAdapter().decrypt(stored)
