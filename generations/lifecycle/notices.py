"""Mails to people who asked to hear when a run that took long has ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.urls import reverse
from django.utils import timezone

from accounts import setbacks
from accounts.models import Setback, User
from accounts.profile import NOTIFY_MINUTES
from generations.models import Generation, Status
from generations.models.generation import GenerationQuerySet
from generations.models.reading import LARGE

SETTLED = timedelta(seconds=20)  # ends are written with the moment before their commit
OLDEST = timedelta(days=1)  # what ended before is no news
LAG = timedelta(minutes=10)  # how far behind `notified_until` may stay of people for whom there was nothing
AT_ONCE = 2000
NAMED = 20  # in one mail
NOTICE = "mail about long runs"


def send_due() -> int:
    """Mail people about their own runs that ended and took as long as they said, once for each; how many mails.

    Waiting counts, too: it is the time from asking to the end. Who left a workspace hears nothing of it any more.
    """
    now = timezone.now()
    until = now - SETTLED
    asked = User.objects.filter(notify_after_minutes__isnull=False)
    if (since := asked.order_by("notified_until").values_list("notified_until", flat=True).first()) is None:
        return 0
    rows = list(_ended(max(since, now - OLDEST), until)[: AT_ONCE + 1])
    by_person: dict[User, list[Generation]] = defaultdict(list)
    for row in rows[:AT_ONCE]:
        by_person[row.user].append(row)
    number = 0
    for person, runs in by_person.items():
        with setbacks.apart(NOTICE, person.pk, f"the account {person.pk}", pause=SETTLED):
            number += _tell(person, runs)
    if len(rows) <= AT_ONCE:
        behind = asked.filter(notified_until__lt=until - LAG)
        behind.exclude(pk__in=Setback.objects.filter(task=NOTICE).values("object_id")).update(notified_until=until)
    return number


def _ended(since: datetime, until: datetime) -> GenerationQuerySet:
    took = ExpressionWrapper(F("finished_at") - F("created_at"), output_field=DurationField())
    is_long = Q()
    for minutes in NOTIFY_MINUTES:
        is_long |= Q(user__notify_after_minutes=minutes, took__gte=timedelta(minutes=minutes))
    rows = (
        Generation.objects.annotate(took=took)
        .filter(
            is_long,
            status__in=(Status.SUCCEEDED, Status.FAILED),
            finished_at__gt=since,
            finished_at__lte=until,
            user__notified_until__lt=F("finished_at"),
            user__is_active=True,
            user__suspended_at=None,
            workspace__memberships__user=F("user"),
        )
        .exclude(user__in=list(Setback.objects.waiting(NOTICE)))
    )
    deferred = (f"version__{name}" for name in LARGE)
    return rows.select_related("user", "version__template").defer(*deferred).order_by("finished_at", "pk")


def _tell(person: User, runs: list[Generation]) -> bool:
    """One mail about all of them. False: somebody else was faster, or the address is not confirmed."""
    newest = max(run.finished_at for run in runs if run.finished_at)
    with transaction.atomic():
        mine = User.objects.filter(pk=person.pk, notified_until=person.notified_until)
        if not mine.update(notified_until=newest) or not person.is_verified:
            return False
        get_adapter().send_mail("account/email/runs_ended", person.email, _context(runs))
    return True


def _context(runs: list[Generation]) -> dict[str, object]:
    single = runs[0] if len(runs) == 1 else None
    page = reverse("generation", args=[single.pk]) if single else reverse("history")
    return {
        "lines": [*_lines(runs[:NAMED])],
        "number": len(runs),
        "more": max(0, len(runs) - NAMED),
        "runs_url": f"{settings.PUBLIC_ORIGIN}{page}",
        "profile_url": f"{settings.PUBLIC_ORIGIN}{reverse('profile')}",
    }


def _lines(runs: Iterable[Generation]) -> Iterable[str]:
    for run in runs:
        yield f"“{run.version.title}” {'is done' if run.status == Status.SUCCEEDED else 'failed'}"
