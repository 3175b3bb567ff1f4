"""People. All operations are for staff, and what they change is in the audit log."""

from __future__ import annotations

from typing import Annotated

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Router
from ninja import Status as Answer

from accounts import appointing, standing
from accounts.addresses import address_of
from accounts.models import Scope, User, Workspace
from generations.api.auth import staff
from generations.api.operations import operation
from generations.api.schemas.people import AppointmentRequest, PersonDetail, PersonList, PersonOut, SuspensionRequest
from generations.models import Generation, StorageUsage

router = Router()
VIEW, SUSPEND = "accounts.view_user", "accounts.suspend_user"
PersonId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@operation(
    router,
    "GET",
    "/people",
    scope=Scope.MANAGE,
    name="listPeople",
    summary="List people (staff)",
    returns={200: PersonList},
    errors=(422,),
)
def list_people(
    request: HttpRequest,
    q: Annotated[str, Query(max_length=200, description="Part of an address or a name.")] = "",
    is_suspended: Annotated[bool | None, Query(description="Only those who are, or are not, suspended.")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next_before` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PersonList:
    """Needs the permission to view users."""
    staff(request, VIEW)
    rows = _rows().order_by("-pk")
    if words := q.strip():
        rows = rows.filter(Q(email__icontains=words) | Q(first_name__icontains=words) | Q(last_name__icontains=words))
    if is_suspended is not None:
        rows = rows.filter(suspended_at__isnull=not is_suspended)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: limit + 1])
    page = found[:limit]
    return PersonList(
        people=[_describe(each) for each in page], next_before=page[-1].pk if len(found) > limit else None
    )


@operation(
    router,
    "GET",
    "/people/{id}",
    scope=Scope.MANAGE,
    name="getPerson",
    summary="Look at a person (staff)",
    returns={200: PersonDetail},
    errors=(404,),
)
def get_person(request: HttpRequest, id: PersonId) -> PersonDetail:
    """Needs the permission to view users."""
    staff(request, VIEW)
    return _in_detail(_find(id))


@operation(
    router,
    "POST",
    "/people/{id}/suspend",
    scope=Scope.MANAGE,
    name="suspendPerson",
    summary="Suspend a person (staff)",
    returns={200: PersonDetail},
    errors=(404, 422),
)
def suspend_person(request: HttpRequest, id: PersonId, payload: SuspensionRequest) -> PersonDetail:
    """Sessions, connections and all queued and running work end at once; keys and data stay, but nothing works with
    them. Whoever is suspended already stays so, for the first reason. Only superusers suspend staff.
    """
    by = staff(request, SUSPEND)
    person = _find(id)
    standing.suspend(person, by=by, reason=payload.reason, address=address_of(request))
    return _in_detail(_find(id))


@operation(
    router,
    "POST",
    "/people/{id}/reinstate",
    scope=Scope.MANAGE,
    name="reinstatePerson",
    summary="Reinstate a person (staff)",
    returns={200: PersonDetail},
    errors=(404,),
)
def reinstate_person(request: HttpRequest, id: PersonId) -> PersonDetail:
    """The person can sign in again, and their keys work. Canceled work does not come back."""
    by = staff(request, SUSPEND)
    standing.reinstate(_find(id), by=by, address=address_of(request))
    return _in_detail(_find(id))


@operation(
    router,
    "POST",
    "/people/{id}/appoint",
    scope=Scope.MANAGE,
    name="appointOwner",
    summary="Make a member the owner of a team without one (staff)",
    returns={204: None},
    errors=(404, 409, 422),
)
def appoint_owner(request: HttpRequest, id: PersonId, payload: AppointmentRequest) -> Answer[None]:
    """Needs the permission to change workspaces. Only for a team none of whose owners can sign in, because they are
    suspended or their accounts were deleted; 409 `has_owner` otherwise, and `cannot_sign_in` for a member who cannot,
    either. The person gets a mail.
    """
    by = staff(request, appointing.PERMISSION)
    team = get_object_or_404(Workspace, public_id=payload.workspace)
    appointing.appoint(_find(id), to=team, by=by, address=address_of(request))
    return Answer(204, None)


def _rows() -> QuerySet[User]:
    return User.objects.select_related("plan", "suspended_by")


def _find(pk: int) -> User:
    return get_object_or_404(_rows(), pk=pk)


def _describe(person: User) -> PersonOut:
    return PersonOut(
        id=person.pk,
        email=person.email,
        name=person.get_full_name(),
        plan=person.plan.name if person.plan else None,
        is_staff=person.is_staff,
        is_active=person.is_active,
        joined_at=person.date_joined,
        last_signed_in_at=person.last_login,
        suspended_at=person.suspended_at,
        suspension_reason=person.suspension_reason,
        suspended_by=person.suspended_by.email if person.suspended_by else None,
    )


def _in_detail(person: User) -> PersonDetail:
    return PersonDetail(
        **_describe(person).model_dump(),
        storage_bytes=StorageUsage.objects.stored_in(Workspace.objects.personal_of(person)),
        active_jobs=Generation.objects.made_by(person).active().count(),
    )
