"""Forms of the pages about workspaces."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import Membership, Role, Workspace
from accounts.workspaces import Caps

INVITABLE = [(Role.MEMBER.value, Role.MEMBER.label), (Role.ADMIN.value, Role.ADMIN.label)]
ROLES_HELP = "Members run templates. Admins also invite people and look after members. Owners do everything."


class NameForm(forms.ModelForm[Workspace]):
    """The name of a team."""

    class Meta:
        model = Workspace
        fields = ("name",)


class MemberForm(forms.ModelForm[Membership]):
    """A member's role, the role that the page showed, and limits."""

    seen = forms.ChoiceField(choices=Role.choices, widget=forms.HiddenInput)

    class Meta:
        model = Membership
        fields = ("role", "max_concurrent", "max_queued", "max_jobs_per_month")
        help_texts = {"role": ROLES_HELP}

    def __init__(self, *args: Any, may_make_owners: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = self.instance.role
        self.fields["role"].choices = Role.choices if may_make_owners else INVITABLE  # type: ignore[attr-defined]  # a ChoiceField
        for name in ("max_concurrent", "max_queued", "max_jobs_per_month"):
            self.fields[name].label = self.fields[name].label.capitalize()  # type: ignore[union-attr]  # they have one

    def caps(self) -> Caps:
        """The limits that were entered."""
        data = self.cleaned_data
        return Caps(data["max_concurrent"], data["max_queued"], data["max_jobs_per_month"])


class InvitationForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.EmailField(
        required=False,
        label="E-mail address",
        help_text="Leave it empty to get a link that lets one person join, whoever has it.",
        error_messages={"invalid": "Enter a valid e-mail address."},
    )
    role = forms.ChoiceField(choices=INVITABLE, label="Role", help_text=ROLES_HELP)
