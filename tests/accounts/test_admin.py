"""The way into the admin; users, groups and keys in it."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.test import Client

from accounts.models import ApiKey, Plan, User
from tests.support.factories import make_user

PAGES = [
    "", "accounts/user/", "accounts/user/add/", "accounts/apikey/", "accounts/plan/",
    "accounts/plan/add/", "auth/group/", "auth/group/add/",
    "generations/comfyserver/", "generations/comfyserver/add/", "generations/workflowtemplate/",
    "generations/workflowtemplate/import/", "generations/generation/",
]  # fmt: skip


@pytest.fixture
def helper(client_for: Any, db: None) -> Client:
    """Somebody who may do everything with users and keys, but is no superuser."""
    user = make_user("helper@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label__in=["accounts", "auth"]))
    client: Client = client_for(user)
    return client


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_for_staff(admin: Client, owner: User, client_for: Any, page: str) -> None:
    assert admin.get(f"/admin/{page}").status_code == 200
    assert Client().get(f"/admin/{page}").status_code == 302
    response = client_for(owner).get(f"/admin/{page}", follow=True)
    assert response.status_code == 403
    assert "not a staff account" in response.content.decode()


def test_sign_in_is_the_sites_own_and_leads_back(db: None) -> None:
    response = Client().get("/admin/generations/comfyserver/", follow=True)
    assert response.redirect_chain[-1][0] == "/accounts/login/?next=/admin/generations/comfyserver/"


def test_staff_at_the_sign_in_are_led_on(admin: Client) -> None:
    assert admin.get("/admin/login/?next=/admin/auth/group/")["Location"] == "/admin/auth/group/"
    assert admin.get("/admin/login/?next=https://evil.example/")["Location"] == "/admin/"


def test_admin_has_a_looser_policy_and_the_site_does_not(admin: Client) -> None:
    assert "unsafe-eval" in admin.get("/admin/")["Content-Security-Policy"]
    assert "unsafe" not in admin.get("/")["Content-Security-Policy"]
    assert "unsafe" not in Client().get("/accounts/login/")["Content-Security-Policy"]


def add(admin: Client, email: str, password: str = "correct horse battery") -> Any:
    data = {"email": email, "usable_password": "true", "password1": password, "password2": password}
    return admin.post("/admin/accounts/user/add/", data)


def test_user_is_added_with_address_and_password(admin: Client) -> None:
    assert add(admin, "New@Example.com").status_code == 302
    user = User.objects.get(email="new@example.com")
    assert user.check_password("correct horse battery")
    assert not user.is_staff
    client = Client()
    client.post("/accounts/login/", {"login": "new@example.com", "password": "correct horse battery"})
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(("email", "field"), [("OWNER@example.com", "email"), ("x", "email"), ("", "email")])
def test_address_must_be_new_and_valid(admin: Client, owner: User, email: str, field: str) -> None:
    assert field in add(admin, email).context["adminform"].form.errors


def test_weak_password_is_refused(admin: Client) -> None:
    assert "password2" in add(admin, "new@example.com", "12345").context["adminform"].form.errors


def test_change_page_shows_keys_but_no_secret(admin: Client, owner: User) -> None:
    key, secret = ApiKey.objects.issue(user=owner, name="laptop")
    for page in (f"accounts/user/{owner.pk}/change/", "accounts/apikey/", f"accounts/apikey/{key.pk}/change/"):
        html = admin.get(f"/admin/{page}").content.decode()
        assert key.prefix in html
        assert secret not in html
        assert key.secret_hash not in html


def test_user_with_keys_can_be_changed(admin: Client, owner: User) -> None:
    ApiKey.objects.issue(user=owner, name="laptop")
    page = admin.get(f"/admin/accounts/user/{owner.pk}/change/")
    data = {"email": "renamed@example.com", "is_active": "on"}
    for formset in page.context["inline_admin_formsets"]:
        prefix = formset.formset.prefix
        data |= {f"{prefix}-{k}": v for k, v in formset.formset.management_form.initial.items()}
    assert admin.post(f"/admin/accounts/user/{owner.pk}/change/", data).status_code == 302
    owner.refresh_from_db()
    assert owner.email == "renamed@example.com"
    assert not EmailAddress.objects.filter(email="owner@example.com").exists()


def test_password_can_be_changed(admin: Client, owner: User) -> None:
    password = "another horse battery"
    data = {"usable_password": "true", "password1": password, "password2": password}
    assert admin.post(f"/admin/accounts/user/{owner.pk}/password/", data).status_code == 302
    owner.refresh_from_db()
    assert owner.check_password(password)


def test_accounts_are_not_deleted_here(admin: Client, owner: User) -> None:
    assert admin.post(f"/admin/accounts/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post("/admin/accounts/user/", {"action": "delete_selected", "_selected_action": [owner.pk], "post": "yes"})
    assert User.objects.filter(pk=owner.pk).exists()


@pytest.mark.parametrize("way", ["button", "action"])
def test_key_is_revoked(admin: Client, owner: User, way: str) -> None:
    key, secret = ApiKey.objects.issue(user=owner, name="laptop")
    if way == "button":
        assert (
            f"/admin/accounts/apikey/{key.pk}/revoke/"
            in admin.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
        )
        admin.post(f"/admin/accounts/apikey/{key.pk}/revoke/")
    else:
        admin.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert ApiKey.objects.authenticate(secret) is None
    assert admin.get(f"/admin/accounts/apikey/{key.pk}/revoke/").status_code == 405


def test_keys_are_neither_made_nor_changed_here(admin: Client, owner: User) -> None:
    key, _ = ApiKey.objects.issue(user=owner, name="laptop")
    assert admin.get("/admin/accounts/apikey/add/").status_code == 403
    assert admin.post(f"/admin/accounts/apikey/{key.pk}/change/", {"name": "x"}).status_code == 403


def test_who_may_only_look_at_keys_does_not_revoke(owner: User, client_for: Any) -> None:
    user = make_user("looker@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_apikey"))
    key, secret = ApiKey.objects.issue(user=owner, name="laptop")
    client = client_for(user)
    assert client.post(f"/admin/accounts/apikey/{key.pk}/revoke/").status_code == 403
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert ApiKey.objects.authenticate(secret) is not None


def test_staff_cannot_make_themselves_superusers(helper: Client, owner: User) -> None:
    user = User.objects.get(email="helper@example.com")
    page = helper.get(f"/admin/accounts/user/{user.pk}/change/")
    data: dict[str, Any] = {"email": user.email, "is_active": "on", "is_superuser": "on", "is_staff": "on"}
    for formset in page.context["inline_admin_formsets"]:
        prefix = formset.formset.prefix
        data |= {f"{prefix}-{k}": v for k, v in formset.formset.management_form.initial.items()}
    helper.post(f"/admin/accounts/user/{user.pk}/change/", data)
    user.refresh_from_db()
    assert not user.is_superuser
    assert helper.get("/admin/auth/group/add/").status_code == 403


def test_account_of_a_superuser_is_out_of_reach_for_other_staff(helper: Client, staff: User) -> None:
    password = "another horse battery"
    data = {"usable_password": "true", "password1": password, "password2": password}
    assert helper.post(f"/admin/accounts/user/{staff.pk}/password/", data).status_code == 403
    staff.refresh_from_db()
    assert not staff.check_password(password)


def test_groups_are_made_by_superusers(admin: Client) -> None:
    assert admin.post("/admin/auth/group/add/", {"name": "VIP"}).status_code == 302
    assert Group.objects.get().name == "VIP"


LIMITS = {
    "max_concurrent": "4",
    "max_queued": "50",
    "max_storage_mb": "1000",
    "requests_per_minute": "100",
    "pages_per_minute": "100",
    "uploads_per_minute": "10",
    "max_streams": "5",
    "max_sockets": "9",
}


def test_a_plan_is_made_and_given_to_a_user(admin: Client, owner: User) -> None:
    data = {"name": "Studio", "weight": "3", "priority": "0", **LIMITS}
    assert admin.post("/admin/accounts/plan/add/", data).status_code == 302
    plan = Plan.objects.get()
    assert owner.limits.max_queued == 200
    owner.plan = plan
    assert (owner.limits.weight, owner.limits.max_queued) == (3.0, 50)


@pytest.mark.parametrize(("field", "value"), [("weight", "0"), ("max_concurrent", "0"), ("max_queued", "0")])
def test_a_plan_that_lets_nothing_run_is_refused(admin: Client, field: str, value: str) -> None:
    data = {"name": "None", "weight": "1", "priority": "0", **LIMITS, field: value}
    response = admin.post("/admin/accounts/plan/add/", data)
    assert response.status_code == 200
    assert not Plan.objects.exists()


@pytest.fixture(params=["staff", "superuser", "oneself"])
def above(request: pytest.FixtureRequest, helper: Client) -> User:
    """An account that holds powers, which the helper must not touch."""
    if request.param == "oneself":
        return User.objects.get(email="helper@example.com")
    return make_user("above@example.com", is_staff=request.param == "staff", is_superuser=request.param == "superuser")


def test_accounts_with_powers_are_out_of_reach_for_other_staff(helper: Client, above: User) -> None:
    password = "another horse battery"
    page = f"/admin/accounts/user/{above.pk}"
    for passwords in ({"usable_password": "true", "password1": password, "password2": password},
                      {"usable_password": "false", "unset-password": "1"}):  # fmt: skip
        assert helper.post(f"{page}/password/", passwords).status_code == 403
    data = {"email": "mine@example.com", "first_name": "x", "is_active": ""}
    assert helper.post(f"{page}/change/", data).status_code == 403
    assert above.password not in helper.get(f"{page}/change/").content.decode()
    before = (above.email, above.password, above.is_active, above.first_name)
    above.refresh_from_db()
    assert (above.email, above.password, above.is_active, above.first_name) == before
    assert EmailAddress.objects.get(user=above).email == above.email


@pytest.mark.parametrize("way", ["button", "action"])
def test_keys_of_accounts_with_powers_are_revoked_by_superusers(helper: Client, above: User, way: str) -> None:
    key, secret = ApiKey.objects.issue(user=above, name="laptop")
    assert "revoke/" not in helper.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    if way == "button":
        assert helper.post(f"/admin/accounts/apikey/{key.pk}/revoke/").status_code == 403
    else:
        helper.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert ApiKey.objects.authenticate(secret) is not None


@pytest.fixture
def editor(client_for: Any, db: None) -> Client:
    """Staff who may change people, but not impersonate them."""
    user = make_user("editor@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    client: Client = client_for(user)
    return client


def test_a_password_or_address_with_which_staff_could_sign_in_as_somebody_needs_that_permission(
    editor: Client, owner: User
) -> None:
    page = f"/admin/accounts/user/{owner.pk}"
    passwords = {"usable_password": "true", "password1": "another horse battery", "password2": "another horse battery"}
    assert editor.post(f"{page}/password/", passwords).status_code == 403
    data = {"email": "mine@example.com", "first_name": "New", "is_active": "on"}
    for formset in editor.get(f"{page}/change/").context["inline_admin_formsets"]:
        form = formset.formset.management_form
        data |= {f"{formset.formset.prefix}-{k}": v for k, v in form.initial.items()}
    assert editor.post(f"{page}/change/", data).status_code == 302
    owner.refresh_from_db()
    assert (owner.email, owner.first_name) == ("owner@example.com", "New")
    assert owner.check_password("correct horse battery")
    assert not mail.outbox


def test_people_are_told_when_staff_set_their_password(helper: Client, owner: User) -> None:
    page = f"/admin/accounts/user/{owner.pk}/password/"
    helper.post(page, {"usable_password": "true", "password1": "x", "password2": "y"})
    assert not mail.outbox
    password = "another horse battery"
    helper.post(page, {"usable_password": "true", "password1": password, "password2": password})
    (sent,) = mail.outbox
    assert sent.to == [owner.email]
    assert "set a new password" in sent.body
    assert password not in sent.body


def test_people_are_told_at_their_old_address_when_staff_change_it(admin: Client, owner: User) -> None:
    test_user_with_keys_can_be_changed(admin, owner)
    (sent,) = mail.outbox
    assert sent.to == ["owner@example.com"]
    assert "renamed@example.com" in sent.body


def test_helpers_change_and_revoke_for_ordinary_users(helper: Client, owner: User) -> None:
    password = "another horse battery"
    data = {"usable_password": "true", "password1": password, "password2": password}
    assert helper.post(f"/admin/accounts/user/{owner.pk}/password/", data).status_code == 302
    owner.refresh_from_db()
    key, secret = ApiKey.objects.issue(user=owner, name="laptop")
    helper.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert ApiKey.objects.authenticate(secret) is None


def test_groups_are_deleted_by_superusers(helper: Client, admin: Client) -> None:
    group = Group.objects.create(name="VIP")
    assert helper.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}).status_code == 403
    helper.post("/admin/auth/group/", {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"})
    assert Group.objects.exists()
    assert admin.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}).status_code == 302


def test_staff_change_their_own_password_where_everybody_does(admin: Client, staff: User) -> None:
    new = "another horse battery"
    data = {"old_password": "correct horse battery", "new_password1": new, "new_password2": new}
    for response in (admin.get("/admin/password_change/"), admin.post("/admin/password_change/", data)):
        assert response["Location"] == "/accounts/password/change/"
    staff.refresh_from_db()
    assert not staff.check_password(new)


@pytest.mark.parametrize(("page", "status"), [("1", 200), ("2", 404), ("0", 404), ("x", 404), ("9" * 5000, 404)])
def test_a_search_has_the_pages_that_it_has(admin: Client, page: str, status: int) -> None:
    assert admin.get("/admin/search/", {"s": "user", "page": page}).status_code == status
