"""Forms of the account pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from allauth.account import forms as allauth_forms
from allauth.core import context
from allauth.socialaccount import forms as provider_forms
from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts import claims, invited
from accounts.models import USUAL_SCOPES, Scope, User

LIFETIMES = [("", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year")]


class KeyForm(forms.Form):
    """A new API key."""

    name = forms.CharField(max_length=100, help_text="What the key is for, such as the program that uses it.")
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=USUAL_SCOPES,
        label="What the key may do",
        error_messages={"required": "Choose at least one."},
    )
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False, initial="90", label="Expires")

    def expires_at(self) -> datetime | None:
        """When the key stops working; None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


def _label(form: forms.Form, **labels: str) -> None:
    """Spell the labels of fields as our pages do, and leave out allauth's placeholders, which repeat them."""
    for name in labels.keys() & form.fields.keys():
        form.fields[name].label = labels[name]
        form.fields[name].widget.attrs.pop("placeholder", None)


class _EmailForm(forms.Form):
    """Spells “e-mail” as our pages do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["login" if "login" in self.fields else "email"]
        field.label = field.widget.attrs["placeholder"] = "E-mail address"
        field.error_messages["invalid"] = "Enter a valid e-mail address."


class LoginForm(_EmailForm, allauth_forms.LoginForm):  # type: ignore[misc]  # allauth ships no types
    """For users who have an account."""


class ForgotPasswordForm(_EmailForm, allauth_forms.ResetPasswordForm):  # type: ignore[misc]  # see above
    """Asks for the address that the link goes to."""

    def clean_email(self) -> str:
        """The address. An account that only claims it gets no link there: the address may be a stranger's, mistyped."""
        email = str(super().clean_email())
        self.users: list[User] = claims.holders(self.users, email)
        return email


class _InvitedForm(forms.Form):
    """Begins with the invited address. Where sign-up is not open to anybody, an invitation is for that one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if suggested := invited.suggestion(context.request):
            self.initial.setdefault("email", suggested)

    def clean_email(self) -> str:
        """The address; ValidationError for another than the invited one."""
        email = str(super().clean_email())  # type: ignore[misc]  # allauth's forms have it
        chosen = invited.address_of(context.request)
        if not settings.SIGNUP_OPEN and chosen and email.lower() != chosen:
            msg = f"The invitation is for {chosen}. Sign up with this address."
            raise forms.ValidationError(msg)
        return email


class SignupForm(_EmailForm, _InvitedForm, allauth_forms.SignupForm):  # type: ignore[misc]  # see above
    """Takes as long for an address that has an account as for a new one, so that nobody learns who has one."""

    def validate_unique_email(self, value: str) -> str:
        """Notes whether an account has the address. One that only claims it does not keep its owner out."""
        email = str(super().validate_unique_email(value))
        if self.account_already_exists:
            self.account_already_exists: bool = claims.is_held(email)
        return email

    def try_save(self, request: HttpRequest) -> Any:
        """As allauth's, with the work that a new account makes."""
        if self.account_already_exists:
            User().set_password(self.cleaned_data["password1"])
        return super().try_save(request)


class ProviderSignupForm(_EmailForm, _InvitedForm, provider_forms.SignupForm):  # type: ignore[misc]  # see above
    """Asks for the address that a provider did not name."""


class ChangeAddressForm(_EmailForm, allauth_forms.AddEmailForm):  # type: ignore[misc]  # see above
    """A new address, which takes the place of the old one once it is confirmed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "New address"


class _RevokingForm(forms.Form):
    """A new password, and whether keys and webhooks of the old one end."""

    revoke_access = forms.BooleanField(
        required=False,
        initial=True,
        label="Revoke all API keys and switch off all webhooks",
        help_text="Do this if somebody else may have used your account. "
        "You are signed out everywhere else in any case.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _label(self, oldpassword="Current password", password1="New password", password2="New password (again)")

    def save(self) -> None:
        """Saves all of it or nothing; nobody can make a key meanwhile."""
        user: User = self.user  # type: ignore[attr-defined]  # of allauth's forms
        with transaction.atomic():
            user.lock()
            super().save()  # type: ignore[misc]
            if self.cleaned_data["revoke_access"]:
                user.revoke_access()


class ChangePasswordForm(_RevokingForm, allauth_forms.ChangePasswordForm):  # type: ignore[misc]  # see above
    """For users who are signed in."""


class ResetPasswordForm(_RevokingForm, allauth_forms.ResetPasswordKeyForm):  # type: ignore[misc]  # see above
    """For users who followed the link in a mail."""
