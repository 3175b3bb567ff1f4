"""Exports: everything of a person or a team as one archive, which a worker streams into the storage.

The row says what is left to do. A worker that is killed leaves its claim, which runs out; its bytes lie under the key
of its attempt and are cleared away.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from celery import shared_task
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import setbacks
from accounts.models import ApiKey, AuditEntry, Avatar, Invitation, Membership, Setback, User, Workspace
from accounts.workspaces import NotAllowedError
from generations import contract, database
from generations.broker import ask
from generations.files import storage
from generations.files.assets import discard_files
from generations.files.zipping import Member, Streamed, stream
from generations.models import Asset, DataExport, Generation, Webhook
from generations.models.export import ExportRefusedError
from generations.models.generation import GenerationQuerySet

__all__ = [
    "ExportRefusedError",
    "clear_orphans",
    "discard_all",
    "make_export",
    "request",
    "request_team",
    "tidy_exports",
]
logger = logging.getLogger(__name__)

PREFIX = "exports/"
TIDYING = "delete an old export"
PAUSE = timedelta(minutes=1)  # after the first failure
ROWS_AT_ONCE = 200
GO_ON_SECONDS = 30.0
ORPHAN_AGE = timedelta(days=1)
READ_BYTES = 256 * 1024
KEY_FIELDS = ("prefix", "name", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
README = """This is what {site} holds of {email}, as of {now}.

account.json     your account, its addresses, sessions, workspaces and API keys (without secrets)
picture.webp     your picture, if you have one
webhooks.json    your webhooks (without secrets)
audit.jsonl      what the people who run the site did to your account
jobs.jsonl       your generations, one a line, newest first; "outputs" name files by their id
files.jsonl      your files, one a line: uploads and results; "path" is where each lies in this archive
files/           the files themselves
missing.txt      files that were gone when the archive was made, if there are any
"""

TEAM_README = """This is what {site} holds of the team “{name}”, as of {now}.

team.json        the team, its members, invitations and API keys (without secrets)
webhooks.json    its webhooks (without secrets)
jobs.jsonl       its generations, one a line, newest first; "outputs" name files by their id
files.jsonl      its files, one a line: uploads and results; "path" is where each lies in this archive
files/           the files themselves
missing.txt      files that were gone when the archive was made, if there are any
"""

Row = TypeVar("Row", bound=models.Model)


class LostError(Exception):
    """Somebody else makes this export by now, or nobody is to make it any more."""


def request(user: User) -> DataExport:
    """Have an export made of all that is this person's. ExportRefusedError."""
    return _request(user, None)


def request_team(mine: Membership) -> DataExport:
    """Have an export made of all that is the team's, for this owner of it. ExportRefusedError; NotAllowedError."""
    if mine.workspace.is_personal or not mine.is_owner:
        msg = "Only owners of a team can have it exported."
        raise NotAllowedError(msg)
    return _request(mine.user, mine.workspace)


def _request(user: User, team: Workspace | None) -> DataExport:
    with transaction.atomic():
        export = DataExport.objects.ask_for(user, team)
        transaction.on_commit(lambda: ask(make_export, str(export.pk)))
    return export


@shared_task(name="generations.tasks.make_export", ignore_result=True)
def make_export(export_id: str) -> None:
    """Make this one, unless somebody else is at it."""
    export = DataExport.objects.claim(uuid.UUID(export_id))
    if export is None:
        return
    key = f"{PREFIX}{export.pk}/{export.attempts}.zip"
    try:
        size = _write(export, key)
        with transaction.atomic():
            if not export.finish(key, size):
                raise LostError
            _mail("export_ready", export)
    except LostError:
        _clear(key)
    except Exception as error:
        logger.warning("The export %s failed", export.pk, exc_info=True)
        _clear(key)
        with transaction.atomic():
            if export.fail(f"{type(error).__name__}: {error}"):
                _mail("export_failed", export)


@shared_task(name="generations.tasks.tidy_exports", ignore_result=True, expires=settings.HOUSEKEEPING_SECONDS)
def tidy_exports() -> int:
    """Have those made that no worker is at, and delete those whose time is up. How many were deleted."""
    now = timezone.now()
    DataExport.objects.disowned().update(
        state=DataExport.State.FAILED, finished_at=now, expires_at=now, error="Whoever asked owns the team no more."
    )
    for pk in DataExport.objects.waiting().values_list("pk", flat=True)[:100]:
        ask(make_export, str(pk))
    number = 0
    waiting = list(Setback.objects.waiting(TIDYING))
    for export in list(DataExport.objects.over().exclude(user__in=waiting)[:ROWS_AT_ONCE]):
        with setbacks.apart(TIDYING, export.user_id, f"the export {export.pk}", pause=PAUSE):
            _discard(export)
            number += 1
    return number


def clear_orphans() -> None:
    """Delete archives that no row names: of workers that were killed."""
    before = timezone.now() - ORPHAN_AGE
    for key, changed_at in storage.walk(PREFIX):
        if changed_at < before and not DataExport.objects.filter(key=key).exists():
            storage.delete([key])
    storage.clear(PREFIX, before=before)


def discard_all(user: User) -> None:
    """Delete this person's exports with their archives."""
    for export in list(DataExport.objects.filter(user=user)):
        _discard(export)


def _discard(export: DataExport) -> None:
    left = [key for key, _changed_at in storage.walk(f"{PREFIX}{export.pk}/")]  # of attempts that came to nothing, too
    with transaction.atomic():
        DataExport.objects.filter(pk=export.pk).delete()
        discard_files([export.key, *left])


def _clear(key: str) -> None:
    try:
        storage.delete([key])
    except Exception:
        logger.warning("What is left of an export under %s is deleted later", key, exc_info=True)


def _mail(name: str, export: DataExport) -> None:
    context = {"export": export, "data_url": f"{settings.PUBLIC_ORIGIN}{reverse('data')}"}
    get_adapter().send_mail(f"account/email/{name}", export.user.email, context)


def _write(export: DataExport, key: str) -> int:
    """Its size in bytes. storage.DamagedCopyError; LostError; errors of the storage."""
    archive = Streamed(stream(_Contents(export).members()), name=key, content_type="application/zip")
    saved = default_storage.save(key, archive)
    size = default_storage.size(saved)
    if saved != key or size != archive.written:
        msg = f"The storage holds {size} bytes under {saved} where {archive.written} were written to {key}"
        raise storage.DamagedCopyError(msg)
    return size


class _Contents:
    """What goes into one archive. Rows come in batches, and no connection is kept while bytes travel."""

    def __init__(self, export: DataExport) -> None:
        self._export = export
        self._user = export.user
        self._team = export.workspace
        self._next_look = time.monotonic() + GO_ON_SECONDS
        self._missing: list[str] = []

    def members(self) -> Iterator[Member]:
        if self._team is None:
            yield from self._personal()
            # What somebody made in a team is the team's: whoever left it takes nothing of it along.
            own: dict[str, Any] = {"user": self._user, "workspace__in": Workspace.objects.for_member(self._user)}
        else:
            yield from self._shared(self._team)
            own = {"workspace": self._team}
        yield "webhooks.json", [_json([_webhook(each) for each in Webhook.objects.filter(**own)], indent=1)]
        jobs = Generation.objects.filter(**own).with_details().select_related("workspace", "user")
        yield "jobs.jsonl", self._lines(self._jobs(jobs), self._with_member(_job))
        files = Asset.objects.filter(**own).select_related("workspace", "user")
        yield "files.jsonl", self._lines(self._rows(files), self._with_member(_file))
        for asset in self._rows(files):
            yield _path(asset), self._bytes(asset)
        if self._missing:
            yield "missing.txt", ["\n".join(self._missing).encode()]

    def _personal(self) -> Iterator[Member]:
        said = README.format(site=settings.PUBLIC_ORIGIN, email=self._user.email, now=_now())
        yield "README.txt", [said.encode()]
        yield "account.json", [_json(self._account(), indent=1)]
        for picture in Avatar.objects.filter(user=self._user):
            yield "picture.webp", [bytes(picture.picture)]
        yield "audit.jsonl", self._lines(self._rows(AuditEntry.objects.filter(person=self._user)), _audited)

    def _shared(self, team: Workspace) -> Iterator[Member]:
        said = TEAM_README.format(site=settings.PUBLIC_ORIGIN, name=team.name, now=_now())
        yield "README.txt", [said.encode()]
        yield "team.json", [_json(_team(team), indent=1)]

    def _with_member(self, shape: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        """In a team's archive, each thing says which member made or brought it."""
        if self._team is None:
            return shape
        return lambda row: {**shape(row), "member": row.user.email}

    def _rows(self, rows: models.QuerySet[Row]) -> Iterator[Row]:
        """All of them by their key, a batch in memory at a time."""
        last: Any = None
        while True:
            self._look()
            batch = list((rows if last is None else rows.filter(pk__gt=last)).order_by("pk")[:ROWS_AT_ONCE])
            database.release()
            yield from batch
            if len(batch) < ROWS_AT_ONCE:
                return
            last = batch[-1].pk

    def _jobs(self, rows: GenerationQuerySet) -> Iterator[Generation]:
        """As `_rows`, in the order of the index of somebody's history: by their key, each batch would sort them all."""
        last: Generation | None = None
        while True:
            self._look()
            left = rows if last is None else rows.older_than(last.created_at, last.pk)
            batch = list(left.newest_first()[:ROWS_AT_ONCE])
            database.release()
            yield from batch
            if len(batch) < ROWS_AT_ONCE:
                return
            last = batch[-1]

    def _lines(self, rows: Iterable[Row], shape: Callable[[Row], dict[str, Any]]) -> Iterator[bytes]:
        for row in rows:
            yield _json(shape(row)) + b"\n"

    def _bytes(self, asset: Asset) -> Iterator[bytes]:
        try:
            file = storage.open_key(asset.key)
        except FileNotFoundError:
            self._missing.append(_path(asset))
            return
        with file:
            while chunk := file.read(READ_BYTES):
                self._look()
                yield chunk

    def _look(self) -> None:
        """LostError when nobody wants it from this worker any more."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + GO_ON_SECONDS
        is_ours = self._export.go_on()
        database.release()
        if not is_ours:
            raise LostError

    def _account(self) -> dict[str, Any]:
        user = self._user
        memberships = Membership.objects.of(user).select_related("workspace").order_by("pk")
        return {
            "email": user.email,
            "name": user.get_full_name(),
            "time_zone": user.time_zone,
            "notify_after_minutes": user.notify_after_minutes,
            "created_at": user.date_joined,
            "last_login": user.last_login,
            "plan": user.limits.name or None,
            "addresses": list(EmailAddress.objects.filter(user=user).values("email", "verified", "primary")),
            "sessions": list(
                UserSession.objects.filter(user=user).values("ip", "user_agent", "created_at", "last_seen_at")
            ),
            "workspaces": [
                {
                    "id": each.workspace.public_id,
                    "name": each.workspace.name,
                    "is_personal": each.workspace.is_personal,
                    "role": each.role,
                    "since": each.created_at,
                }
                for each in memberships
            ],
            "api_keys": list(user.api_keys.order_by("pk").values(*KEY_FIELDS)),
        }


def _team(team: Workspace) -> dict[str, Any]:
    limits = ("max_concurrent", "max_queued", "max_jobs_per_month")
    members = Membership.objects.filter(workspace=team).select_related("user").order_by("pk")
    invitations = Invitation.objects.filter(workspace=team).order_by("pk")
    return {
        "id": team.public_id,
        "name": team.name,
        "created_at": team.created_at,
        "plan": team.limits.name or None,
        "members": [
            {
                "email": each.user.email,
                "name": each.user.get_full_name(),
                "role": each.role,
                "since": each.created_at,
                **{name: getattr(each, name) for name in limits},
            }
            for each in members
        ],
        "invitations": list(
            invitations.values("email", "role", "created_at", "expires_at", "accepted_at", "revoked_at")
        ),
        "api_keys": list(
            ApiKey.objects.filter(workspace=team).order_by("pk").values(*KEY_FIELDS, member=models.F("user__email"))
        ),
    }


def _now() -> str:
    return timezone.now().isoformat("T", "seconds")


def _json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=indent).encode("utf-8", "replace")


def _job(generation: Generation) -> dict[str, Any]:
    shown = contract.summary_of(generation, settings.PUBLIC_ORIGIN).model_dump(mode="json")
    for each in ("urls", "create_time", "update_time", "created_by"):
        shown.pop(each)
    texts = {str(output.public_id): output.value for output in generation.outputs.all() if output.asset_id is None}
    for output in shown["outputs"]:
        for each in ("url", "url_expires_at", "job_id"):
            output.pop(each)
        if output["id"] in texts:
            output["value"] = texts[output["id"]]
    version = generation.version
    return {
        **shown,
        "workspace": _workspace(generation),
        "inputs": generation.inputs,
        "resolved_inputs": generation.resolved_inputs,
        "workflow": version.graph if version.template_id is None else None,  # what was sent for this run
    }


def _file(asset: Asset) -> dict[str, Any]:
    return {
        "id": asset.pk,
        "name": asset.name,
        "path": _path(asset),
        "workspace": _workspace(asset),
        "content_type": asset.content_type,
        "size_bytes": asset.size_bytes,
        "hash": asset.hash,
        "tags": asset.tags,
        "created_at": asset.created_at,
        "expires_at": asset.expires_at,
    }


def _path(asset: Asset) -> str:
    """By its id; of the name only what no program takes for a folder."""
    return f"files/{asset.pk}-{re.sub(r'[^A-Za-z0-9._-]+', '_', asset.name)[-80:]}"


def _workspace(row: Generation | Asset) -> Any:
    return row.workspace.public_id if row.workspace else None


def _webhook(webhook: Webhook) -> dict[str, Any]:
    names: Iterable[str] = ("id", "url", "events", "is_for_every_job", "is_enabled", "created_at")
    return {name: getattr(webhook, name) for name in names}


def _audited(entry: AuditEntry) -> dict[str, Any]:
    return {"at": entry.at, "what": entry.verb, "to": entry.target_label}
