"""The mails of a site that sends none: staff read them, so that sign-up and new passwords work without SMTP.

A mail may open its reader's way into an account, past impersonation and its limits. So there is no such page on any
other site, and whoever opens a mail to somebody else is in the audit log.
"""

from __future__ import annotations

import uuid

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from accounts import audit
from accounts.access import user_of
from accounts.models import User
from accounts.models.outgoing_mail import OutgoingMail

PER_PAGE = 25


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The newest mails: to whom, about what, and when. 404 for everybody but staff, and on every other site."""
    _ensure_exists(request)
    mails = OutgoingMail.objects.defer("message")
    page = Paginator(mails, PER_PAGE).get_page(request.GET.get("page"))
    hidden = set() if user_of(request).is_superuser else _powerful()
    shown = [(mail, hidden.isdisjoint(_to(mail))) for mail in page]
    return render(request, "outbox.html", {"page": page, "mails": shown})


@never_cache
@require_GET
def mail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """What one mail says. Mails to people with powers open accounts with powers: only superusers read them."""
    _ensure_exists(request)
    found = get_object_or_404(OutgoingMail, pk=pk)
    reader, recipients = user_of(request), _to(found)
    if not reader.is_superuser and not _powerful().isdisjoint(recipients):
        raise Http404
    own = {email.lower() for email in EmailAddress.objects.filter(user=reader).values_list("email", flat=True)}
    if not own.issuperset(recipients):
        person = User.objects.filter(emailaddress__email__in=recipients).first()
        audit.note(request, audit.MAIL_READ, found, person=person)
    return render(request, "outbox_mail.html", {"mail": found})


def _ensure_exists(request: HttpRequest) -> None:
    is_needed = not settings.IS_CLUSTER and not settings.EMAIL_HOST
    if not is_needed or not request.user.is_authenticated or not request.user.is_staff:
        raise Http404


def _to(mail: OutgoingMail) -> set[str]:
    return {each.lower() for each in mail.recipients}


def _powerful() -> set[str]:
    """Addresses, in lower case, that mails about accounts with powers go to."""
    has_powers = Q(user__is_staff=True) | Q(user__is_superuser=True)
    return {email.lower() for email in EmailAddress.objects.filter(has_powers).values_list("email", flat=True)}
