"""Forms of the account pages."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from accounts.models import USUAL_SCOPES, Scope

LIFETIMES = [("", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year")]


class KeyForm(forms.Form):
    """A new API key."""

    name = forms.CharField(max_length=100, help_text="What it is for, such as the program that will use it.")
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=USUAL_SCOPES,
        label="What it may do",
        error_messages={"required": "Choose at least one."},
    )
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False, initial="90", label="Expires")

    def expires_at(self) -> datetime | None:
        """When it stops working; None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None
