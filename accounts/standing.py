"""Suspending people, reinstating them, and signing them out everywhere."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.formats import date_format

from accounts import audit
from accounts.models import User, access_changed, access_suspended

REASON_LENGTH = 1000


def notice(person: object = None) -> str:
    """What suspended people read, with the address that they may write to if there is one; `person` if it is known."""
    if isinstance(person, User) and person.delete_after is not None and person.suspended_at == person.closed_at:
        day = date_format(timezone.localtime(person.delete_after), "j F Y")
        return f"This account is closed and will be deleted on {day}. To keep it, sign in on the website before then."
    appeal = f" If you think that this is a mistake, write to {settings.APPEAL_EMAIL}." if settings.APPEAL_EMAIL else ""
    return f"Your account is suspended. Your data was not deleted.{appeal}"


class OutOfReachError(Exception):
    """This member of staff may not do this to this account; `str()` says why."""


def ensure_within_reach(by: User, person: User) -> None:
    """OutOfReachError: nobody does it to themselves, and only superusers do it to accounts that hold powers."""
    if by.pk == person.pk:
        msg = "You cannot do this to your own account."
    elif (person.is_staff or person.is_superuser) and not by.is_superuser:
        msg = "Only superusers can do this to staff."
    else:
        return
    raise OutOfReachError(msg)


def suspend(person: User, *, by: User, reason: str, address: str = "") -> bool:
    """End this person's sessions, keys' effect, connections and work at once; keys and data stay. False: it was so.

    OutOfReachError. `reason` is for staff, and at most REASON_LENGTH characters.
    """
    ensure_within_reach(by, person)
    with transaction.atomic():
        # Who asked for the account to be deleted is suspended besides: then that person cannot keep it by themselves.
        free = Q(suspended_at=None) | Q(closed_at=F("suspended_at"))
        changed = User.objects.filter(free, pk=person.pk).update(
            suspended_at=timezone.now(),
            suspension_reason=reason[:REASON_LENGTH],
            suspended_by=by,
            session_epoch=F("session_epoch") + 1,
        )
        if not changed:
            return False
        audit.record(audit.SUSPENDED, by=by, target=person, address=address, details={"reason": reason})
        access_suspended.send(sender=User, user_id=person.pk)
        access_changed.send(sender=User, user_id=person.pk)
    person.refresh_from_db()
    return True


def reinstate(person: User, *, by: User, address: str = "") -> bool:
    """Let this person sign in again; their keys work again. False: nothing was suspended. OutOfReachError.

    An account that its owner asked to be deleted stays closed: the owner alone may keep it.
    """
    ensure_within_reach(by, person)
    with transaction.atomic():
        changed = (
            User.objects.filter(pk=person.pk, suspended_at__isnull=False)
            .exclude(closed_at=F("suspended_at"))
            .update(suspended_at=F("closed_at"), suspension_reason="", suspended_by=None)
        )
        if not changed:
            return False
        audit.record(audit.REINSTATED, by=by, target=person, address=address)
    person.refresh_from_db()
    return True


def sign_out_everywhere(person: User, *, by: User, address: str = "") -> None:
    """End all sessions of this person at once. Keys go on working. OutOfReachError."""
    ensure_within_reach(by, person)
    with transaction.atomic():
        User.objects.filter(pk=person.pk).update(session_epoch=F("session_epoch") + 1)
        audit.record(audit.SIGNED_OUT, by=by, target=person, address=address)
        access_changed.send(sender=User, user_id=person.pk)
    person.refresh_from_db()
