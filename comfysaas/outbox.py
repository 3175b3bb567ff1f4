"""The mails of a site that sends none: staff read them, so that sign-up and new passwords work without SMTP."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import user_of
from accounts.models.outgoing_mail import OutgoingMail

PER_PAGE = 25


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The newest mails. 404 for everybody but staff, and wherever other processes share the database.

    With a mail server the page says which mails wait or were given up, and not what they say. Mails to people with
    powers open accounts with powers: only superusers see them.
    """
    if settings.IS_CLUSTER or not request.user.is_authenticated or not request.user.is_staff:
        raise Http404
    page = Paginator(OutgoingMail.objects.all(), PER_PAGE).get_page(request.GET.get("page"))
    hidden = set() if user_of(request).is_superuser else _powerful()
    shown = [(mail, not settings.EMAIL_HOST and hidden.isdisjoint(map(str.lower, mail.recipients))) for mail in page]
    return render(request, "outbox.html", {"page": page, "mails": shown, "is_sent": bool(settings.EMAIL_HOST)})


def _powerful() -> set[str]:
    """Addresses, in lower case, that mails about accounts with powers go to."""
    has_powers = Q(user__is_staff=True) | Q(user__is_superuser=True)
    return {email.lower() for email in EmailAddress.objects.filter(has_powers).values_list("email", flat=True)}
