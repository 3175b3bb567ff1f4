"""The mails of a site that sends none: staff read them, so that sign-up and new passwords work without SMTP.

A mail may open its reader's way into an account, past impersonation and its limits. So there is no such page on any
other site, a mail to somebody else needs the permission to impersonate, and whoever opens one is in the audit log. A
mail to an address at which nobody has an account yet opens none: the list shows it as it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Q
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from accounts import audit
from accounts.access import user_of
from accounts.impersonation import PERMISSION
from accounts.models import User
from accounts.models.encrypted import UnreadableError
from accounts.models.outgoing_mail import OutgoingMail

PER_PAGE = 25


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The newest mails: to whom, about what, and when. 404 for everybody but staff, and on every other site."""
    _ensure_exists(request)
    page = Paginator(OutgoingMail.objects.all(), PER_PAGE).get_page(request.GET.get("page"))
    reader, taken = _Reader(user_of(request)), _with_accounts(page.object_list)
    context = {
        "page": page,
        "mails": [(mail, reader.may_open(mail), taken.isdisjoint(_to(mail))) for mail in page],
        "reads_others": reader.reads_others,
    }
    return render(request, "outbox.html", context)


@never_cache
@require_GET
def mail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """What one mail says; 404 for who may not read it."""
    _ensure_exists(request)
    found = get_object_or_404(OutgoingMail, pk=pk)
    reader = _Reader(user_of(request))
    if not reader.may_open(found):
        raise Http404
    if not reader.owns(found):
        person = User.objects.filter(emailaddress__email__in=_to(found)).first()
        audit.note(request, audit.MAIL_READ, found, person=person)
    try:
        found.raw  # noqa: B018  (whether it can be decrypted)
    except UnreadableError as error:
        return render(request, "outbox_mail.html", {"mail": found, "problem": str(error)})
    return render(request, "outbox_mail.html", {"mail": found})


class _Reader:
    """Which mails a member of staff may open: their own; with the permission to impersonate, also those to people
    without powers; as a superuser, all.
    """

    def __init__(self, user: User) -> None:
        # Only addresses that were confirmed: anybody may claim another one, and would read what goes to its owner.
        own = EmailAddress.objects.filter(user=user, verified=True)
        self._own = {email.lower() for email in own.values_list("email", flat=True)}
        self._powerful = set() if user.is_superuser else _powerful()
        self.reads_others = user.has_perm(PERMISSION)

    def owns(self, mail: OutgoingMail) -> bool:
        """True if it goes to nobody else."""
        return self._own.issuperset(_to(mail))

    def may_open(self, mail: OutgoingMail) -> bool:
        """Mails to people with powers open accounts with powers, so these are for superusers."""
        return self.owns(mail) or (self.reads_others and self._powerful.isdisjoint(_to(mail)))


def _ensure_exists(request: HttpRequest) -> None:
    is_needed = not settings.IS_CLUSTER and not settings.EMAIL_HOST
    if not is_needed or not request.user.is_authenticated or not request.user.is_staff:
        raise Http404


def _to(mail: OutgoingMail) -> set[str]:
    return {each.lower() for each in mail.recipients}


def _with_accounts(mails: Iterable[OutgoingMail]) -> set[str]:
    """Those of their addresses, in lower case, at which somebody has an account: confirmed, or signed in to before."""
    addresses = set[str]().union(*map(_to, mails))
    confirmed = EmailAddress.objects.filter(email__in=addresses, verified=True).values_list("email", flat=True)
    people = User.objects.annotate(address=Lower("email")).filter(address__in=addresses)
    used = people.filter(last_login__isnull=False).values_list("email", flat=True)
    return {email.lower() for email in (*confirmed, *used)}


def _powerful() -> set[str]:
    """Addresses, in lower case, that mails about accounts with powers go to."""
    has_powers = Q(user__is_staff=True) | Q(user__is_superuser=True)
    return {email.lower() for email in EmailAddress.objects.filter(has_powers).values_list("email", flat=True)}
