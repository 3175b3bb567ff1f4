"""Pages show moments in the time zone of whoever reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from allauth.account.adapter import get_adapter
from django.core import mail
from django.utils import timezone

from accounts import time_zones
from accounts.models import User
from generations.models import DataExport, Generation
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


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("", "1 July 2026, 22:30 (UTC)", "1 July 2026"),
        ("Asia/Kathmandu", "2 July 2026, 04:15 (Asia/Kathmandu)", "2 July 2026"),
        ("America/New_York", "1 July 2026, 18:30 (America/New York)", "1 July 2026"),
        ("Mars/Olympus", "1 July 2026, 22:30 (UTC)", "1 July 2026"),
    ],
)
def test_mails_show_moments_in_the_recipients_time_zone_with_its_name(
    owner: User, zone: str, moment: str, day: str
) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone=zone)
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    ready = {"export": DataExport(expires_at=at), "data_url": "/"}
    closed = {"user": owner, "delete_after": at, "sign_in_url": "/"}
    get_adapter().send_mail("account/email/export_ready", owner.email.upper(), ready)
    get_adapter().send_mail("account/email/account_closed", owner.email, closed)
    assert moment in " ".join(mail.outbox[0].body.split())
    assert mail.outbox[1].subject.endswith(f"on {day}")
    assert timezone.get_current_timezone_name() == "UTC"
