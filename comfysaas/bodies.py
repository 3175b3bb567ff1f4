"""Decides what a client may send before reading it: by the path, the size and the sender.

This layer sits around Django (ASGI). A refused body never reaches a view: Django gets the request without it, and with
the `Refusal` in the scope, which `comfysaas.middleware.Refusals` turns into the answer. Django's own handler spools
what passes to disk as it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.utils.http import parse_header_parameters

from accounts import current, standing
from accounts.access import sender_of
from accounts.addresses import address_of_scope
from accounts.models import SuspendedError
from accounts.rates import RateLimitedError, ensure_upload
from comfysaas.connection import EXTENSION
from comfysaas.mount import below_root
from generations.models.usage import StorageFullError, StorageUsage

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SCOPE_KEY = "comfysaas.refusal"
ANONYMOUS_BYTES = 256 * 1024  # a form to sign in, or JSON of an ordinary size
PAGE_BYTES = 2 * 1024 * 1024
FORM_OVERHEAD_BYTES = 1024 * 1024  # texts and boundaries around files
# Where files come in: one at a time, or several in one form.
_ONE_FILE = re.compile(r"/api/v2/(assets|templates)/?|/open/")
_SEVERAL_FILES = re.compile(r"/api/v2/templates/[^/]+/jobs/?|/templates/[^/]+/|/admin/.*")
# Where files become their sender's own.
_KEPT = re.compile(r"/api/v2/assets/?|/api/v2/templates/[^/]+/jobs/?|/templates/[^/]+/")
_BODILESS = {"GET", "HEAD", "OPTIONS"}
_ABOUT_BODIES = {b"content-length", b"content-type", b"transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a body is not read."""

    status: int
    code: str
    message: str
    retry_after: int | None = None  # seconds


UNAUTHORIZED = Refusal(
    401, "unauthorized", "Sign in, or send a valid API key as “Authorization: Bearer csk_…”, before you send this much."
)
UNREADABLE = Refusal(400, "invalid_request", "The header Content-Type cannot be read. Correct it and try again.")
CUT_OFF = Refusal(400, "invalid_request", "The form was cut off: its last boundary is missing. Send it again.")


def too_large(limit: int, *, is_multipart: bool) -> Refusal:
    """The refusal of a body of more than `limit` bytes."""
    hint = "" if is_multipart else " Send files as a form (multipart/form-data), or upload them first."
    return Refusal(
        413, "too_large", f"The request is larger than the {limit // 2**20} MB that this address takes.{hint}"
    )


def limit_of(path: str, *, is_multipart: bool) -> int:
    """The largest body in bytes that this path takes from a known sender."""
    if is_multipart and _ONE_FILE.fullmatch(path):
        return int(settings.MAX_UPLOAD_BYTES) + FORM_OVERHEAD_BYTES
    if is_multipart and _SEVERAL_FILES.fullmatch(path):
        return int(settings.MAX_FORM_BYTES)
    if path.startswith(("/api/", "/admin/")):
        return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return PAGE_BYTES


class BoundedBodies:
    """ASGI: counts bodies as they arrive for Django, and has responses wait for clients that read slowly."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        connection = scope.get("extensions", {}).get(EXTENSION)
        if scope["type"] != "http":
            await self._application(scope, receive, send)  # sockets look after themselves: generations.live.outgoing
            return
        headers = dict(scope["headers"])
        try:
            body = _Body(scope, headers, receive, connection)
        except (ValueError, LookupError):  # of an encoded parameter, such as boundary*=utf-8''x
            await self._refuse(UNREADABLE, scope, receive, send)
            return
        refusal = await _refusal(scope, headers, body)
        if refusal is None:
            await self._application(scope, body.receive, _in_step(send, connection))
            refusal = body.refusal
        if refusal is not None:
            await self._refuse(refusal, scope, receive, send)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in scope["headers"] if pair[0] not in _ABOUT_BODIES]
        await self._application({**scope, "headers": headers, SCOPE_KEY: refusal}, _nothing(receive), send)


async def _refusal(scope: Scope, headers: dict[bytes, bytes], body: _Body) -> Refusal | None:
    """The refusal that the head justifies. Else sets how much of the body is read, and the refusal beyond that."""
    announced = headers.get(b"content-length", b"")
    length = int(announced[:19]) if announced.isdigit() else None  # 19 digits are too many already
    if b"transfer-encoding" not in headers and not length:
        body.limit = 0
        return CUT_OFF if body.boundary and scope["method"] not in _BODILESS else None
    path = below_root(scope["path"])
    is_multipart = bool(body.boundary)
    limit = limit_of(path, is_multipart=is_multipart)
    beyond = too_large(limit, is_multipart=is_multipart)
    if length is not None and length > limit:
        return beyond
    body.limit, body.beyond = ANONYMOUS_BYTES, UNAUTHORIZED
    if length is not None and length <= ANONYMOUS_BYTES:
        return None
    is_kept = is_multipart and _KEPT.fullmatch(path) is not None
    refusal = await database_sync_to_async(_judge_sender, thread_sensitive=False)(
        headers, address_of_scope(scope), length, is_kept
    )
    if refusal is None:
        body.limit, body.beyond = limit, beyond
        return None
    return refusal if length is not None or refusal is not UNAUTHORIZED else None


def _judge_sender(headers: dict[bytes, bytes], address: str, length: int | None, is_kept: bool) -> Refusal | None:
    """The refusal for this sender; `length`: bytes to send, None when the head does not say."""
    try:
        sender = sender_of(headers, address)
        if sender is None:
            return UNAUTHORIZED
        if is_kept:
            workspace = current.workspace_of_sender(sender)
            ensure_upload(workspace)
            StorageUsage.objects.ensure_room(workspace, size_bytes=(length or 0) - FORM_OVERHEAD_BYTES)
    except SuspendedError as error:
        return Refusal(403, "account_suspended", standing.notice(error.person))
    except RateLimitedError as error:
        return Refusal(429, "rate_limited", str(error), error.allowance.reset_seconds)
    except StorageFullError as error:
        return Refusal(403, "storage_full", str(error))
    return None


class _Body:
    """The body of one request on its way to Django."""

    def __init__(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, connection: Any) -> None:
        self._scope, self._receive, self._connection = scope, receive, connection
        self._is_announced = b"content-length" in headers
        content_type, parameters = parse_header_parameters(headers.get(b"content-type", b"").decode("latin-1"))
        is_form = content_type.lower() == "multipart/form-data"
        self.boundary = parameters.get("boundary", "").encode("latin-1") if is_form else b""
        self.limit, self.beyond = 0, UNAUTHORIZED
        self.refusal: Refusal | None = None
        self._size = 0
        self._end = b""
        self._is_over = False

    async def receive(self) -> dict[str, Any]:
        """The next message. A body that breaks the rules ends as if the client had left: Django lets go of it."""
        if self._connection is not None and not self._is_over:
            self._connection.invite()
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        chunk = message.get("body", b"")
        if self._connection is not None and message.get("more_body"):
            self._connection.taken(len(chunk))
        self._size += len(chunk)
        if self.boundary and chunk:
            self._end = (self._end + chunk)[-(len(self.boundary) + 1024) :]
        self._is_over = not message.get("more_body", False)
        self.refusal = self._judge()
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        if self._is_over and self._size and not self._is_announced:
            # Django reads no form whose length it does not know.
            self._scope["headers"] = [*self._scope["headers"], (b"content-length", str(self._size).encode())]
        return message

    def _judge(self) -> Refusal | None:
        if self._size > self.limit:
            return self.beyond
        if self._is_over and self.boundary and self._size and b"--" + self.boundary + b"--" not in self._end:
            return CUT_OFF
        return None


def _in_step(send: Send, connection: Any) -> Send:
    """`send` that returns when the client has room for more."""
    if connection is None:
        return send

    async def wait(message: dict[str, Any]) -> None:
        await send(message)
        await connection.drained()

    return wait


def _nothing(receive: Receive) -> Receive:
    """An empty body, then nothing until the client leaves."""
    is_told = False

    async def next_message() -> dict[str, Any]:
        nonlocal is_told
        if not is_told:
            is_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    return next_message
