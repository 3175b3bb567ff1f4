"""Pages of rows, newest first: where each begins is found by the index, however far back it is."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from accounts.models import User
from generations.models import Generation
from tests.support.factories import make_generation, own


def test_a_page_far_back_begins_at_its_place_in_the_index(owner: User) -> None:
    made = make_generation(owner)
    rows = Generation.objects.in_workspace(own(owner)).older_than(made.created_at, made.pk).newest_first()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # as it plans where there are many
            cursor.execute(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
            )
        begins = next(line for line in rows[:51].explain().splitlines() if "Index Cond" in line)
        assert "created_at <= " in begins
    else:
        assert "(workspace_id=? AND created_at<?)" in rows[:51].explain()


def test_the_newest_few_can_be_filtered_further(owner: User) -> None:
    now = timezone.now()
    made = [make_generation(owner, created_at=now - timedelta(minutes=number // 2)) for number in range(5)]
    rows = Generation.objects.in_workspace(own(owner))
    ordered = list(rows.newest_first())
    for number in range(1, 6):
        newest, last = rows.newest(number)
        assert last == ordered[number - 1]
        assert list(newest.newest_first()) == ordered[:number]
    everything, none = rows.newest(6)
    assert (none, everything.count()) == (None, len(made))
