"""Users, groups and API keys in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm

from accounts.models import ApiKey, User

admin.site.unregister(Group)


class NewUserForm(BaseUserCreationForm[User]):
    """An address and a password."""

    class Meta:
        model = User
        fields = ("email",)


class ApiKeyInline(TabularInline):  # type: ignore[misc]  # unfold ships no types
    """A user's keys; made on the command line, where the secret can be shown once."""

    model = ApiKey
    extra = 0
    fields = readonly_fields = ("name", "prefix", "created_at", "last_used_at", "expires_at", "revoked_at")
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never here."""
        return False


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User], ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """People. The e-mail address takes the place of Django's user name."""

    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    inlines = (ApiKeyInline,)
    list_display = ("email", "is_staff", "is_active", "last_login", "date_joined")
    list_filter = ("is_staff", "is_active", "groups")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Name", {"fields": ("first_name", "last_name")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Groups decide who sees which template."""


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """All keys, to be looked at and revoked."""

    list_display = ("name", "user", "prefix", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("revoked_at",)
    search_fields = ("name", "prefix", "user__email")
    readonly_fields = ("user", "name", "prefix", "created_at", "last_used_at", "expires_at", "revoked_at")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Keys are made by `manage.py create_api_key`."""
        return False

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """They stop working at once."""
        changed = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{changed} key(s) revoked.")
