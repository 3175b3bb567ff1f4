"""Who may what: every page of the site, for everybody. A new page without a row fails.

The admin's pages are in `tests/generations/admin/test_access.py`, the API in `tests/api/test_access.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from django.core.files.base import ContentFile
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from accounts import invitations, profile, standing
from accounts.models import ApiKey, Membership, Role, User
from accounts.models.outgoing_mail import OutgoingMail
from generations.models import DataExport, Status
from tests.support.factories import (
    make_asset,
    make_generation,
    make_key,
    make_output,
    make_server,
    make_template,
    make_user,
)
from tests.support.matrix import Cast, address, ask, look, make_cast, pages, read
from tests.support.pictures import png

# “login”: led to the page that signs in; “+”: rows were changed. Suspended people and staff who impersonate the owner
# have columns of their own; a key opens no page, and gets what nobody in particular gets.
#
# A page without a row for POST refuses it. One without a row for GET leads elsewhere, and changes nothing.
ROWS = read(
    """
method page                               anonymous stranger member admin owner suspended staff impersonator
GET    healthz                              200       200      200    200   200   403       200   200
POST   healthz                              200       200      200    200   200   403       200   403
GET    readyz                               200       200      200    200   200   403       200   200
POST   readyz                               200       200      200    200   200   403       200   403
GET    favicon                              301       301      301    301   301   403       301   301
POST   favicon                              301       301      301    301   301   403       301   403
GET    usersessions_list                    login     200      200    200   200   403       200   403
POST   usersessions_list                    login     404      404    404   404   403       404   403
GET    account_login                        200       302      302    302   302   403       302   403
POST   account_login                        200       302      302    302   302   403       302   403
GET    account_logout                       302       200      200    200   200   403       200   403
POST   account_logout                       302       302      302    302   302   403       302   302
GET    account_inactive                     200       200      200    200   200   403       200   403
GET    account_signup                       200       302      302    302   302   403       302   403
POST   account_signup                       200       302      302    302   302   403       302   403
GET    account_reauthenticate               login     200      200    200   200   403       200   403
POST   account_reauthenticate               login     200      200    200   200   403       200   403
GET    account_email                        login     200      200    200   200   403       200   403
POST   account_email                        login     302+     302+   302+  302+  403       302+  403
GET    account_email_verification_sent      200       200      200    200   200   403       200   403
GET    account_change_password              login     200      200    200   200   403       200   403
POST   account_change_password              login     302+     302+   302+  302+  403       302+  403
POST   account_set_password                 login     302      302    302   302   403       302   403
GET    account_reset_password               200       200      200    200   200   403       200   403
POST   account_reset_password               200       200      200    200   200   403       200   403
POST   account_confirm_login_code           302       302      302    302   302   403       302   403
GET    account_confirm_email                200       200      200    200   200   403       200   403
POST   account_confirm_email                302+      302+     302+   302+  302+  403       302+  403
GET    account_reset_password_from_key_done 200       200      200    200   200   403       200   403
GET    account_reset_password_from_key      302       302      302    302   200   403       302   403
POST   account_reset_password_from_key      302       302      302    302   200   403       302   403
GET    account_reset_password_done          200       200      200    200   200   403       200   403
GET    mfa_index                            login     200      200    200   200   403       200   403
POST   mfa_authenticate                     302       302      302    302   302   403       302   403
POST   account_reauthenticate_by_mail       login     302      302    302   302   403       302   403
POST   mfa_reauthenticate                   login     302      302    302   302   403       302   403
GET    mfa_activate_totp                    login     200      200    200   200   403       200   403
POST   mfa_activate_totp                    login     200      200    200   200   403       200   403
GET    mfa_deactivate_totp                  login     404      404    404   404   403       404   403
POST   mfa_deactivate_totp                  login     404      404    404   404   403       404   403
GET    mfa_view_recovery_codes              login     404      404    404   404   403       404   403
GET    mfa_generate_recovery_codes          login     200      200    200   200   403       200   403
POST   mfa_generate_recovery_codes          login     200      200    200   200   403       200   403
GET    mfa_download_recovery_codes          login     404      404    404   404   403       404   403
POST   mfa_download_recovery_codes          login     404      404    404   404   403       404   403
GET    mfa_list_webauthn                    login     200      200    200   200   403       200   403
GET    mfa_add_webauthn                     login     200      200    200   200   403       200   403
POST   mfa_add_webauthn                     login     200      200    200   200   403       200   403
POST   mfa_reauthenticate_webauthn          login     302      302    302   302   403       302   403
GET    mfa_remove_webauthn                  login     404      404    404   404   403       404   403
POST   mfa_remove_webauthn                  login     404      404    404   404   403       404   403
GET    mfa_edit_webauthn                    login     404      404    404   404   403       404   403
POST   mfa_edit_webauthn                    login     404      404    404   404   403       404   403
POST   mfa_login_webauthn                   302       302      302    302   302   403       302   403
GET    socialaccount_login_cancelled        200       200      200    200   200   403       200   403
GET    socialaccount_login_error            401       401      401    401   401   403       401   403
POST   socialaccount_signup                 302       302      302    302   302   403       302   403
GET    socialaccount_connections            login     200      200    200   200   403       200   403
POST   socialaccount_connections            login     200      200    200   200   403       200   403
GET    /accounts/social/login/cancelled/    301       301      301    301   301   403       301   403
POST   /accounts/social/login/cancelled/    301       301      301    301   301   403       301   403
GET    /accounts/social/login/error/        301       301      301    301   301   403       301   403
POST   /accounts/social/login/error/        301       301      301    301   301   403       301   403
GET    /accounts/social/signup/             301       301      301    301   301   403       301   403
POST   /accounts/social/signup/             301       301      301    301   301   403       301   403
GET    /accounts/social/connections/        301       301      301    301   301   403       301   403
POST   /accounts/social/connections/        301       301      301    301   301   403       301   403
GET    openid_connect_login                 200       200      200    200   200   403       200   403
POST   openid_connect_login                 503       503      503    503   503   403       503   403
GET    openid_connect_callback              401       401      401    401   401   403       401   403
POST   openid_connect_callback              401       401      401    401   401   403       401   403
POST   impersonation-end                    login     302      302    302   302   403       302   302
POST   account-close                        login     302      302    302   302   403       302   403
POST   account-keep                         302       302      302    302   302   403       302   403
GET    api-keys                             login     200      200    200   200   403       200   403
POST   api-keys                             login     201+     201+   201+  201+  403       201+  403
POST   api-key-revoke                       login     404      404    404   302+  403       404   403
GET    workspaces                           login     200      200    200   200   403       200   200
POST   workspaces                           login     302+     302+   302+  302+  403       302+  403
GET    workspace                            login     404      200    200   200   403       404   200
POST   workspace-switch                     login     404      302    302   302   403       404   302
POST   workspace-rename                     login     404      403    302+  302+  403       404   403
POST   workspace-leave                      login     404      302+   302+  302   403       404   403
POST   workspace-dissolve                   login     404      403    403   302+  403       404   403
POST   workspace-export                     login     404      403    403   302+  403       404   403
POST   workspace-keep                       login     404      403    403   302+  403       404   403
GET    workspace-member                     login     404      403    200   200   403       404   403
POST   workspace-member                     login     404      403    302+  302+  403       404   403
POST   workspace-remove                     login     404      403    302+  302+  403       404   403
POST   workspace-transfer                   login     404      403    403   302+  403       404   403
GET    workspace-invitations                login     404      403    200   200   403       404   403
POST   workspace-invitations                login     404      403    201+  201+  403       404   403
POST   invitation-renew                     login     404      403    201+  201+  403       404   403
POST   invitation-revoke                    login     404      403    302+  302+  403       404   403
POST   invitation-accept                    login     404      404    404   404   403       404   403
GET    invitation                           200       200      200    200   200   403       200   403
POST   invitation                           login     302+     409    409   409   403       302+  403
GET    outbox                               404       404      404    404   404   403       200   403
GET    outbox-mail                          404       404      404    404   404   403       200   403
GET    api-docs                             200       200      200    200   200   200       200   200
POST   api-docs                             405       405      405    405   405   405       405   403
GET    api-openapi                          200       200      200    200   200   200       200   200
POST   api-openapi                          405       405      405    405   405   405       405   403
GET    gallery                              login     200      200    200   200   403       200   200
POST   open-result                          login     302      302    302   302   403       302   302
GET    template                             login     200      200    200   200   403       200   200
POST   template                             login     302+     302+   302+  302+  403       302+  302+
GET    template-cover                       login     200      200    200   200   403       200   200
GET    history                              login     200      200    200   200   403       200   200
GET    generation                           login     404      200    200   200   403       404   200
GET    generation-panel                     login     404      200    200   200   403       404   200
POST   generation-cancel                    login     404      302    302+  302+  403       404   302+
POST   generation-rerun                     login     404      302+   302+  302+  403       404   302+
POST   generation-delete                    login     404      302    302+  302+  403       404   403
GET    profile                              login     200      200    200   200   403       200   403
POST   profile                              login     302+     302+   302+  302+  403       302+  403
POST   profile-picture                      login     302+     302+   302+  302+  403       302+  403
GET    avatar                               login     404      200    200   200   403       404   200
GET    webhooks                             login     200      200    200   200   403       200   403
POST   webhooks                             login     302+     302+   302+  302+  403       302+  403
GET    webhook                              login     404      404    200   200   403       404   403
POST   webhook                              login     404      404    302+  302+  403       404   403
GET    webhook-log                          login     404      404    200   200   403       404   403
POST   webhook-switch                       login     404      404    302+  302+  403       404   403
POST   webhook-delete                       login     404      404    302+  302+  403       404   403
POST   webhook-test                         login     404      404    302+  302+  403       404   403
POST   webhook-redeliver                    login     404      404    302+  302+  403       404   403
GET    data                                 login     200      200    200   200   403       200   403
POST   data-export                          login     302+     302+   302+  302+  403       302+  403
GET    data-download                        login     404      404    404   200   403       404   403
GET    storage                              login     200      200    200   200   403       200   200
POST   storage-delete-all                   login     302      302    302   302+  403       302   403
POST   storage-delete                       login     404      302    302+  302+  403       404   403
GET    asset                                login     404      200    200   200   403       404   200
GET    asset-thumbnail                      login     404      200    200   200   403       404   200
""",
    by=2,
)
PAGES = {page.name: page for page in pages() if not page.name.startswith(("api:", "admin:", "/admin/", "/api/"))}
CALLERS = ("anonymous", "key", "stranger", "member", "admin", "owner", "suspended", "staff", "impersonator")
OUTSIDE = {"anonymous", "stranger", "staff"}

NEW = "another horse battery"
FORM = {"prompt": "x", "width": 64, "height": 64, "steps": 4, "cfg": 8}
BODIES: dict[str, dict[str, Any]] = {
    "account-close": {"confirm": "owner@example.com"},
    "api-keys": {"name": "one more", "scopes": ["read"]},
    "workspaces": {"name": "New"},
    "workspace-rename": {"name": "New"},
    "workspace-member": {"role": "admin", "seen": "member"},
    "workspace-invitations": {"role": "member", "email": "guest@example.com"},
    "template": FORM,
    "profile": {"name": "Somebody"},
    "profile-picture": {"remove": "1"},
    "webhooks": {"url": "https://example.com/other", "events": ["job.failed"]},
    "webhook": {"url": "https://example.com/other", "events": ["job.failed"]},
    "account_email": {"action_add": "", "email": "another@example.com"},
    "account_change_password": {"oldpassword": "correct horse battery", "password1": NEW, "password2": NEW},
    "mfa_edit_webauthn": {"name": "New"},
}


@pytest.fixture
def cast(owner: User, stranger: User, staff: User) -> Cast:
    return make_cast(owner, stranger, staff)


@pytest.fixture
def things(cast: Cast) -> dict[str, str]:
    """One of everything: the team's, made by its owner. By the segment of an address that comes before its id."""
    team, owner = cast.team, cast.owner
    template = make_template()
    template.cover.save("cover.png", ContentFile(png("teal")))
    make_server("known", "http://127.0.0.1:1")
    generation = make_generation(owner, status=Status.SUCCEEDED, workspace=team)
    output = make_output(generation, asset=make_asset(owner, png("olive"), workspace=team))
    upload = make_asset(owner, png("navy"), name="navy.png", workspace=team)
    hook = owner.webhooks.create(url="https://example.com/hook", workspace=team)
    now = timezone.now()
    export = DataExport.objects.create(user=owner, created_at=now - timedelta(2))
    DataExport.objects.update(state="ready", key="exports/1.zip", size_bytes=1, expires_at=now + timedelta(2))
    colleague = Membership.objects.create(workspace=team, user=make_user("colleague@example.com"))
    passkey = Authenticator.objects.create(user=colleague.user, type=Authenticator.Type.WEBAUTHN, data={})
    invitation, link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER)
    profile.set_avatar(owner, png("pink"))
    mail = EmailMessage("A secret subject", "A secret text", "site@example.com", [owner.email])
    second = EmailAddress.objects.create(user=owner, email="second@example.com")
    reset = f"{user_pk_to_url_str(owner)}-{default_token_generator.make_token(owner)}"
    return {
        "workspaces": str(team.public_id),
        "members": str(colleague.pk),
        "invitations": str(invitation.pk),
        "token": link.rstrip("/").rsplit("/", 1)[1],
        "templates": template.slug,
        "generations": str(generation.pk),
        "assets": str(output.asset_id),
        "storage": str(upload.pk),
        "webhooks": str(hook.pk),
        "delivery": str(hook.deliveries.create(event="job.failed", payload={}).pk),
        "data": str(export.pk),
        "outbox": str(OutgoingMail.objects.put(mail, next_attempt_at=None).pk),
        "people": str(owner.pk),
        "prefix": ApiKey.objects.issue(user=owner, name="to be revoked", workspace=team)[0].prefix,
        "keys": str(passkey.pk),
        "account_confirm_email": f"/accounts/confirm-email/{EmailConfirmationHMAC(second).key}/",
        "account_reset_password_from_key": f"/accounts/password/reset/key/{reset}/",
        "openid_connect_login": "/accounts/oidc/acme/login/",
        "openid_connect_callback": "/accounts/oidc/acme/login/callback/",
    }


PRIVATE = ("workspaces", "generations", "assets", "storage", "webhooks", "delivery", "data", "prefix")


@pytest.fixture
def browser(cast: Cast, client_for: Callable[[User], Client]) -> Callable[[str], Client]:
    """The browser of a caller. Members work in the team, everybody else in their own workspace."""

    def make(caller: str) -> Client:
        if caller in {"anonymous", "key"}:
            key = make_key(cast.owner)
            ApiKey.objects.update(last_used_at=timezone.now())
            return Client(headers={"Authorization": f"Bearer {key}"} if caller == "key" else {})
        user = {"suspended": cast.owner, "impersonator": cast.staff}.get(caller) or getattr(cast, caller)
        if caller == "suspended":
            standing.suspend(User.objects.get(pk=user.pk), by=cast.staff, reason="spam")
        client = client_for(User.objects.get(pk=user.pk))  # as if something had signed the suspended in
        if caller in {"member", "admin", "owner"}:
            session = client.session
            session["workspace"] = str(cast.team.public_id)
            session.save()
        if caller == "impersonator":
            client.post(f"/admin/accounts/user/{cast.owner.pk}/impersonate/", {"reason": "ticket"})
        return client

    return make


def test_every_page_has_a_row() -> None:
    assert {row.split()[1] for row in ROWS} == set(PAGES)


def test_every_form_needs_its_token() -> None:
    assert [name for name, page in PAGES.items() if getattr(page.view, "csrf_exempt", False)] == []


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", PAGES)
def test_access(name: str, method: str, browser: Callable[[str], Client], things: dict[str, str]) -> None:
    path = address(PAGES[name], things)

    def send(caller: str) -> str:
        answer, response = look(browser(caller), method, path, BODIES.get(name))
        if method == "GET" and caller in OUTSIDE and answer == "200":
            assert [kind for kind in PRIVATE if things[kind].encode() in response.content] == [], caller
        return answer

    answers = ask(CALLERS, send)
    assert answers.pop("key") == answers["anonymous"]
    assert answers == ROWS.get(f"{method} {name}", unlisted(method, answers["anonymous"]))


def unlisted(method: str, anonymous: str) -> dict[str, str]:
    """What a page without a row for this method answers: whoever is not signed in may be led to where they do that."""
    usual = "302" if method == "GET" else "405"
    closed = {"suspended": "403", "impersonator": "403"}
    answers = {caller: closed.get(caller, usual) for caller in CALLERS if caller != "key"}
    return {**answers, "anonymous": "login"} if anonymous == "login" else answers
