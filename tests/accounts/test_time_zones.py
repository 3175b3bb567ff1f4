"""Pages show moments in the time zone of whoever reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts import time_zones
from accounts.models import User
from generations.models import Generation
from tests.support.factories import make_generation

pytestmark = pytest.mark.django_db


def test_moments_are_shown_in_the_readers_time_zone(owner: User, client_for: Any) -> None:
    generation = make_generation(user=owner)
    Generation.objects.update(created_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    shown = {"": "1 Jul 2026, 22:30", "Europe/Berlin": "2 Jul 2026, 00:30", "Asia/Kathmandu": "2 Jul 2026, 04:15"}
    for zone, moment in shown.items():
        User.objects.update(time_zone=zone)
        assert moment in client_for(owner).get(f"/generations/{generation.pk}/").content.decode()
        assert timezone.get_current_timezone_name() == "UTC"  # nothing is left for whoever comes next


def test_programs_get_utc(owner: User, client_for: Any) -> None:
    generation = make_generation(user=owner)
    User.objects.update(time_zone="Europe/Berlin")
    found = client_for(owner).get(f"/api/v2/jobs/{generation.pk}").json()
    assert found["created_at"].endswith(("Z", "+00:00"))


def test_a_zone_that_the_system_does_not_know_any_more_is_utc(owner: User, client_for: Any) -> None:
    User.objects.update(time_zone="Mars/Olympus")
    assert client_for(owner).get("/account/profile/").status_code == 200


def test_people_choose_among_places() -> None:
    offered = dict(time_zones.choices())
    assert offered[""] == "UTC" and offered["America/New_York"] == "America/New York"
    assert "Etc/GMT+5" not in offered and "EST" not in offered
    assert {name for name in offered if name} <= time_zones.known()
