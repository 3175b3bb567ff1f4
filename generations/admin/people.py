"""A person's page in the admin: what they use, what is open, what staff did, and what staff may do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import audit, confirming, impersonation, standing, welcome
from accounts.access import user_of
from accounts.addresses import address_of
from accounts.admin import UserAdmin
from accounts.models import AuditEntry, Membership, Plan, User, Workspace
from accounts.sessions import browser_of
from generations.models import Generation, Status, StorageUsage

DAYS = 30
ENTRIES = 30
SUSPEND, IMPERSONATE = "accounts.suspend_user", impersonation.PERMISSION


class SuspensionForm(forms.Form):
    """Why somebody is suspended."""

    reason = forms.CharField(
        max_length=standing.REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="For staff; the person does not read it.",
        error_messages={"required": "Say why: the audit log keeps it."},
    )


class ImpersonationForm(forms.Form):
    """Why somebody is impersonated."""

    reason = forms.CharField(
        max_length=impersonation.REASON_LENGTH,
        help_text="Such as the request that you answer. The audit log keeps it.",
        error_messages={"required": "Say why: the audit log keeps it."},
    )


class InvitationForm(forms.Form):
    """Who is invited to the site."""

    email = forms.EmailField(label="E-mail address", max_length=254)
    plan = forms.ModelChoiceField(Plan.objects.all(), required=False, empty_label="The usual limits")


class PersonAdmin(UserAdmin):
    """With a page for looking at a person, and its buttons."""

    list_before_template = "admin/accounts/_invite.html"

    list_select_related = ("plan",)
    change_form_outer_before_template = "admin/accounts/_to_person.html"

    def get_list_display(self, request: HttpRequest) -> Any:
        """With a link to the page, the plan, and since when somebody is suspended."""
        first, *others = super().get_list_display(request)
        return (first, "shown_page", "plan", "shown_suspension", *others)

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Also by suspension."""
        return (*super().get_list_filter(request), ("suspended_at", admin.EmptyFieldListFilter))

    def get_urls(self) -> list[URLPattern]:
        """With the page and its buttons."""
        wrap = self.admin_site.admin_view
        post = {
            "suspend": self.suspend,
            "reinstate": self.reinstate,
            "sign_out": self.sign_out,
            "impersonate": self.impersonate,
            "remind": self.remind,
        }
        return [
            path("invite/", wrap(require_http_methods(["GET", "HEAD", "POST"])(self.invite)), name="people_invite"),
            path("<int:pk>/person/", wrap(require_GET(self.person)), name="person"),
            *(path(f"<int:pk>/{name.replace('_', '-')}/", wrap(require_POST(view)), name=f"person_{name}")
              for name, view in post.items()),
            *super().get_urls(),
        ]  # fmt: skip

    @admin.display(description="Person")
    def shown_page(self, person: User) -> str:
        """A link to the page."""
        return format_html('<a href="{}">Look</a>', reverse("admin:person", args=[person.pk]))

    @admin.display(description="Suspended", ordering="suspended_at", empty_value="")
    def shown_suspension(self, person: User) -> datetime | None:
        """The moment of the suspension; None for people who are not suspended."""
        return person.suspended_at

    def person(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Look at a person."""
        return self._page(request, self._find(request, pk))

    def invite(self, request: HttpRequest) -> HttpResponse:
        """Invite somebody to the site by mail."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = InvitationForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and (person := self._invited(request, form)) is not None:
            self.message_user(request, f"We sent an invitation to {person}.", messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:person", args=[person.pk]))
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Invite somebody", "form": form}
        status = 422 if form.is_bound else 200
        return TemplateResponse(request, "admin/accounts/invite.html", context, status=status)

    def _invited(self, request: HttpRequest, form: InvitationForm) -> User | None:
        try:
            return welcome.invite(
                form.cleaned_data["email"],
                by=user_of(request),
                plan=form.cleaned_data["plan"],
                address=address_of(request),
            )
        except welcome.KnownAddressError as error:
            form.add_error("email", str(error))
            return None

    def remind(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the invitation once more."""
        person = self._find(request, pk, "accounts.add_user")

        def act() -> str:
            done = welcome.remind(person, by=user_of(request), address=address_of(request))
            return f"We sent the invitation to {person} again." if done else f"{person} needs no invitation any more."

        return self._do(request, person, act)

    def suspend(self, request: HttpRequest, pk: int) -> HttpResponse:
        """End this person's sessions, connections and work at once."""
        person, form = self._find(request, pk, SUSPEND), SuspensionForm(request.POST)
        if not form.is_valid():
            return self._page(request, person, suspension=form)
        reason = form.cleaned_data["reason"]

        def act() -> str:
            done = standing.suspend(person, by=user_of(request), reason=reason, address=address_of(request))
            return f"{person} is suspended." if done else f"{person} was suspended already."

        return self._do(request, person, act)

    def reinstate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let them in again."""
        person = self._find(request, pk, SUSPEND)

        def act() -> str:
            done = standing.reinstate(person, by=user_of(request), address=address_of(request))
            return f"{person} may sign in again, and their keys work." if done else f"{person} is not suspended."

        return self._do(request, person, act)

    def sign_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        """End all their sessions."""
        person = self._find(request, pk, SUSPEND)

        def act() -> str:
            standing.sign_out_everywhere(person, by=user_of(request), address=address_of(request))
            return f"{person} is signed out everywhere. Their keys go on working."

        return self._do(request, person, act)

    def impersonate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Become that person for an hour at most, and go to their first page."""
        person, form = self._find(request, pk, IMPERSONATE), ImpersonationForm(request.POST)
        if not form.is_valid():
            return self._page(request, person, impersonation=form)
        confirming.ensure(request)
        try:
            impersonation.start(request, person, reason=form.cleaned_data["reason"])
        except standing.OutOfReachError as error:
            raise PermissionDenied(str(error)) from error
        return HttpResponseRedirect(reverse("history"))

    def _find(self, request: HttpRequest, pk: int, permission: str = "") -> User:
        """The person; PermissionDenied for staff who may not look, or lack the permission; Http404."""
        if not self.has_view_permission(request) or (permission and not user_of(request).has_perm(permission)):
            raise PermissionDenied
        return get_object_or_404(User.objects.select_related("plan", "suspended_by"), pk=pk)

    def _do(self, request: HttpRequest, person: User, act: Callable[[], str]) -> HttpResponse:
        try:
            sentence = act()
        except standing.OutOfReachError as error:
            raise PermissionDenied(str(error)) from error
        self.message_user(request, sentence, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:person", args=[person.pk]))

    def _page(self, request: HttpRequest, person: User, **bound: forms.Form) -> HttpResponse:
        staff, is_invalid = user_of(request), bool(bound)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": person.email,
            "person": person,
            "days": DAYS,
            "jobs": _jobs(person),
            "active": Generation.objects.made_by(person).active().count(),
            "stored": StorageUsage.objects.stored_in(Workspace.objects.personal_of(person)),
            "memberships": Membership.objects.of(person).select_related("workspace").order_by("pk")[:50],
            "sessions": _sessions(person),
            "keys": person.api_keys.all()[:50],
            "last_activity": _last_activity(person),
            "can_suspend": staff.has_perm(SUSPEND) and _is_allowed(standing.ensure_within_reach, staff, person),
            "can_impersonate": _is_allowed(impersonation.ensure_may, staff, person),
            "can_remind": staff.has_perm("accounts.add_user") and welcome.is_waiting(person),
            "can_change": self.has_change_permission(request, person),
            "suspension": bound.get("suspension") or SuspensionForm(),
            "impersonation": bound.get("impersonation") or ImpersonationForm(),
            **_audited(request, person),
        }
        status = 422 if is_invalid else 200
        return TemplateResponse(request, "admin/accounts/person.html", context, status=status)


def _jobs(person: User) -> list[tuple[str, int]]:
    """(status, how many) of the last DAYS days."""
    since = timezone.now() - timedelta(days=DAYS)
    rows = Generation.objects.made_by(person).filter(created_at__gte=since).order_by()
    found = dict(rows.values_list("status").annotate(number=Count("pk")))
    return [(Status(status).label, found[status]) for status in Status.values if status in found]


def _sessions(person: User) -> list[tuple[UserSession, str]]:
    """Those that still hold, the last one used first, each with its browser."""
    found = sorted(UserSession.objects.purge_and_list(person), key=lambda each: each.last_seen_at, reverse=True)
    return [(each, browser_of(each.user_agent)) for each in found]


def _last_activity(person: User) -> datetime | None:
    """When they last signed in, used a key or began a job."""
    used = person.api_keys.order_by("-last_used_at").filter(last_used_at__isnull=False)
    moments = (
        person.last_login,
        used.values_list("last_used_at", flat=True).first(),
        Generation.objects.made_by(person).newest_first().values_list("created_at", flat=True).first(),
    )
    return max((each for each in moments if each is not None), default=None)


def _audited(request: HttpRequest, person: User) -> dict[str, Any]:
    """What staff did to them, for those who may read the log."""
    if not user_of(request).has_perm("accounts.view_auditentry"):
        return {"entries": None, "history": None}
    about = AuditEntry.objects.about(person.pk)
    return {
        "entries": about[:ENTRIES],
        "history": about.filter(verb__in=(audit.SUSPENDED, audit.REINSTATED))[:ENTRIES],
        "log": f"{reverse('admin:accounts_auditentry_changelist')}?person={person.pk}",
    }


def _is_allowed(ensure: Callable[[User, User], None], staff: User, person: User) -> bool:
    try:
        ensure(staff, person)
    except standing.OutOfReachError:
        return False
    return True


admin.site.unregister(User)
admin.site.register(User, PersonAdmin)
