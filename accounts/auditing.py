"""The admin of what concerns people: whatever Django's admin logs there becomes an entry of the audit log, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from accounts import audit
from accounts.models import User

_HIDDEN = "not shown"
_CHANGES = "_audited_changes"


class AuditedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Notes what is added, changed and deleted, with the values of changed fields before and after.

    Actions and views that change something on another way call `audit.note`; a test tries them all.
    """

    def person_of(self, obj: Any) -> User | None:
        """Whom a row concerns; None for rows that are of nobody in particular."""
        return obj if isinstance(obj, User) else getattr(obj, "user", None)

    def construct_change_message(
        self, request: HttpRequest, form: forms.Form, formsets: Any, add: bool = False
    ) -> list[dict[str, dict[str, list[str]]]]:
        """Django's; on the way, keeps the values that it does not tell."""
        setattr(request, _CHANGES, _changes(form))
        message: list[dict[str, dict[str, list[str]]]] = super().construct_change_message(request, form, formsets, add)
        return message

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        """With an entry."""
        audit.note(request, audit.ADDED, obj, person=self.person_of(obj), **_details(request))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        """With an entry."""
        audit.note(request, audit.CHANGED, obj, person=self.person_of(obj), **_details(request))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Iterable[models.Model]) -> Any:
        """With an entry for each. Django calls it before it deletes them."""
        for obj in queryset:
            audit.note(request, audit.DELETED, obj, person=self.person_of(obj))
        return super().log_deletions(request, queryset)

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """What cannot be logged does not happen."""
        with transaction.atomic():
            response: HttpResponse | None = super().response_action(request, queryset)
        return response


def changes_of(request: HttpRequest) -> dict[str, list[str]]:
    """For each field that this request's form changed, its value before and after, as a person reads it; of passwords,
    that they changed.
    """
    found: dict[str, list[str]] = getattr(request, _CHANGES, {})
    return found


def _details(request: HttpRequest) -> dict[str, Any]:
    changes = changes_of(request)
    return {"changes": changes} if changes else {}


def _changes(form: forms.Form) -> dict[str, list[str]]:
    return {name: _before_and_after(form, name) for name in form.changed_data}


def _before_and_after(form: forms.Form, name: str) -> list[str]:
    if "password" in name or name not in form.fields:  # of passwords, Django names a field that the form does not have
        return [_HIDDEN, _HIDDEN]
    field = form.fields[name]
    return [_plain(field, form.initial.get(name)), _plain(field, form.cleaned_data.get(name))]


def _plain(field: forms.Field, value: Any) -> str:
    if isinstance(value, (list, tuple, models.QuerySet)):
        return ", ".join(sorted(str(each) for each in value))
    if isinstance(field, forms.ModelChoiceField) and value and not isinstance(value, models.Model):
        value = field.queryset.filter(pk=value).first() if field.queryset is not None else value
    return "" if value is None else str(value)
