"""The audit log: what staff do to people. Everything that writes an entry calls `record` or `note`."""

from __future__ import annotations

from typing import Any, Final, cast

from django.db import models
from django.http import HttpRequest

from accounts.addresses import address_of
from accounts.models import AuditEntry, User

ADDED: Final = "added"
CHANGED: Final = "changed"
DELETED: Final = "deleted"
INVITED: Final = "invited"
SUSPENDED: Final = "suspended"
REINSTATED: Final = "reinstated"
SIGNED_OUT: Final = "signed out everywhere"
KEY_REVOKED: Final = "revoked a key"
WEBHOOK_OFF: Final = "switched off a webhook"
JOB_CANCELED: Final = "canceled a job"
IMPERSONATION_STARTED: Final = "started to impersonate"
IMPERSONATED: Final = "acted as that person"
IMPERSONATION_ENDED: Final = "stopped impersonating"
OWNER_APPOINTED: Final = "appointed an owner"
MAIL_READ: Final = "read a mail"
EXPORTED: Final = "exported the audit log"
VERBS = (
    ADDED, CHANGED, DELETED, INVITED, SUSPENDED, REINSTATED, SIGNED_OUT, KEY_REVOKED, WEBHOOK_OFF, JOB_CANCELED,
    IMPERSONATION_STARTED, IMPERSONATED, IMPERSONATION_ENDED, OWNER_APPOINTED, MAIL_READ,
    EXPORTED,
)  # fmt: skip
COMMAND = "an operator's command"


def record(
    verb: str,
    *,
    by: User | None,
    target: models.Model,
    person: User | None = None,
    address: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    """Add an entry, in the caller's transaction: what cannot be logged does not happen.

    `by`: None for an operator's command. `person`: whom it concerns, when the target is not that person.
    """
    concerned = target if isinstance(target, User) else person
    return AuditEntry.objects.create(
        verb=verb,
        actor_id=by.pk if by else None,
        actor_label=by.email if by else COMMAND,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_label=str(target)[:254],
        person_id=concerned.pk if concerned else None,
        address=address,
        details=details or {},
    )


def note(
    request: HttpRequest, verb: str, target: models.Model, *, person: User | None = None, **details: Any
) -> AuditEntry:
    """Add an entry about what this request does. While somebody impersonates, that is who did it."""
    by = staff_of(request)
    return record(verb, by=by, target=target, person=person, address=address_of(request), details=details)


def staff_of(request: HttpRequest) -> User:
    """Who really sends this request: whoever impersonates its user, else its user, who is signed in."""
    return cast("User", getattr(request, "impersonator", None) or request.user)
