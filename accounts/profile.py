"""How a person appears to others, and in which time zone they read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from accounts import names, time_zones
from accounts.models import Avatar, User

NAME_LENGTH = 100
NOTIFY_MINUTES = (1, 5, 15, 60)


class ProfileError(ValueError):
    """What was sent cannot be used; `str()` says why. `field` names it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def checked_name(text: str) -> str:
    """The name with single spaces. ProfileError: too long, or as `names.checked`."""
    try:
        name = names.checked(text)
    except ValueError as error:
        raise ProfileError("name", str(error)) from error
    if len(name) > NAME_LENGTH:
        raise ProfileError("name", f"Use at most {NAME_LENGTH} characters.")
    return name


def checked_time_zone(name: str) -> str:
    """The name of a zone of the IANA's database; "" stands for UTC. ProfileError."""
    if name and name not in time_zones.known():
        raise ProfileError("time_zone", "There is no such time zone. Use a name such as Europe/Berlin.")
    return name


def change(user: User, *, name: str | None = None, time_zone: str | None = None) -> None:
    """Keep what is given; None leaves it as it is. ProfileError, and then nothing was changed."""
    changes: dict[str, object] = {}
    if name is not None:
        changes |= {"first_name": checked_name(name), "last_name": ""}
    if time_zone is not None:
        changes |= {"time_zone": checked_time_zone(time_zone)}
    _write(user, changes)


def notify(user: User, *, after_minutes: int | None) -> None:
    """Mail this person from now on when a run that took so long has ended; None: never. ValueError."""
    if after_minutes is not None and after_minutes not in NOTIFY_MINUTES:
        msg = f"{after_minutes} is not among {NOTIFY_MINUTES}"
        raise ValueError(msg)
    if after_minutes != user.notify_after_minutes:
        until = timezone.now() if after_minutes is not None else None
        _write(user, {"notify_after_minutes": after_minutes, "notified_until": until})


def set_avatar(user: User, picture: bytes) -> None:
    """Show this picture, a WebP of ours."""
    with transaction.atomic():
        Avatar.objects.update_or_create(user=user, defaults={"picture": picture})
        _write(user, {"avatar_hash": hashlib.sha256(picture).hexdigest()[:16]})


def remove_avatar(user: User) -> None:
    """Show the first letter of the name again."""
    with transaction.atomic():
        Avatar.objects.filter(user=user).delete()
        _write(user, {"avatar_hash": ""})


def _write(user: User, changes: Mapping[str, object]) -> None:
    """Nothing of it changes what the person may do, so open connections need not ask (as after `save`)."""
    if changes:
        User.objects.filter(pk=user.pk).update(**changes)
    for field, value in changes.items():
        setattr(user, field, value)
