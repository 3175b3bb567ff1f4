"""Users, groups, plans and API keys in the admin, and the admin's sign-in."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from unfold.admin import TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import appointing, audit, impersonation, standing
from accounts.access import user_of
from accounts.addresses import address_of
from accounts.audit_admin import AuditEntryAdmin
from accounts.auditing import AuditedAdmin, changes_of
from accounts.models import ApiKey, Plan, User, Workspace
from accounts.workspaces import WorkspaceError

__all__ = ["ApiKeyAdmin", "AuditEntryAdmin", "GroupAdmin", "PlanAdmin", "UserAdmin", "WorkspaceAdmin"]

# Group has a page of ours; the others are for their owners alone, or come from the environment.
admin.site.unregister([Group, EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken, UserSession])
MEMBERS_SHOWN = 200
POWERS = ("is_staff", "is_superuser", "groups")  # permissions come with groups


@never_cache
def sign_in(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Sends people to the site's own sign-in, which limits guessing."""
    target = request.GET.get(REDIRECT_FIELD_NAME, "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(target)
    if not admin.site.has_permission(request):
        return render(request, "admin/not_staff.html", status=403)
    return HttpResponseRedirect(target)


def change_password(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Sends staff to the site's own page, which limits guessing the old password, and mails that it was changed."""
    return HttpResponseRedirect(reverse("account_change_password"))


def search(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """The theme's search. Http404 for a page that it does not have, or whose number is none: there the theme fails."""
    try:
        return cast("HttpResponse", _search_of_theme(request, extra_context))
    except InvalidPage as error:
        raise Http404 from error


_search_of_theme = admin.site.search  # type: ignore[attr-defined]  # unfold ships no types
admin.site.search = search  # type: ignore[attr-defined]
admin.site.login = sign_in  # type: ignore[method-assign]  # as Django documents for sites with their own sign-in
admin.site.password_change = change_password  # type: ignore[method-assign,assignment]


class NewUserForm(UserCreationForm):  # type: ignore[misc]  # unfold ships no types
    """An address and a password."""

    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        """The address in lower case, as the sign-in looks for it."""
        return _free_address(self)


class ChangeUserForm(UserChangeForm):  # type: ignore[misc]  # unfold ships no types
    """What staff may change."""

    def clean_email(self) -> str:
        """The address in lower case, as the sign-in looks for it."""
        return _free_address(self)


def _free_address(form: forms.ModelForm[User]) -> str:
    """The address in lower case; ValidationError when another account has verified it."""
    email = str(form.cleaned_data["email"]).lower()
    if EmailAddress.objects.filter(email=email, verified=True).exclude(user=form.instance.pk).exists():
        msg = "Another account uses this address."
        raise forms.ValidationError(msg)
    return email


class ApiKeyInline(TabularInline):  # type: ignore[misc]  # unfold ships no types
    """A user's keys, to look at. New ones are made where their secret can be shown once."""

    model = ApiKey
    extra = 0
    fields = readonly_fields = ("name", "prefix", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
    can_delete = False
    show_change_link = True
    verbose_name_plural = "API keys"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds keys here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keys are revoked on their own page."""
        return False


@admin.register(Plan)
class PlanAdmin(AuditedAdmin):
    """Shares and limits. A change affects what is admitted from now on."""

    list_display = (
        "name",
        "weight",
        "priority",
        "max_concurrent",
        "max_queued",
        "requests_per_minute",
        "max_storage_mb",
        "retention_days",
    )
    search_fields = ("name",)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):  # type: ignore[misc,type-arg]  # unfold ships no types
    """People. The e-mail address takes the place of Django's user name."""

    form = ChangeUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    inlines = (ApiKeyInline,)
    list_display = ("email", "first_name", "last_name", "is_staff", "is_active", "last_login", "date_joined")
    list_filter = ("is_staff", "is_active", "plan", "groups")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Name", {"fields": ("first_name", "last_name")}),
        ("Servers", {"fields": ("plan",)}),
        ("Permissions", {"fields": ("is_active", *POWERS)}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        """A user who is only being added has no keys."""
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only superusers hand out powers: who may edit users could otherwise make themselves one.

        With another address somebody could sign in as that person, so that needs the permission to impersonate.
        """
        address = ("email",) if obj is not None and not _may_become(request) else ()
        powers = () if _is_superuser(request) else POWERS
        return (*self.readonly_fields, *address, *powers)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Groups are few: boxes to tick."""
        widget = UnfoldAdminCheckboxSelectMultipleWidget()
        return super().formfield_for_manytomany(db_field, request, **{**kwargs, "widget": widget})

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm[User], change: bool) -> None:
        """A replaced address no longer opens the account."""
        super().save_model(request, obj, form, change)
        if not change or "email" in form.changed_data:
            obj.vouch()
        if change and "email" in form.changed_data:
            _tell(str(form.initial["email"]), new_email=obj.email)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Needs the permission to impersonate, as a new address does; a mail tells the person."""
        if not _may_become(request):
            raise PermissionDenied
        with transaction.atomic():  # what cannot be logged does not happen
            return super().user_change_password(request, id, form_url)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Which also is where a new password is known to be set."""
        logged = super().log_change(request, obj, message)
        if "password" in changes_of(request):
            _tell(obj.email)
        return logged

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers change accounts that hold powers, with their passwords and addresses."""
        return bool(super().has_change_permission(request, obj)) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Results and files belong to an account: staff deactivate it instead."""
        return False


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin):  # type: ignore[misc]  # see above
    """Groups decide who sees which template, and what staff may do."""

    filter_horizontal = ()  # its two lists are wider than the page

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Only superusers hand out permissions."""
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers: a template may be restricted to the group."""
        return _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only superusers, for the same reason."""
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers, for the same reason."""
        return _is_superuser(request)


@admin.register(Workspace)
class WorkspaceAdmin(AuditedAdmin):
    """Teams and people's own, to look at and to choose for templates. Their members and owners change them."""

    list_display = ("name", "person", "plan", "created_at", "dissolve_after")
    list_filter = (("person", admin.EmptyFieldListFilter),)
    list_select_related = ("person", "plan")
    search_fields = ("name", "person__email")
    fields = ("public_id", "name", "person", "plan", "created_at", "dissolve_after")
    change_form_outer_before_template = "admin/accounts/_team.html"

    def get_urls(self) -> list[URLPattern]:
        """Adds the address that appoints an owner."""
        view = self.admin_site.admin_view(require_POST(self.appoint))
        return [path("<int:pk>/appoint/", view, name="workspace_appoint"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With a choice of owners for a team that has none."""
        team = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if team is not None and request.user.has_perm(appointing.PERMISSION) and appointing.needs_owner(team):
            context |= {"needs_owner": True, "candidates": appointing.able(team)[:MEMBERS_SHOWN]}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def appoint(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a member (`member`: the person's id) an owner of a team that has none who can sign in."""
        if not request.user.has_perm(appointing.PERMISSION) or not self.has_view_permission(request):
            raise PermissionDenied
        team, chosen = get_object_or_404(Workspace, pk=pk), request.POST.get("member", "")
        person = get_object_or_404(User, pk=int(chosen) if chosen.isdecimal() and len(chosen) < 19 else 0)
        try:
            appointing.appoint(person, to=team, by=user_of(request), address=address_of(request))
        except standing.OutOfReachError as error:
            raise PermissionDenied(str(error)) from error
        except WorkspaceError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"{person} is an owner of “{team.name}” now.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:accounts_workspace_change", args=[quote(pk)]))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        """With the person, whom the name of a personal one has; to choose from, those that stay."""
        rows: QuerySet[Workspace] = super().get_queryset(request).select_related("person")
        is_choice = getattr(request.resolver_match, "url_name", "") == "autocomplete"
        return rows.filter(dissolve_after=None) if is_choice else rows

    def has_add_permission(self, request: HttpRequest) -> bool:
        """People make their own."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Members do that."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Owners dissolve them."""
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin):
    """All keys, to look at and to revoke."""

    list_display = ("name", "user", "prefix", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__email")
    fields = (
        "user",
        "name",
        "prefix",
        "scopes",
        "requests_per_minute",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    actions = ("revoke",)
    change_form_outer_before_template = "admin/buttons.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Users make their own on the page “API keys”; operators use `manage.py create_api_key`."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A key is never changed, only revoked."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change keys may revoke them."""
        return bool(super().has_change_permission(request))

    def get_urls(self) -> list[URLPattern]:
        """Adds the address that revokes a key."""
        view = self.admin_site.admin_view(require_POST(self.revoke_one))
        return [path("<int:pk>/revoke/", view, name="api_key_revoke"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Adds the button that revokes the key."""
        key = self.get_object(request, object_id)
        buttons = []
        if key and key.revoked_at is None and self.has_revoke_permission(request) and _may_touch(request, key.user):
            buttons = [{"url": reverse("admin:api_key_revoke", args=[key.pk]), "label": "Revoke"}]
        context = {**(extra_context or {}), "buttons": buttons}
        return cast("HttpResponse", super().change_view(request, object_id, form_url, context))

    def revoke_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Revoke one key, which stops working at once."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        key = get_object_or_404(ApiKey.objects.select_related("user"), pk=pk)
        if not _may_touch(request, key.user):
            raise PermissionDenied
        self.revoke(request, ApiKey.objects.filter(pk=key.pk))
        return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[quote(pk)]))

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the keys, which stop working at once. Only superusers revoke those of staff."""
        chosen = ApiKey.objects.filter(pk__in=queryset.values("pk"))
        if not _is_superuser(request):
            chosen = chosen.filter(user__is_staff=False, user__is_superuser=False)
        with transaction.atomic():
            for key in chosen.filter(revoked_at=None).select_related("user"):
                audit.note(request, audit.KEY_REVOKED, key, person=key.user)
            number = chosen.revoke()
        self.message_user(request, _revoked(number))


def _revoked(number: int) -> str:
    return f"Revoked {number} key{'s' * (number != 1)}."


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    """Only superusers touch accounts that hold powers: a password, an address or a key of them would take them over."""
    return user is None or _is_superuser(request) or not (user.is_staff or user.is_superuser)


def _may_become(request: HttpRequest) -> bool:
    """Whether they may sign in as others in any case."""
    return bool(request.user.has_perm(impersonation.PERMISSION))


def _tell(email: str, **context: str) -> None:
    """Mail the person what staff changed, to the address that was theirs before."""
    get_adapter().send_mail("account/email/changed_by_staff", email, context)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False)) and request.user.is_active
