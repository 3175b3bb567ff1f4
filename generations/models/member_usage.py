"""How much members of a team use: for those who look after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from accounts.models import Workspace
from generations.models.asset import Asset
from generations.models.generation import UPSTREAM, Generation, Status
from generations.models.queue import MemberMonth, this_month


@dataclass(slots=True)
class MemberUsage:
    """Generations that a member began in this calendar month (UTC), that wait, and that run; bytes of the files."""

    jobs: int = 0
    waiting: int = 0
    running: int = 0
    stored_bytes: int = 0


def usage_of(workspace: Workspace, user_ids: Collection[int]) -> dict[int, MemberUsage]:
    """By user, in four statements however many these are. A file that several members have counts for each."""
    found = {each: MemberUsage() for each in user_ids}
    mine, month = Q(workspace=workspace, user__in=user_ids), this_month()
    rows = Generation.objects.filter(mine).order_by()
    begun = rows.filter(created_at__gte=month).values("user").annotate(number=Count("pk"))
    for user, number in begun.values_list("user", "number"):
        found[user].jobs = number
    waiting, running = Count("pk", filter=Q(status=Status.QUEUED)), Count("pk", filter=Q(status__in=UPSTREAM))
    for row in rows.active().values("user").annotate(waiting=waiting, running=running):
        found[row["user"]].waiting, found[row["user"]].running = row["waiting"], row["running"]
    # What a limit is held against knows deleted ones, too; without a limit nobody counts there.
    for user, number in MemberMonth.objects.filter(mine, month=month.date()).values_list("user", "jobs"):
        found[user].jobs = max(found[user].jobs, number)
    for user, size in _stored(mine).values("user").annotate(size=Sum("size_bytes")).values_list("user", "size"):
        found[user].stored_bytes = size
    return found


def _stored(mine: Q) -> QuerySet[Asset]:
    """One row for each stored file of each member."""
    earlier = Asset.objects.filter(
        key=OuterRef("key"), workspace=OuterRef("workspace"), user=OuterRef("user"), pk__lt=OuterRef("pk")
    )
    return Asset.objects.filter(mine).filter(~Exists(earlier)).order_by()
