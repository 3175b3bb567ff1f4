"""The account's webhook pages: addresses, and the log of what was sent."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import user_of
from accounts.current import choose, chosen_membership, chosen_workspace
from accounts.methods import post_only
from generations.models import Webhook
from generations.models.webhook import ENDS, WebhookEvent, WebhookQuerySet
from generations.outbound import RefusedAddressError
from generations.webhooks import outbox

PAGE_SIZE = 50
CHOICES = [(event.value, event.label) for event in WebhookEvent if event is not WebhookEvent.TEST]


class WebhookForm(forms.Form):
    """An address, and which events it gets."""

    url = forms.CharField(
        max_length=2000, label="Address", widget=forms.URLInput(attrs={"placeholder": "https://example.com/hook"})
    )
    events = forms.MultipleChoiceField(
        choices=CHOICES,
        widget=forms.CheckboxSelectMultiple,
        initial=[event.value for event in ENDS],
        label="Events to send",
        error_messages={"required": "Choose at least one."},
    )
    is_for_every_job = forms.BooleanField(
        required=False,
        initial=True,
        label="For every job",
        help_text="Send events of every job. Off: only of jobs that name this webhook.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """The user's webhooks, and a form for another one."""
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        hook = Webhook(user=user_of(request), workspace=chosen_workspace(request))
        if _save(hook, form):
            choose(request, chosen_workspace(request))  # the form's, where the next page looks for it
            return redirect("webhook", pk=hook.pk)
    context = {"webhooks": _rows(request).select_related("user"), "form": form, "workspace": chosen_workspace(request)}
    return render(request, "account/webhooks.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One webhook: its secret, its settings, and its log."""
    hook = _mine(request, pk)
    given = {"url": hook.url, "events": hook.events, "is_for_every_job": hook.is_for_every_job}
    form = WebhookForm(request.POST if request.method == "POST" else None, initial=given)
    if request.method == "POST" and _save(hook, form):
        messages.success(request, "The webhook was saved.")
        return redirect("webhook", pk=pk)
    context = {"webhook": _mine(request, pk), "form": form, "deliveries": hook.deliveries.all()[:PAGE_SIZE]}
    return render(request, "account/webhook.html", context, status=422 if form.errors else 200)


@login_required
@post_only("webhook", "pk")
def switch(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Switch the webhook off, or on again, which forgets its failures."""
    hook = _mine(request, pk)
    hook.is_enabled = not hook.is_enabled
    try:
        outbox.save(hook)
    except RefusedAddressError as error:
        messages.error(request, str(error))
    return redirect("webhook", pk=pk)


@login_required
@post_only("webhook", "pk")
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Delete the webhook and its log."""
    _mine(request, pk).delete()
    messages.info(request, "The webhook was deleted.")
    return redirect("webhooks")


@login_required
@post_only("webhook", "pk")
def send_test(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Send a `webhook.test` message."""
    outbox.test(_mine(request, pk))
    messages.info(request, "A test is on its way. The log shows its result in a moment.")
    return redirect("webhook", pk=pk)


@login_required
@post_only("webhook", "pk")
def redeliver(request: HttpRequest, pk: uuid.UUID, delivery: uuid.UUID) -> HttpResponse:
    """Send the same message again."""
    outbox.redeliver(get_object_or_404(_mine(request, pk).deliveries, pk=delivery))
    messages.info(request, "The message is sent again.")
    return redirect("webhook", pk=pk)


@login_required
@require_GET
def log(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The log alone, which the page fetches while a message waits."""
    hook = _mine(request, pk)
    return render(
        request, "account/_deliveries.html", {"webhook": hook, "deliveries": hook.deliveries.all()[:PAGE_SIZE]}
    )


def _save(hook: Webhook, form: WebhookForm) -> bool:
    """True when the webhook was saved; else the form has the errors."""
    if not form.is_valid():
        return False
    for name, value in form.cleaned_data.items():
        setattr(hook, name, value)
    try:
        outbox.save(hook)
    except RefusedAddressError as error:
        form.add_error("url", str(error))
        return False
    except outbox.TooManyWebhooksError:
        form.add_error(None, f"You already have {outbox.MAX_WEBHOOKS} webhooks, the most that is possible. Delete one.")
        return False
    return True


def _rows(request: HttpRequest) -> WebhookQuerySet:
    return Webhook.objects.looked_after_by(chosen_membership(request))


def _mine(request: HttpRequest, pk: uuid.UUID) -> Webhook:
    return get_object_or_404(_rows(request), pk=pk)
