"""Everything that staff can do to people in the admin leaves an entry: each door is found, and tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.db import models
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.auditing import AuditedAdmin
from accounts.models import ApiKey, AuditEntry, Plan, User
from generations.models import Status, Webhook
from tests.accounts.test_admin import LIMITS
from tests.support.factories import make_generation, make_team, make_user

PASSWORD = {"usable_password": "true", "password1": "another horse battery", "password2": "another horse battery"}
PLAN = {"name": "Studio", "weight": "3", "priority": "0", **LIMITS}
# Of nobody's things: what staff make, and the log itself.
NOT_ABOUT_PEOPLE = {"accounts.auditentry", "generations.workflowtemplate"}
LOOKING = {"person"}  # pages that change nothing


def is_about_people(model: type[models.Model]) -> bool:
    """Users, what they belong to, and what belongs to them."""
    if model in {User, Group, Plan}:
        return True
    return any(field.is_relation and field.related_model is User for field in model._meta.get_fields())


def admins() -> list[Any]:
    return [
        each
        for model, each in admin.site._registry.items()
        if is_about_people(model) and model._meta.label_lower not in NOT_ABOUT_PEOPLE
    ]


def doors(staff: User) -> Iterator[str]:
    """Every way in the admin to change something about people."""
    request: Any = RequestFactory().get("/")
    request.user = staff
    for each in admins():
        name = each.model._meta.label_lower
        for kind in ("add", "change", "delete"):
            if getattr(each, f"has_{kind}_permission")(request):
                yield f"{name} {kind}"
        for action in each.get_actions(request):
            yield f"{name} action {action}"
        usual = {f"{each.opts.app_label}_{each.opts.model_name}_{kind}" for kind in
                 ("changelist", "add", "history", "delete", "change")}  # fmt: skip
        for url in each.get_urls():
            if url.name and url.name not in usual | LOOKING:
                yield f"{name} view {url.name}"


def change(model: str, pk: int, /, **data: Any) -> Callable[[Client], Any]:
    def act(browser: Client) -> Any:
        address = reverse(f"admin:{model}_change", args=[pk])
        for formset in browser.get(address).context["inline_admin_formsets"]:
            form = formset.formset.management_form
            data.update({f"{formset.formset.prefix}-{k}": v for k, v in form.initial.items()})
        return browser.post(address, data)

    return act


def post(name: str, /, *arguments: Any, **data: Any) -> Callable[[Client], Any]:
    return lambda browser: browser.post(reverse(f"admin:{name}", args=arguments), data)


def action(model: str, name: str, pk: Any, /, **data: Any) -> Callable[[Client], Any]:
    return post(f"{model}_changelist", action=name, _selected_action=[str(pk)], **data)


@pytest.fixture
def tries(owner: User) -> dict[str, Callable[[Client], Any]]:
    """What to do for each door. A new one without a try fails."""
    group, plan = Group.objects.create(name="VIP"), Plan.objects.create(name="Old")
    key = ApiKey.objects.issue(user=owner, name="laptop")[0]
    hook = owner.webhooks.create(url="https://example.com/hook")
    waiting, done = make_generation(owner), make_generation(owner, status=Status.SUCCEEDED)
    suspended = make_user("suspended@example.com", suspended_at=timezone.now())
    invited = make_user("invited@example.com", None)
    orphaned = make_team(suspended, member=owner)
    person = {"email": owner.email, "is_active": "on", "plan": str(plan.pk), "groups": [str(group.pk)]}
    return {
        "accounts.user add": post("accounts_user_add", email="new@example.com", **PASSWORD),
        "accounts.user change": change("accounts_user", owner.pk, **person),
        "accounts.user view auth_user_password_change": post("auth_user_password_change", owner.pk, **PASSWORD),
        "accounts.user view people_invite": post("people_invite", email="new@example.com"),
        "accounts.user view person_remind": post("person_remind", invited.pk),
        "accounts.user view person_suspend": post("person_suspend", owner.pk, reason="spam"),
        "accounts.user view person_reinstate": post("person_reinstate", suspended.pk),
        "accounts.user view person_sign_out": post("person_sign_out", owner.pk),
        "accounts.user view person_impersonate": post("person_impersonate", owner.pk, reason="ticket"),
        "accounts.workspace view workspace_appoint": post("workspace_appoint", orphaned.pk, member=owner.pk),
        "auth.group add": post("auth_group_add", name="Others"),
        "auth.group change": change("auth_group", group.pk, name="VIPs"),
        "auth.group delete": post("auth_group_delete", group.pk, post="yes"),
        "auth.group action delete_selected": action("auth_group", "delete_selected", group.pk, post="yes"),
        "accounts.plan add": post("accounts_plan_add", **PLAN),
        "accounts.plan change": change("accounts_plan", plan.pk, **PLAN),
        "accounts.plan delete": post("accounts_plan_delete", plan.pk, post="yes"),
        "accounts.plan action delete_selected": action("accounts_plan", "delete_selected", plan.pk, post="yes"),
        "accounts.apikey delete": post("accounts_apikey_delete", key.pk, post="yes"),
        "accounts.apikey action delete_selected": action("accounts_apikey", "delete_selected", key.pk, post="yes"),
        "accounts.apikey action revoke": action("accounts_apikey", "revoke", key.pk),
        "accounts.apikey view api_key_revoke": post("api_key_revoke", key.pk),
        "generations.webhook delete": post("generations_webhook_delete", hook.pk, post="yes"),
        "generations.webhook action delete_selected": action(
            "generations_webhook", "delete_selected", hook.pk, post="yes"
        ),
        "generations.webhook action switch_off": action("generations_webhook", "switch_off", hook.pk),
        "generations.generation delete": post("generations_generation_delete", done.pk, post="yes"),
        "generations.generation action delete_selected": action(
            "generations_generation", "delete_selected", done.pk, post="yes"
        ),
        "generations.generation action cancel": action("generations_generation", "cancel", waiting.pk),
        "generations.generation view generation_cancel": post("generation_cancel", waiting.pk),
    }


def test_every_door_is_tried_and_leaves_an_entry(admin: Client, staff: User, tries: dict[str, Any]) -> None:
    assert set(doors(staff)) == set(tries)


NAMES = (
    "accounts.user view people_invite", "accounts.user view person_remind",
    "accounts.user add", "accounts.user change", "accounts.user view auth_user_password_change",
    "accounts.user view person_suspend", "accounts.user view person_reinstate", "accounts.user view person_sign_out",
    "accounts.user view person_impersonate", "accounts.workspace view workspace_appoint",
    "auth.group add", "auth.group change", "auth.group delete",
    "auth.group action delete_selected", "accounts.plan add", "accounts.plan change", "accounts.plan delete",
    "accounts.plan action delete_selected", "accounts.apikey delete", "accounts.apikey action delete_selected",
    "accounts.apikey action revoke", "accounts.apikey view api_key_revoke", "generations.webhook delete",
    "generations.webhook action delete_selected", "generations.webhook action switch_off",
    "generations.generation delete", "generations.generation action delete_selected",
    "generations.generation action cancel", "generations.generation view generation_cancel",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_an_entry(admin: Client, staff: User, owner: User, tries: dict[str, Any], name: str) -> None:
    before = AuditEntry.objects.count()
    response = tries[name](admin)
    assert response.status_code == 302, response.content.decode()[:2000]
    entry = AuditEntry.objects.order_by("pk").last()
    assert entry is not None
    assert AuditEntry.objects.count() == before + 1
    assert (entry.actor, entry.address) == (staff, "127.0.0.1")
    others = {
        "accounts.user add": "new@example.com",
        "accounts.user view people_invite": "new@example.com",
        "accounts.user view person_remind": "invited@example.com",
        "accounts.user view person_reinstate": "suspended@example.com",
    }
    is_of_nobody = name.startswith(("auth.group", "accounts.plan"))
    assert entry.person == (None if is_of_nobody else User.objects.get(email=others.get(name, owner.email)))


def test_all_tries_have_a_name(tries: dict[str, Any]) -> None:
    assert set(NAMES) == set(tries)


def test_all_admins_of_peoples_things_are_audited() -> None:
    assert all(isinstance(each, AuditedAdmin) for each in admins())
    assert {each.model for each in admins()} >= {User, Group, Plan, ApiKey, Webhook}


def test_values_before_and_after_are_noted(admin: Client, owner: User, tries: dict[str, Any]) -> None:
    tries["accounts.user change"](admin)
    assert AuditEntry.objects.get().details == {"changes": {"plan": ["", "Old"], "groups": ["", "VIP"]}}


@pytest.mark.parametrize("name", ["accounts.user add", "accounts.user view auth_user_password_change"])
def test_passwords_are_not_noted(admin: Client, tries: dict[str, Any], name: str) -> None:
    tries[name](admin)
    entry = AuditEntry.objects.get()
    assert "horse" not in str(entry.details)
    assert "not shown" in str(entry.details)


def test_a_change_that_cannot_be_logged_is_undone(
    admin: Client, owner: User, tries: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(AuditEntry.objects, "create", fail)
    for name in NAMES:
        with pytest.raises(RuntimeError):
            tries[name](admin)
    assert "impersonation" not in admin.session
    assert not mail.outbox
    assert User.objects.get(email="suspended@example.com").is_suspended
    owner.refresh_from_db()
    assert owner.check_password("correct horse battery")
    assert owner.plan is None
    assert not owner.is_suspended
    assert owner.session_epoch == 0
    assert owner.api_keys.usable().count() == 1
    assert Group.objects.get().name == "VIP"
    assert owner.webhooks.get().is_enabled
    assert owner.generations.active().count() == 1


def test_a_refused_action_leaves_none(owner: User, client_for: Any) -> None:
    key = ApiKey.objects.issue(user=owner, name="laptop")[0]
    looker = User.objects.create_user("looker@example.com", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    assert client_for(looker).post(f"/admin/accounts/apikey/{key.pk}/revoke/").status_code == 403
    assert not AuditEntry.objects.exclude(verb=audit.ADDED).exists()
