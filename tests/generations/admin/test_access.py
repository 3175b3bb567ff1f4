"""Who may what in the admin: every page, for everybody. A new page without a row fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.test import Client

from accounts import standing
from accounts.models import ApiKey, AuditEntry, Membership, Plan, User, Workspace
from generations.models import WorkflowTemplate
from generations.studio import drafts
from tests.support.factories import make_asset, make_generation, make_output, make_server, make_template, make_user, own
from tests.support.matrix import address, ask, look, pages, read
from tests.support.pictures import png

# “login”: led to the page that signs in; “+”: rows were changed. “helper” is staff without a permission, “staff” may
# everything, and “suspended” was staff, too. Nothing here is open to staff who impersonate somebody.
#
# A page without a row for a method refuses it.
ROWS = read(
    """
method page                                                   anonymous owner suspended helper staff
GET    admin:search                                           login     login 403       200    200
POST   admin:search                                           login     login 403       200    200
GET    admin:index                                            login     login 403       200    200
POST   admin:index                                            login     login 403       200    200
GET    admin:login                                            login     403   403       302    302
POST   admin:login                                            login     403   403       302    302
GET    admin:logout                                           302       302   403       405    405
POST   admin:logout                                           302       302   403       200    200
GET    admin:password_change                                  login     login 403       302    302
POST   admin:password_change                                  login     login 403       302    302
GET    admin:password_change_done                             login     login 403       200    200
GET    admin:autocomplete                                     login     login 403       403    403
GET    admin:jsi18n                                           login     login 403       200    200
GET    admin:view_on_site                                     login     login 403       404    404
POST   admin:view_on_site                                     login     login 403       404    404
POST   admin:audit_export                                     login     login 403       403    200
GET    admin:accounts_auditentry_changelist                   login     login 403       403    200
POST   admin:accounts_auditentry_changelist                   login     login 403       403    200
GET    admin:accounts_auditentry_add                          login     login 403       403    403
POST   admin:accounts_auditentry_add                          login     login 403       403    403
GET    admin:accounts_auditentry_history                      login     login 403       403    200
POST   admin:accounts_auditentry_history                      login     login 403       403    200
GET    admin:accounts_auditentry_delete                       login     login 403       403    403
POST   admin:accounts_auditentry_delete                       login     login 403       403    403
GET    admin:accounts_auditentry_change                       login     login 403       403    200
POST   admin:accounts_auditentry_change                       login     login 403       403    403
GET    /admin/accounts/auditentry/<path:object_id>/           login     login 403       302    302
POST   /admin/accounts/auditentry/<path:object_id>/           login     login 403       302    302
GET    admin:accounts_plan_changelist                         login     login 403       403    200
POST   admin:accounts_plan_changelist                         login     login 403       403    200
GET    admin:accounts_plan_add                                login     login 403       403    200
POST   admin:accounts_plan_add                                login     login 403       403    200
GET    admin:accounts_plan_history                            login     login 403       403    200
POST   admin:accounts_plan_history                            login     login 403       403    200
GET    admin:accounts_plan_delete                             login     login 403       403    200
POST   admin:accounts_plan_delete                             login     login 403       403    302+
GET    admin:accounts_plan_change                             login     login 403       403    200
POST   admin:accounts_plan_change                             login     login 403       403    200
GET    /admin/accounts/plan/<path:object_id>/                 login     login 403       302    302
POST   /admin/accounts/plan/<path:object_id>/                 login     login 403       302    302
GET    admin:auth_group_changelist                            login     login 403       403    200
POST   admin:auth_group_changelist                            login     login 403       403    200
GET    admin:auth_group_add                                   login     login 403       403    200
POST   admin:auth_group_add                                   login     login 403       403    200
GET    admin:auth_group_history                               login     login 403       403    200
POST   admin:auth_group_history                               login     login 403       403    200
GET    admin:auth_group_delete                                login     login 403       403    200
POST   admin:auth_group_delete                                login     login 403       403    302+
GET    admin:auth_group_change                                login     login 403       403    200
POST   admin:auth_group_change                                login     login 403       403    200
GET    /admin/auth/group/<path:object_id>/                    login     login 403       302    302
POST   /admin/auth/group/<path:object_id>/                    login     login 403       302    302
GET    admin:accounts_workspace_changelist                    login     login 403       403    200
POST   admin:accounts_workspace_changelist                    login     login 403       403    200
GET    admin:accounts_workspace_add                           login     login 403       403    403
POST   admin:accounts_workspace_add                           login     login 403       403    403
GET    admin:accounts_workspace_history                       login     login 403       403    200
POST   admin:accounts_workspace_history                       login     login 403       403    200
GET    admin:accounts_workspace_delete                        login     login 403       403    403
POST   admin:accounts_workspace_delete                        login     login 403       403    403
GET    admin:accounts_workspace_change                        login     login 403       403    200
POST   admin:accounts_workspace_change                        login     login 403       403    403
GET    /admin/accounts/workspace/<path:object_id>/            login     login 403       302    302
POST   /admin/accounts/workspace/<path:object_id>/            login     login 403       302    302
POST   admin:workspace_appoint                                login     login 403       403    302+
POST   admin:api_key_revoke                                   login     login 403       403    302+
GET    admin:accounts_apikey_changelist                       login     login 403       403    200
POST   admin:accounts_apikey_changelist                       login     login 403       403    200
GET    admin:accounts_apikey_add                              login     login 403       403    403
POST   admin:accounts_apikey_add                              login     login 403       403    403
GET    admin:accounts_apikey_history                          login     login 403       403    200
POST   admin:accounts_apikey_history                          login     login 403       403    200
GET    admin:accounts_apikey_delete                           login     login 403       403    200
POST   admin:accounts_apikey_delete                           login     login 403       403    302+
GET    admin:accounts_apikey_change                           login     login 403       403    200
POST   admin:accounts_apikey_change                           login     login 403       403    403
GET    /admin/accounts/apikey/<path:object_id>/               login     login 403       302    302
POST   /admin/accounts/apikey/<path:object_id>/               login     login 403       302    302
POST   admin:generation_cancel                                login     login 403       403    302+
GET    admin:generations_generation_changelist                login     login 403       403    200
POST   admin:generations_generation_changelist                login     login 403       403    200
GET    admin:generations_generation_add                       login     login 403       403    403
POST   admin:generations_generation_add                       login     login 403       403    403
GET    admin:generations_generation_history                   login     login 403       403    200
POST   admin:generations_generation_history                   login     login 403       403    200
GET    admin:generations_generation_delete                    login     login 403       403    403
POST   admin:generations_generation_delete                    login     login 403       403    403
GET    admin:generations_generation_change                    login     login 403       403    200
POST   admin:generations_generation_change                    login     login 403       403    403
GET    /admin/generations/generation/<path:object_id>/        login     login 403       302    302
POST   /admin/generations/generation/<path:object_id>/        login     login 403       302    302
GET    admin:people_invite                                    login     login 403       403    200
POST   admin:people_invite                                    login     login 403       403    422
GET    admin:person                                           login     login 403       403    200
POST   admin:person_suspend                                   login     login 403       403    302+
POST   admin:person_reinstate                                 login     login 403       403    302+
POST   admin:person_sign_out                                  login     login 403       403    302+
POST   admin:person_impersonate                               login     login 403       403    302
POST   admin:person_remind                                    login     login 403       403    302
GET    admin:auth_user_password_change                        login     login 403       403    200
POST   admin:auth_user_password_change                        login     login 403       403    200
GET    admin:accounts_user_changelist                         login     login 403       403    200
POST   admin:accounts_user_changelist                         login     login 403       403    200
GET    admin:accounts_user_add                                login     login 403       403    200
POST   admin:accounts_user_add                                login     login 403       403    200
GET    admin:accounts_user_history                            login     login 403       403    200
POST   admin:accounts_user_history                            login     login 403       403    200
GET    admin:accounts_user_delete                             login     login 403       403    403
POST   admin:accounts_user_delete                             login     login 403       403    403
GET    admin:accounts_user_change                             login     login 403       403    200
POST   admin:accounts_user_change                             login     login 403       403    200
GET    /admin/accounts/user/<path:object_id>/                 login     login 403       302    302
POST   /admin/accounts/user/<path:object_id>/                 login     login 403       302    302
POST   admin:server_check                                     login     login 403       403    302+
GET    admin:generations_comfyserver_changelist               login     login 403       403    200
POST   admin:generations_comfyserver_changelist               login     login 403       403    200
GET    admin:generations_comfyserver_add                      login     login 403       403    200
POST   admin:generations_comfyserver_add                      login     login 403       403    200
GET    admin:generations_comfyserver_history                  login     login 403       403    200
POST   admin:generations_comfyserver_history                  login     login 403       403    200
GET    admin:generations_comfyserver_delete                   login     login 403       403    200
POST   admin:generations_comfyserver_delete                   login     login 403       403    302+
GET    admin:generations_comfyserver_change                   login     login 403       403    200
POST   admin:generations_comfyserver_change                   login     login 403       403    200
GET    /admin/generations/comfyserver/<path:object_id>/       login     login 403       302    302
POST   /admin/generations/comfyserver/<path:object_id>/       login     login 403       302    302
GET    admin:template_import                                  login     login 403       403    200
POST   admin:template_import                                  login     login 403       403    422
GET    admin:template_studio                                  login     login 403       403    200
GET    admin:studio_import                                    login     login 403       403    302
POST   admin:studio_import                                    login     login 403       403    422
POST   admin:studio_publish                                   login     login 403       403    302+
POST   admin:studio_discard                                   login     login 403       403    302+
POST   admin:studio_restore                                   login     login 403       403    404
POST   admin:studio_expose                                    login     login 403       403    200+
POST   admin:studio_join                                      login     login 403       403    200+
POST   admin:studio_keep                                      login     login 403       403    200+
POST   admin:studio_safety                                    login     login 403       403    200+
POST   admin:studio_flags                                     login     login 403       403    200+
POST   admin:studio_settings                                  login     login 403       403    200
POST   admin:studio_move                                      login     login 403       403    404
POST   admin:studio_remove                                    login     login 403       403    200+
GET    admin:studio_preview                                   login     login 403       403    200
POST   admin:studio_try                                       login     login 403       403    302+
POST   admin:studio_cover                                     login     login 403       403    200
POST   admin:template_publish                                 login     login 403       403    302+
POST   admin:template_duplicate                               login     login 403       403    302+
GET    admin:template_export                                  login     login 403       403    200
GET    admin:template_compare                                 login     login 403       403    200
GET    admin:template_version_download                        login     login 403       403    200
GET    admin:template_cover                                   login     login 403       403    200
GET    admin:generations_workflowtemplate_changelist          login     login 403       403    200
POST   admin:generations_workflowtemplate_changelist          login     login 403       403    200
GET    admin:generations_workflowtemplate_add                 login     login 403       302    302
POST   admin:generations_workflowtemplate_add                 login     login 403       302    302
GET    admin:generations_workflowtemplate_history             login     login 403       403    200
POST   admin:generations_workflowtemplate_history             login     login 403       403    200
GET    admin:generations_workflowtemplate_delete              login     login 403       403    403
POST   admin:generations_workflowtemplate_delete              login     login 403       403    403
GET    admin:generations_workflowtemplate_change              login     login 403       403    200
POST   admin:generations_workflowtemplate_change              login     login 403       403    200
GET    /admin/generations/workflowtemplate/<path:object_id>/  login     login 403       302    302
POST   /admin/generations/workflowtemplate/<path:object_id>/  login     login 403       302    302
GET    admin:generations_webhook_changelist                   login     login 403       403    200
POST   admin:generations_webhook_changelist                   login     login 403       403    200
GET    admin:generations_webhook_add                          login     login 403       403    403
POST   admin:generations_webhook_add                          login     login 403       403    403
GET    admin:generations_webhook_history                      login     login 403       403    200
POST   admin:generations_webhook_history                      login     login 403       403    200
GET    admin:generations_webhook_delete                       login     login 403       403    200
POST   admin:generations_webhook_delete                       login     login 403       403    302+
GET    admin:generations_webhook_change                       login     login 403       403    200
POST   admin:generations_webhook_change                       login     login 403       403    403
GET    /admin/generations/webhook/<path:object_id>/           login     login 403       302    302
POST   /admin/generations/webhook/<path:object_id>/           login     login 403       302    302
GET    admin:app_list                                         login     login 403       404    200
POST   admin:app_list                                         login     login 403       404    200
GET    /admin/(?P<url>.*)$                                    login     login 403       404    404
POST   /admin/(?P<url>.*)$                                    login     login 403       404    404
""",
    by=2,
)
PAGES = {page.name: page for page in pages() if page.name.startswith(("admin:", "/admin/"))}
UNLISTED = {"anonymous": "login", "owner": "login", "suspended": "403", "helper": "405", "staff": "405"}
CALLERS = ("anonymous", "owner", "suspended", "helper", "staff")
BODY = {"post": "yes", "reason": "spam"}  # enough for whatever only asks once more
SECRETS = ("a secret prompt", "/assets/", "whsec_")  # what a person made or keeps, which no member of staff sees


@pytest.fixture
def things(owner: User, staff: User) -> dict[str, str]:
    """One of everything. By the segment of an address that comes before its number."""
    template = make_template()
    template.cover.save("cover.png", ContentFile(png("teal")))
    drafts.draft_of(template).save()
    generation = make_generation(owner, inputs={"prompt": "a secret prompt"}, template=template)
    make_output(generation, asset=make_asset(owner, png("olive")))
    person = make_user("a-person@example.com")
    hook = owner.webhooks.create(url="https://example.com/hook")
    team, member = Workspace.objects.create(name="Nobody's"), make_user("member@example.com")
    Membership.objects.create(workspace=team, user=member)
    return {
        "member": str(member.pk),
        "admin:workspace_appoint": f"/admin/accounts/workspace/{team.pk}/appoint/",
        "auditentry": str(AuditEntry.objects.create(verb="person.suspended", actor=staff, person=person).pk),
        "plan": str(Plan.objects.create(name="small").pk),
        "group": str(Group.objects.create(name="people").pk),
        "workspace": str(own(owner).pk),
        "apikey": str(ApiKey.objects.issue(user=owner, name="laptop")[0].pk),
        "generation": str(generation.pk),
        "user": str(person.pk),
        "comfyserver": str(make_server("known", "http://127.0.0.1:1").pk),
        "workflowtemplate": str(template.pk),
        "webhook": str(hook.pk),
        "versions": "1",
        "parameters": "0",
        "content_type_id": str(ContentType.objects.get_for_model(WorkflowTemplate).pk),
        "": str(template.pk),
        "admin:app_list": "/admin/accounts/",
        "/admin/(?P<url>.*)$": "/admin/nothing/here/",
    }


@pytest.fixture
def browser(owner: User, staff: User, client_for: Callable[[User], Client]) -> Callable[[str], Client]:
    """The browser of a caller."""
    people = {"owner": owner, "staff": staff, "helper": make_user("helper@example.com", is_staff=True)}
    people["suspended"] = make_user("former@example.com", is_staff=True)

    def make(caller: str) -> Client:
        if caller == "anonymous":
            return Client()
        if caller == "suspended":
            standing.suspend(User.objects.get(pk=people[caller].pk), by=staff, reason="spam")
        return client_for(User.objects.get(pk=people[caller].pk))  # as if something had signed the suspended in

    return make


def test_every_page_has_a_row() -> None:
    assert {row.split()[1] for row in ROWS} == set(PAGES)


def test_every_form_needs_its_token() -> None:
    assert [name for name, page in PAGES.items() if getattr(page.view, "csrf_exempt", False)] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", PAGES)
def test_access(name: str, method: str, browser: Callable[[str], Client], things: dict[str, str]) -> None:
    path = address(PAGES[name], things)

    def send(caller: str) -> str:
        answer, response = look(browser(caller), method, path, {**BODY, "member": things["member"]})
        if answer == "200" and not response.streaming:
            assert [secret for secret in SECRETS if secret.encode() in response.content] == [], caller
        return answer

    answers = ask(CALLERS, send)
    assert answers == ROWS.get(f"{method} {name}", UNLISTED)
