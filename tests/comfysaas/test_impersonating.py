"""While staff impersonate somebody: the banner, what is open, what is closed, and that all of it is logged."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts import audit, impersonation, standing
from accounts.access import Access
from accounts.models import ApiKey, AuditEntry, User
from comfysaas import impersonating
from generations.models import Generation, Status
from tests.accounts.guessing import PASSWORD
from tests.api.envelope import error_of
from tests.support.factories import make_generation, make_output, make_template, make_user
from tests.support.matrix import pages

BANNER = "are impersonating"


@pytest.fixture
def support(db: None) -> User:
    """Staff who may look at people and impersonate them."""
    user = make_user("support@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "impersonate_user"]))
    return user


@pytest.fixture
def browser(support: User, client_for: Any) -> Client:
    """Their browser."""
    client: Client = client_for(support)
    return client


def start(browser: Client, person: User, reason: str = "ticket 7") -> Any:
    return browser.post(f"/admin/accounts/user/{person.pk}/impersonate/", {"reason": reason})


@pytest.fixture
def inside(browser: Client, owner: User) -> Client:
    """Their browser, while they impersonate the owner."""
    assert start(browser, owner)["Location"] == "/generations/"
    return browser


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))


# ---------------------------------------------------------------------------------------------- who may start
def test_it_asks_staff_to_confirm_who_they_are(support: User, owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(support, backend="allauth.account.auth_backends.AuthenticationBackend")
    browser.get(f"/admin/accounts/user/{owner.pk}/person/")
    token = browser.cookies["csrftoken"].value
    path = f"/admin/accounts/user/{owner.pk}/impersonate/"
    asked = browser.post(path, {"reason": "ticket 7", "csrfmiddlewaretoken": token})
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert BANNER not in browser.get("/").content.decode()
    data = {"password": PASSWORD, "next": path, "csrfmiddlewaretoken": token}
    assert browser.post("/accounts/reauthenticate/", data)["Location"] == "/generations/"
    assert BANNER in browser.get("/").content.decode()
    assert verbs().count("started to impersonate") == 1


def test_it_is_for_staff_with_the_permission(owner: User, stranger: User, client_for: Any) -> None:
    looker = make_user("looker@example.com", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_user"))
    for client, status in ((Client(), 302), (client_for(stranger), 302), (client_for(looker), 403)):
        assert start(client, owner).status_code == status
        assert BANNER not in client.get("/", follow=True).content.decode()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("whom", ["superuser", "other staff", "oneself", "suspended", "inactive"])
def test_some_people_are_out_of_reach(browser: Client, support: User, staff: User, owner: User, whom: str) -> None:
    if whom == "suspended":
        standing.suspend(owner, by=staff, reason="spam")
    elif whom == "inactive":
        User.objects.filter(pk=owner.pk).update(is_active=False)
    other = make_user("other@example.com", is_staff=True)
    person = {"superuser": staff, "other staff": other, "oneself": support}.get(whom, owner)
    assert start(browser, person).status_code == 403
    assert audit.IMPERSONATION_STARTED not in verbs()
    assert browser.get("/admin/").status_code == 200


def test_superusers_impersonate_staff_but_no_superuser(admin: Client, staff: User, support: User) -> None:
    other = make_user("root@example.com", is_staff=True, is_superuser=True)
    assert start(admin, other).status_code == 403
    assert start(admin, support).status_code == 302
    assert admin.get("/admin/").status_code == 403  # closed even to what that person may do


def test_a_missing_person_is_a_404_and_a_missing_reason_is_said(browser: Client, owner: User) -> None:
    assert browser.post("/admin/accounts/user/999999/impersonate/", {"reason": "x"}).status_code == 404
    response = start(browser, owner, reason=" ")
    assert response.status_code == 422
    assert "Say why" in response.content.decode()
    assert browser.get(f"/admin/accounts/user/{owner.pk}/impersonate/").status_code == 405


# ---------------------------------------------------------------------------------------------- what is open
def test_staff_see_the_persons_work_and_the_banner(inside: Client, owner: User, support: User, stranger: User) -> None:
    mine, other = make_generation(owner, status=Status.SUCCEEDED), make_generation(stranger)
    output = make_output(mine)
    pages = ["/", "/generations/", f"/generations/{mine.pk}/", "/account/storage/", "/api/docs", "/no/such/page/"]
    for page in pages:
        html = inside.get(page).content.decode()
        assert BANNER in html, page
        assert f"You, {support.email}, are impersonating {owner.email}." in html
    assert output.asset is not None
    assert inside.get(f"/assets/{output.asset.pk}/").status_code == 200
    assert inside.get(f"/generations/{other.pk}/").status_code == 404


def test_others_see_no_banner(owner: User, browser: Client, client_for: Any) -> None:
    assert BANNER not in client_for(owner).get("/").content.decode()
    assert BANNER not in browser.get("/").content.decode()


def test_a_run_is_that_persons_and_logged_with_both(
    inside: Client, owner: User, support: User, known_server: Any
) -> None:
    make_template()
    response = inside.post(
        "/templates/text-to-image/", {"prompt": "x", "width": 64, "height": 64, "steps": 4, "cfg": 8}
    )
    assert response.status_code in {200, 302}, response.content.decode()
    assert Generation.objects.get().user == owner
    entry = AuditEntry.objects.order_by("pk").last()
    assert entry is not None
    assert (entry.verb, entry.actor, entry.person) == (audit.IMPERSONATED, support, owner)
    assert entry.details == {"method": "POST", "path": "/templates/text-to-image/"}


def test_what_is_looked_at_is_logged(inside: Client, owner: User) -> None:
    inside.get("/generations/?q=x")
    inside.get("/api/v2/jobs")
    paths = [each.details["path"] for each in AuditEntry.objects.filter(verb=audit.IMPERSONATED).order_by("pk")]
    assert paths == ["/generations/", "/api/v2/jobs"]


# ---------------------------------------------------------------------------------------------- what is closed
def test_what_nobody_has_opened_is_closed() -> None:
    known = {page.name for page in pages()}
    assert known >= impersonating.OPEN | impersonating.DOABLE | impersonating.QUIET
    dangerous = (
        "account_",
        "mfa",
        "usersessions",
        "socialaccount",
        "admin:",
        "api-key",
        "webhook",
        "delete",
        "invitation",
    )
    opened = impersonating.OPEN | impersonating.DOABLE
    assert [name for name in opened if any(word in name for word in dangerous)] == ["account_logout"]
    for name in known:
        assert not impersonating._is_open(name, "POST") or name in impersonating.DOABLE, name
        assert not impersonating._is_open(name, "DELETE") or name in impersonating.DOABLE, name


@pytest.mark.parametrize(
    "address",
    [
        "/account/keys/", "/account/webhooks/", "/accounts/password/change/", "/accounts/email/", "/admin/",
        "/accounts/login/", "/account/storage/delete/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["get", "post"])
def test_pages_of_the_account_and_the_admin_are_closed(inside: Client, address: str, method: str) -> None:
    response = getattr(inside, method)(address)
    assert response.status_code == 403
    assert "closed while you impersonate" in response.content.decode()
    entry = AuditEntry.objects.order_by("pk").last()
    assert entry is not None
    assert entry.details["refused"] is True


def test_the_person_page_says_what_was_refused(inside: Client, owner: User, staff: User, client_for: Any) -> None:
    inside.get("/account/keys/")
    assert "GET /account/keys/ · refused" in client_for(staff).get(f"/admin/accounts/user/{owner.pk}/person/").text


def test_nothing_is_deleted_and_no_key_is_made(inside: Client, owner: User) -> None:
    done = make_generation(owner, status=Status.SUCCEEDED)
    for response in (
        inside.post(f"/generations/{done.pk}/delete/"),
        inside.post("/account/keys/", {"name": "mine", "scopes": ["read"]}),
        inside.post("/account/storage/delete/"),
    ):
        assert response.status_code == 403
    assert Generation.objects.filter(pk=done.pk).exists()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "people"), ("GET", "servers"),
        ("POST", "keys"), ("GET", "keys"), ("GET", "webhooks"), ("POST", "webhooks"), ("POST", "assets"),
        ("POST", "jobs/bulk"), ("DELETE", "jobs/{job}"), ("POST", "jobs/{job}/cancel"),
    ],
)  # fmt: skip
def test_the_api_is_there_to_read(inside: Client, owner: User, method: str, path: str) -> None:
    job = make_generation(owner)
    response = inside.generic(method, f"/api/v2/{path.format(job=job.pk)}", b"{}", content_type="application/json")
    error_of(response, 403, "impersonating")
    assert inside.get(f"/api/v2/jobs/{job.pk}").status_code == 200


def test_a_key_in_the_request_is_judged_alone(inside: Client, stranger: User) -> None:
    secret = ApiKey.objects.issue(user=stranger, name="k")[1]
    me = inside.get("/api/v2/me", headers={"Authorization": f"Bearer {secret}"})
    assert me.json()["email"] == stranger.email


def test_a_key_beside_the_session_opens_no_page(inside: Client) -> None:
    for header in ("Bearer csk_x", "x"):
        assert inside.get("/account/keys/", headers={"Authorization": header}).status_code == 403
        assert inside.get("/admin/", headers={"Authorization": header}).status_code == 403
        assert BANNER in inside.get("/", headers={"Authorization": header}).content.decode()
    document = inside.get("/api/v2/openapi.json", headers={"Authorization": "Bearer csk_x"})
    error_of(document, 401, "unauthorized")


def test_what_staff_confirmed_of_themselves_does_not_count_as_that_person(support: User, owner: User) -> None:
    browser = Client()
    browser.post("/accounts/login/", {"login": support.email, "password": "correct horse battery"})
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert "account_authentication_methods" in browser.session
    start(browser, owner)
    assert set(browser.session.keys()) == {"impersonation", "_auth_user_id", "_auth_user_backend", "_auth_user_hash"}
    browser.post("/account/impersonation/end/")
    assert "account_authentication_methods" in browser.session


# ---------------------------------------------------------------------------------------------- how it ends
def test_the_banner_ends_it_and_gives_the_session_back(inside: Client, owner: User, support: User) -> None:
    before = inside.session.session_key
    response = inside.post("/account/impersonation/end/")
    assert response["Location"] == f"/admin/accounts/user/{owner.pk}/person/"
    assert inside.session.session_key != before
    page = inside.get(response["Location"])
    assert page.context["user"] == support
    assert BANNER not in page.content.decode()
    assert verbs()[0] == audit.IMPERSONATION_STARTED
    assert verbs()[-1] == audit.IMPERSONATION_ENDED
    first, last = AuditEntry.objects.order_by("pk").first(), AuditEntry.objects.order_by("pk").last()
    assert first is not None
    assert last is not None
    assert first.details["reason"] == "ticket 7"
    assert (last.actor, last.person, last.details) == (support, owner, {"why": impersonation.ASKED})


def test_ending_without_one_does_nothing(browser: Client) -> None:
    assert browser.post("/account/impersonation/end/")["Location"] == "/"
    assert browser.get("/account/impersonation/end/")["Location"] == "/"
    assert Client().post("/account/impersonation/end/")["Location"].startswith("/accounts/login/")
    assert not AuditEntry.objects.exists()


def test_after_an_hour_it_is_over(browser: Client, owner: User, support: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impersonation, "LONGEST_SECONDS", -1.0)
    start(browser, owner)
    access = Access(owner.pk, session_key=browser.session.session_key)
    assert not access.holds()
    response = browser.get("/generations/")
    assert response["Location"] == f"/admin/accounts/user/{owner.pk}/person/"
    page = browser.get(response["Location"])
    assert page.context["user"] == support
    assert "an hour had passed" in page.content.decode()
    assert verbs() == [audit.IMPERSONATION_STARTED, audit.IMPERSONATION_ENDED]


@pytest.mark.parametrize("kind", ["htmx", "api", "form"])
def test_whatever_comes_after_an_hour_is_not_done(
    browser: Client, owner: User, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(impersonation, "LONGEST_SECONDS", -1.0)
    waiting = make_generation(owner)
    start(browser, owner)
    if kind == "api":
        error_of(browser.get("/api/v2/jobs"), 403, "impersonation_ended")
    elif kind == "htmx":
        response = browser.get("/generations/", headers={"HX-Request": "true"})
        assert response["HX-Redirect"] == f"/admin/accounts/user/{owner.pk}/person/"
    else:
        assert browser.post(f"/generations/{waiting.pk}/cancel/").status_code == 302
        waiting.refresh_from_db()
        assert waiting.status == Status.QUEUED


@pytest.mark.parametrize("how", ["permission", "suspended", "password", "signed out"])
def test_it_ends_when_the_member_of_staff_loses_the_right(
    inside: Client, owner: User, support: User, staff: User, how: str
) -> None:
    access = Access(owner.pk, session_key=inside.session.session_key)
    assert access.holds()
    if how == "permission":
        support.user_permissions.clear()
    elif how == "suspended":
        standing.suspend(support, by=staff, reason="x")
    elif how == "password":
        support.set_password("another horse battery")
        support.save()
    else:
        standing.sign_out_everywhere(support, by=staff)
    assert not access.holds()
    assert inside.get("/generations/")["Location"] == "/accounts/login/"
    assert inside.get("/")["Location"].startswith("/accounts/login/")
    assert verbs()[-1] == audit.IMPERSONATION_ENDED


@pytest.mark.parametrize("how", ["suspended", "password", "superuser", "deleted"])
def test_it_ends_when_the_person_is_out_of_reach_and_staff_stay_signed_in(
    inside: Client, owner: User, support: User, staff: User, how: str
) -> None:
    pk = owner.pk
    if how == "suspended":
        standing.suspend(owner, by=staff, reason="x")
    elif how == "password":
        owner.set_password("another horse battery")
        owner.save()
    elif how == "superuser":
        User.objects.filter(pk=pk).update(is_superuser=True)
    else:
        owner.delete()
    assert inside.get("/generations/")["Location"] == f"/admin/accounts/user/{pk}/person/"
    assert inside.get("/admin/").context["user"] == support


def test_signing_out_ends_both(inside: Client, owner: User) -> None:
    inside.post("/accounts/logout/")
    assert inside.get("/")["Location"].startswith("/accounts/login/")
    entry = AuditEntry.objects.order_by("pk").last()
    assert entry is not None
    assert (entry.verb, entry.details) == (audit.IMPERSONATION_ENDED, {"why": impersonation.SIGNED_OUT})


def test_one_does_not_lead_into_another(inside: Client, stranger: User) -> None:
    assert start(inside, stranger).status_code == 403
    assert f"impersonating {stranger.email}" not in inside.get("/").content.decode()


def test_the_session_key_from_before_is_worth_nothing(browser: Client, support: User, owner: User) -> None:
    before = browser.session.session_key
    start(browser, owner)
    assert not Access(support.pk, session_key=before).holds()
    assert Access(owner.pk, session_key=browser.session.session_key).holds()
    assert not Access(support.pk, session_key=browser.session.session_key).holds()


# ---------------------------------------------------------------------------------------------- suspended people
def test_a_session_that_was_made_all_the_same_is_ended(owner: User, staff: User, client_for: Any) -> None:
    standing.suspend(owner, by=staff, reason="spam")
    client = client_for(owner)  # as if something had signed them in
    page = client.get("/")
    assert page.status_code == 403
    assert "Your account is suspended" in page.content.decode()
    assert client.get("/").status_code == 302


def test_the_api_says_so_to_such_a_session(owner: User, staff: User, client_for: Any) -> None:
    standing.suspend(owner, by=staff, reason="spam")
    error_of(client_for(owner).get("/api/v2/me"), 403, "account_suspended")


@pytest.mark.usefixtures("known_server")
@pytest.mark.parametrize("is_part", [False, True])
def test_a_form_that_was_under_way_is_refused_in_plain_words(
    owner: User, staff: User, client_for: Any, monkeypatch: pytest.MonkeyPatch, is_part: bool
) -> None:
    make_template()
    client = client_for(owner)
    from generations.web import pages

    before = pages._run

    def suspended_meanwhile(*arguments: Any) -> Any:
        standing.suspend(User.objects.get(pk=owner.pk), by=staff, reason="spam")
        return before(*arguments)

    monkeypatch.setattr(pages, "_run", suspended_meanwhile)
    data = {"prompt": "x", "width": 64, "height": 64, "steps": 4, "cfg": 8}
    response = client.post("/templates/text-to-image/", data, headers={"HX-Request": "true"} if is_part else {})
    assert response.status_code == 403
    assert "account is suspended" in response.content.decode()
    assert not Generation.objects.exists()


def test_addresses_exist() -> None:
    assert reverse("impersonation-end") == "/account/impersonation/end/"
