"""Staff at work as somebody else: started with a reason, seen on every page, logged, and over after an hour.

The session becomes that person's, and keeps what it was. So pages, files, sockets and the API serve that person as
ever; what may be done meanwhile says `comfysaas.impersonating`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils.crypto import constant_time_compare

from accounts import audit
from accounts.addresses import address_of
from accounts.models import User, access_changed
from accounts.standing import OutOfReachError, ensure_within_reach

LONGEST_SECONDS = 3600.0
PERMISSION = "accounts.impersonate_user"
REASON_LENGTH = 500
KEY = "impersonation"
OVER = "an hour had passed"
ASKED = "ended by hand"
SIGNED_OUT = "signed out"
LOST_RIGHT = "the member of staff may not any more"
OUT_OF_REACH = "that person cannot be impersonated any more"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """What a session keeps of one. `kept`: all that it had before."""

    person_id: int
    staff_id: int
    until: float  # time.time()
    kept: dict[str, Any]

    @classmethod
    def of(cls, session: SessionBase) -> Impersonation | None:
        """The session's; None for an ordinary one."""
        found = session.get(KEY)
        return cls(**found) if found else None

    def person(self) -> User | None:
        """Whom it is about."""
        return User.objects.select_related("plan").filter(pk=self.person_id).first()

    def staff(self) -> User | None:
        """Whoever impersonates, if their own session would still hold and they still have the permission."""
        staff = User.objects.filter(pk=self.staff_id, is_active=True, is_staff=True, suspended_at=None).first()
        is_mine = staff is not None and _fits(self.kept.get(HASH_SESSION_KEY, ""), staff)
        return staff if staff is not None and is_mine and staff.has_perm(PERMISSION) else None

    @property
    def is_over(self) -> bool:
        """True once its time is up."""
        return time.time() >= self.until


def ensure_may(staff: User, person: User) -> None:
    """OutOfReachError: without the permission, for oneself, superusers and suspended people, for staff by others than
    superusers.
    """
    if not staff.has_perm(PERMISSION):
        msg = "You need the permission to impersonate people."
        raise OutOfReachError(msg)
    ensure_within_reach(staff, person)
    if person.is_superuser:
        msg = "Nobody can impersonate a superuser."
        raise OutOfReachError(msg)
    if not person.is_active or person.is_suspended:
        msg = "This account is suspended or not active. Reinstate it first."
        raise OutOfReachError(msg)


def start(request: HttpRequest, person: User, *, reason: str) -> None:
    """Make this session that person's, for LONGEST_SECONDS at most. OutOfReachError; `reason` is for the log."""
    staff = audit.staff_of(request)
    ensure_may(staff, person)
    until = time.time() + LONGEST_SECONDS
    with transaction.atomic():
        note = {"reason": reason[:REASON_LENGTH], "for_seconds": LONGEST_SECONDS}
        address = address_of(request)
        audit.record(audit.IMPERSONATION_STARTED, by=staff, target=person, address=address, details=note)
        session = request.session
        kept = dict(session.items())
        found = Impersonation(person.pk, staff.pk, until, kept)
        # Also what allauth noted of the sign-in stays behind: nobody has confirmed anything as that person.
        session.clear()
        session[KEY] = asdict(found)
        session[SESSION_KEY] = person._meta.pk.value_to_string(person)
        session[BACKEND_SESSION_KEY] = kept[BACKEND_SESSION_KEY]
        session[HASH_SESSION_KEY] = person.get_session_auth_hash()
        _renew(request, found)


def end(request: HttpRequest, *, why: str) -> Impersonation | None:
    """Give the session back to whom it was; None: nobody was impersonated. Whether it still holds, Django checks."""
    found = Impersonation.of(request.session)
    if found is None:
        return None
    with transaction.atomic():
        _note_end(request, found, why)
        request.session.clear()
        request.session.update(found.kept)
        _renew(request, found)
    return found


def _renew(request: HttpRequest, found: Impersonation) -> None:
    """Under a new session key, as at every sign-in; what is open under the old one closes."""
    request.session.cycle_key()
    rotate_token(request)
    for user_id in (found.person_id, found.staff_id):
        access_changed.send(sender=User, user_id=user_id)


def _note_end(request: HttpRequest, found: Impersonation, why: str) -> None:
    person, staff = found.person(), User.objects.filter(pk=found.staff_id).first()
    if person is not None and staff is not None:
        audit.record(
            audit.IMPERSONATION_ENDED, by=staff, target=person, address=address_of(request), details={"why": why}
        )


def note_sign_out(sender: Any, request: HttpRequest | None, **_: Any) -> None:
    """Django's signal: somebody signs out, which ends both."""
    found = Impersonation.of(request.session) if request is not None and hasattr(request, "session") else None
    if request is not None and found is not None:
        _note_end(request, found, SIGNED_OUT)


def why_over(found: Impersonation, session: SessionBase) -> tuple[str, User | None, User | None]:
    """(why it ends now, or "", the staff, the person). The staff is None when their session does not hold, either."""
    staff, person = found.staff(), found.person()
    if staff is None:
        return LOST_RIGHT, None, person
    if found.is_over:
        return OVER, staff, person
    if person is None or not _is_within(staff, person) or not _fits(session.get(HASH_SESSION_KEY, ""), person):
        return OUT_OF_REACH, staff, person
    return "", staff, person


def holds(session: SessionBase) -> bool:
    """False for the session of an impersonation that is over. True for ordinary ones, at no cost."""
    found = Impersonation.of(session)
    return found is None or not why_over(found, session)[0]


def _is_within(staff: User, person: User) -> bool:
    try:
        ensure_may(staff, person)
    except OutOfReachError:
        return False
    return True


def _fits(session_hash: str, user: User) -> bool:
    hashes: Callable[[], Any] = user.get_session_auth_fallback_hash
    return any(constant_time_compare(session_hash, each) for each in (user.get_session_auth_hash(), *hashes()))
