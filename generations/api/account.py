"""The caller's account: limits, usage and API keys."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Annotated, cast

from django.conf import settings
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Path, Query, Router
from ninja import Status as Answer

from accounts import profile
from accounts.access import user_of
from accounts.current import membership_of, workspace_of
from accounts.models import ApiKey, ApiKeyQuerySet, Role, Scope
from generations.api.auth import confirm, key_of, refuse_team_keys
from generations.api.operations import operation
from generations.api.schemas import NO_NUL
from generations.api.schemas.account import (
    CurrentWorkspace,
    DayUsage,
    Export,
    ExportList,
    ExportState,
    KeyList,
    KeyOut,
    KeyRequest,
    Limits,
    Me,
    MeChange,
    NewKey,
    Usage,
)
from generations.contract import STATUS
from generations.lifecycle import exporting, raw
from generations.models import Asset, DataExport, Generation, Status, StorageUsage
from generations.models.generation import GenerationQuerySet
from generations.parameters.validate import InvalidInputs

router = Router()


@operation(router, "GET", "/me", scope=Scope.READ, name="getMe", summary="Read your account", returns={200: Me})
def get_me(request: HttpRequest) -> Me:
    """Your account, the workspace and the key of this request, and the limits of your plan."""
    user, key, mine = user_of(request), key_of(request), membership_of(request)
    plan = mine.workspace.limits
    return Me(
        email=user.email,
        name=user.get_full_name(),
        time_zone=user.time_zone,
        is_staff=user.is_staff,
        may_submit_workflows=user.has_perm(raw.PERMISSION),
        workspace=CurrentWorkspace(
            id=mine.workspace.public_id,
            name=mine.workspace.name,
            is_personal=mine.workspace.is_personal,
            role=Role(mine.role),
        ),
        key=describe_key(key) if key else None,
        limits=Limits(
            plan=plan.name or None,
            max_concurrent=plan.max_concurrent,
            max_queued=plan.max_queued,
            max_streams=plan.max_streams,
            max_sockets=plan.max_sockets,
            requests_per_minute=plan.requests_per_minute,
            uploads_per_minute=plan.uploads_per_minute,
            max_storage_bytes=plan.max_storage_bytes,
            max_upload_bytes=settings.MAX_UPLOAD_BYTES,
        ),
    )


@operation(
    router,
    "PATCH",
    "/me",
    scope=Scope.MANAGE,
    name="changeMe",
    summary="Change your profile",
    returns={200: Me},
    errors=(422,),
)
def change_me(request: HttpRequest, payload: MeChange) -> Me:
    """Change your name and your time zone. A key does this only if it works in your personal workspace."""
    refuse_team_keys(request)
    try:
        profile.change(user_of(request), name=payload.name, time_zone=payload.time_zone)
    except profile.ProfileError as error:
        raise InvalidInputs({error.field: [str(error)]}) from error
    return get_me(request)


@operation(
    router,
    "POST",
    "/me/export",
    scope=Scope.MANAGE,
    name="postExport",
    summary="Ask for an export",
    returns={202: Export},
    errors=(409,),
)
def post_export(request: HttpRequest) -> Answer[Export]:
    """Have an archive made of everything that is yours, in all your workspaces; a mail says when it is ready.

    409 `export_under_way` while one is made; 429 less than a day after the last one. A key does this only if it works
    in your personal workspace; a session only if it is new, or after somebody confirmed who they are (403
    `confirmation_required`).
    """
    refuse_team_keys(request)
    confirm(request, is_sign_in_enough=True)
    return Answer(202, export_of(exporting.request(user_of(request))))


@operation(
    router,
    "GET",
    "/me/export",
    scope=Scope.MANAGE,
    name="listExports",
    summary="List your exports",
    returns={200: ExportList},
)
def list_exports(request: HttpRequest) -> ExportList:
    """The newest ten, also those of teams that you own. A key does this only if it works in your personal workspace."""
    refuse_team_keys(request)
    newest = DataExport.objects.of(user_of(request)).select_related("workspace")[:10]
    return ExportList(exports=[export_of(each) for each in newest])


def export_of(found: DataExport) -> Export:
    """It, as programs see it."""
    return Export(
        id=found.pk,
        workspace_id=found.workspace.public_id if found.workspace else None,
        state=cast("ExportState", found.state),
        created_at=found.created_at,
        finished_at=found.finished_at,
        expires_at=found.expires_at,
        size_bytes=found.size_bytes,
    )


@operation(
    router,
    "GET",
    "/usage",
    scope=Scope.READ,
    name="getUsage",
    summary="Read your usage",
    returns={200: Usage},
    errors=(422,),
)
def get_usage(
    request: HttpRequest,
    days: Annotated[int, Query(ge=1, le=90)] = 30,
    member: Annotated[
        str,
        Query(
            max_length=320, pattern=NO_NUL, description="Jobs that the member with this address made, and their time."
        ),
    ] = "",
) -> Usage:
    """The jobs of the workspace and its time on the servers in the last `days`, and what is stored now."""
    since = timezone.now() - timedelta(days=days)
    workspace = workspace_of(request)
    rows = Generation.objects.in_workspace(workspace).filter(created_at__gte=since).order_by()
    if member:
        rows = rows.filter(user__email=member.lower())
    counted: dict[str, int] = dict.fromkeys(STATUS.values(), 0)
    for status, number in rows.values_list("status").annotate(number=Count("pk")):
        counted[STATUS[status]] += number
    by_day = _by_day(rows)
    return Usage(
        since=since,
        jobs=counted,
        execution_seconds=sum(day.execution_seconds for day in by_day),
        days=by_day,
        storage_bytes=StorageUsage.objects.stored_in(workspace),
        files=Asset.objects.in_workspace(workspace).count(),
    )


def _by_day(rows: GenerationQuerySet) -> list[DayUsage]:
    days = rows.annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day")
    counted = days.annotate(
        number=Count("pk"),
        succeeded=Count("pk", filter=Q(status=Status.SUCCEEDED)),
        seconds=Sum(F("executed_at") - F("started_at"), filter=Q(executed_at__isnull=False)),
    )
    return [
        DayUsage(
            date=row["day"].isoformat(),
            jobs=row["number"],
            succeeded=row["succeeded"],
            execution_seconds=row["seconds"].total_seconds() if row["seconds"] else 0.0,
        )
        for row in counted.order_by("day")
    ]


@operation(
    router,
    "GET",
    "/keys",
    scope=Scope.MANAGE,
    name="listKeys",
    summary="List your API keys",
    returns={200: KeyList},
)
def list_keys(request: HttpRequest) -> KeyList:
    """The keys that are not revoked, newest first, without their secrets: yours in the workspace of this request."""
    return KeyList(keys=[describe_key(key) for key in _keys(request)])


@operation(
    router,
    "POST",
    "/keys",
    scope=Scope.MANAGE,
    name="postKey",
    summary="Make an API key",
    returns={201: NewKey},
    errors=(409, 422),
)
def post_key(request: HttpRequest, payload: KeyRequest) -> Answer[NewKey]:
    """Store the `secret`: only this answer has it.

    A key can make keys that have no other scopes than it has itself and expire no later. A key with its own
    `requests_per_minute` cannot make keys. The new key works in the workspace of this request. A session needs somebody
    who confirmed lately who they are (403 `confirmation_required`).
    """
    confirm(request)
    expires_at = timezone.now() + timedelta(days=payload.expires_in_days) if payload.expires_in_days else None
    key, secret = ApiKey.objects.issue(
        user=user_of(request),
        name=payload.name,
        scopes=payload.scopes,
        expires_at=expires_at,
        requests_per_minute=payload.requests_per_minute,
        by=key_of(request),
        workspace=workspace_of(request),
    )
    return Answer(201, NewKey(**describe_key(key).model_dump(), secret=secret))


@operation(
    router,
    "DELETE",
    "/keys/{id}",
    scope=Scope.MANAGE,
    name="deleteKey",
    summary="Revoke an API key",
    returns={204: None},
    errors=(404,),
)
def delete_key(request: HttpRequest, id: Annotated[str, Path(pattern="^[0-9a-f]{1,12}$")]) -> Answer[None]:
    """The key stops working at once, and its open streams and sockets are closed."""
    rows = _keys(request)
    found = get_object_or_404(rows, prefix=id)
    rows.filter(pk=found.pk).revoke()
    return Answer(204, None)


def _keys(request: HttpRequest) -> ApiKeyQuerySet:
    """Those that the caller may see and revoke, of the workspace of the request."""
    rows = ApiKey.objects.for_member(user_of(request)).in_workspace(workspace_of(request))
    return rows.select_related("workspace")


def describe_key(key: ApiKey) -> KeyOut:
    """The key as its owner may see it."""
    return KeyOut(
        id=key.prefix,
        name=key.name,
        hint=key.hint,
        workspace_id=key.workspace.public_id if key.workspace else None,
        scopes=key.scopes,
        requests_per_minute=key.requests_per_minute,
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        expires_at=key.expires_at,
    )
