"""The API's answers to exceptions: status, code and message of every failure that a caller can meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.exceptions import ValidationError as ModelError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from accounts import standing
from accounts.concurrency import TooBusyError
from accounts.models import MAX_KEYS, KeyRefusedError, SuspendedError, TooManyKeysError
from accounts.rates import RateLimitedError
from accounts.workspaces import WorkspaceError
from generations.api import job_queries, webhooks
from generations.api.auth import NotConfirmedError
from generations.api.body import InvalidBodyError
from generations.api.envelope import envelope, request_id
from generations.api.streams import RETRY_AFTER_SECONDS, TooManyStreamsError
from generations.comfy.convert import ConversionError
from generations.comfy.decoders import BusyError
from generations.comfy.graph import GraphError
from generations.files import naming
from generations.files.accepting import InvalidUploadError
from generations.files.assets import AssetInUseError, BlobNotFoundError, HashMismatchError
from generations.lifecycle import raw, services
from generations.lifecycle.services import CannotRunError
from generations.models.export import ExportRefusedError
from generations.models.idempotency import KeyReuseError
from generations.models.usage import StorageFullError
from generations.outbound import RefusedAddressError
from generations.parameters.validate import InvalidInputs
from generations.scheduling.queue import QueueFullError
from generations.studio.publishing import DraftError, NotPublishableError, UncheckedError, UnfitError
from generations.webhooks.outbox import MAX_WEBHOOKS, TooManyWebhooksError

logger = logging.getLogger(__name__)

_Handler = Callable[[HttpRequest, Any], HttpResponse]
_HANDLERS: dict[type[Exception], _Handler] = {}


def register(api: NinjaAPI) -> None:
    """Have the API answer these exceptions."""
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)


def _handles(*kinds: type[Exception]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        _HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return decorate


@_handles(AuthenticationError)
def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    message = "Send a valid API key as “Authorization: Bearer csk_…”, or sign in."
    return envelope(request, 401, "unauthorized", message, headers={"WWW-Authenticate": 'Bearer realm="comfysaas"'})


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """404 for what does not exist or is not the caller's, and for all other addresses under /api/v2/."""
    return envelope(request, 404, "not_found", "This does not exist, was deleted, or belongs to another account.")


@_handles(Http404)
def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return not_found(request)


@_handles(ValidationError)
def _invalid_request(request: HttpRequest, error: ValidationError) -> HttpResponse:
    # An id that cannot be one is an id of nothing.
    if all(problem["loc"][0] == "path" for problem in error.errors):
        return not_found(request)
    return _malformed(request, [({**each, "loc": _without_names(each["loc"])}) for each in error.errors])


@_handles(InvalidBodyError)
def _invalid_body(request: HttpRequest, error: InvalidBodyError) -> HttpResponse:
    return _malformed(request, error.problems)


def _without_names(location: Sequence[Any]) -> list[Any]:
    """Without the part of the request, and without the name that our function gives to its parameter."""
    return [part for part in location[1:] if part not in {"payload", "wanted"}] or list(location[:1])


def _malformed(request: HttpRequest, found: Sequence[Mapping[str, Any]]) -> HttpResponse:
    problems = [{"field": ".".join(map(str, each["loc"])), "reason": each["msg"]} for each in found]
    is_about_labels = all(each["field"].split(".")[0] == "metadata" for each in problems)
    code = "metadata_invalid" if is_about_labels else "invalid_request"
    message = "; ".join(f"{each['field']}: {each['reason']}" for each in problems[:3]) or "The request is malformed."
    return envelope(request, 422, code, message, details={"errors": problems})


@_handles(ModelError)
def _invalid_model(request: HttpRequest, error: ModelError) -> HttpResponse:
    problems = [
        {"loc": [] if field == "__all__" else [field], "msg": sentence}
        for field, sentences in error.message_dict.items()
        for sentence in sentences
    ]
    return _malformed(request, problems)


@_handles(InvalidInputs)
def _invalid_inputs(request: HttpRequest, error: InvalidInputs) -> HttpResponse:
    names = ", ".join(sorted(error.errors))
    details = {"fields": error.errors}
    return envelope(request, 422, "invalid_inputs", f"These inputs are wrong: {names}.", details=details)


@_handles(InvalidUploadError)
def _invalid_upload(request: HttpRequest, error: InvalidUploadError) -> HttpResponse:
    return envelope(request, 422, "invalid_upload", str(error))


@_handles(BusyError)
def _busy(request: HttpRequest, error: BusyError) -> HttpResponse:
    return envelope(request, 503, "busy", str(error), headers={"Retry-After": "30"})


@_handles(CannotRunError)
def _cannot_run(request: HttpRequest, error: CannotRunError) -> HttpResponse:
    return envelope(request, 409, "template_unavailable", str(error))


@_handles(services.NotAllowedError)
def _not_allowed(request: HttpRequest, error: services.NotAllowedError) -> HttpResponse:
    return envelope(request, 403, "template_not_allowed", str(error))


@_handles(GraphError)
def _invalid_workflow(request: HttpRequest, error: GraphError) -> HttpResponse:
    problems = error.problems if isinstance(error, ConversionError) else []
    nodes = [{"node_id": each.node_id, "title": each.title, "message": each.message} for each in problems]
    return envelope(request, 422, "invalid_workflow", str(error), details={"nodes": nodes} if nodes else None)


@_handles(raw.InvalidWorkflowError)
def _wrong_workflow(request: HttpRequest, error: raw.InvalidWorkflowError) -> HttpResponse:
    nodes: dict[str, list[dict[str, str]]] = {}
    for each in error.problems:
        about = {"field": each.field, "reason": each.reason, "message": each.message}
        nodes.setdefault(each.node_id, []).append(about)
    return envelope(request, 422, "invalid_workflow", str(error), details={"node_errors": nodes})


@_handles(naming.MissingAssetError)
def _missing_asset(request: HttpRequest, error: naming.MissingAssetError) -> HttpResponse:
    nodes: dict[str, list[dict[str, str]]] = {}
    for node_id, name in error.input_keys:
        nodes.setdefault(node_id, []).append({"field": name, "reason": "missing_asset"})
    return envelope(request, 422, "missing_asset", str(error), details={"node_errors": nodes})


@_handles(KeyRefusedError, raw.RawNotAllowedError)
def _forbidden(request: HttpRequest, error: Exception) -> HttpResponse:
    return envelope(request, 403, "forbidden", str(error))


@_handles(RateLimitedError)
def _rate_limited(request: HttpRequest, error: RateLimitedError) -> HttpResponse:
    headers = {**error.allowance.headers, "Retry-After": str(error.allowance.reset_seconds)}
    return envelope(request, 429, "rate_limited", str(error), headers=headers)


@_handles(standing.OutOfReachError)
def _out_of_reach(request: HttpRequest, error: standing.OutOfReachError) -> HttpResponse:
    return envelope(request, 403, "forbidden", str(error))


@_handles(NotConfirmedError)
def _not_confirmed(request: HttpRequest, error: NotConfirmedError) -> HttpResponse:
    return envelope(request, 403, "confirmation_required", str(error))


@_handles(ExportRefusedError)
def _export_refused(request: HttpRequest, error: ExportRefusedError) -> HttpResponse:
    status = 429 if error.code == "rate_limited" else 409
    return envelope(request, status, error.code, str(error), headers={"Retry-After": str(error.seconds)})


@_handles(SuspendedError)
def _suspended(request: HttpRequest, error: SuspendedError) -> HttpResponse:
    return envelope(request, 403, "account_suspended", standing.notice(getattr(request, "user", None)))


@_handles(WorkspaceError)
def _refused_by_workspace(request: HttpRequest, error: WorkspaceError) -> HttpResponse:
    return envelope(request, error.status, error.code, str(error))


@_handles(StorageFullError)
def _storage_full(request: HttpRequest, error: StorageFullError) -> HttpResponse:
    return envelope(request, 403, "storage_full", str(error))


@_handles(TooBusyError)
def _too_busy(request: HttpRequest, error: TooBusyError) -> HttpResponse:
    return envelope(request, 429, "too_busy", str(error), headers={"Retry-After": str(error.retry_after)})


@_handles(TooManyStreamsError)
def _too_many_streams(request: HttpRequest, error: TooManyStreamsError) -> HttpResponse:
    message = "You have as many event streams open as your plan allows. Close one, or poll the job instead."
    return envelope(request, 429, "too_many_streams", message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


@_handles(RefusedAddressError)
def _refused_address(request: HttpRequest, error: RefusedAddressError) -> HttpResponse:
    return envelope(request, 422, "invalid_address", str(error))


_EDITOR_FORMAT = (
    "This workflow is in the format of ComfyUI's editor. Export it in the API format: in the editor, choose Workflow, "
    "then Export (API)."
)
_KEY_REUSE = (
    "An earlier request used this Idempotency-Key and may have succeeded: look at your jobs. "
    "Send a new request with a new key."
)
_IN_USE = "A job made this file, or an unfinished job needs it. Delete that job, or wait until it is finished."
_CURSOR = "This cursor is not valid. Pass `next_cursor` of an earlier page, or begin without a cursor."
_LABEL = "The name of a label begins with a letter and has up to 64 letters, digits and “_.-”."
_KEYS = f"You already have {MAX_KEYS} keys, the most that is possible. Revoke one first."
_WEBHOOKS = f"You already have {MAX_WEBHOOKS} webhooks, the most that is possible. Delete one first."
# Errors that need nothing but their type: status, code, message.
_PLAIN: dict[type[Exception], tuple[int, str, str]] = {
    KeyReuseError: (422, "idempotency_key_reuse", _KEY_REUSE),
    BlobNotFoundError: (404, "blob_not_found", "None of your files has this hash. Upload the file instead."),
    HashMismatchError: (
        409,
        "hash_mismatch",
        "The bytes that arrived do not match `expected_hash`. Upload the file again.",
    ),
    AssetInUseError: (409, "asset_in_use", _IN_USE),
    raw.EditorFormatError: (422, "workflow_format_ui", _EDITOR_FORMAT),
    services.NotFinishedError: (409, "job_not_finished", "This job is still under way. Cancel it first."),
    job_queries.InvalidCursorError: (422, "invalid_cursor", _CURSOR),
    job_queries.InvalidLabelsError: (422, "invalid_metadata_filter", _LABEL),
    webhooks.DisabledError: (409, "webhook_disabled", "This webhook is switched off. Switch it on first."),
    TooManyKeysError: (409, "too_many_keys", _KEYS),
    TooManyWebhooksError: (409, "too_many_webhooks", _WEBHOOKS),
}


def _plain(request: HttpRequest, error: Any) -> HttpResponse:
    status, code, message = _PLAIN[type(error)]
    return envelope(request, status, code, message)


_HANDLERS |= dict.fromkeys(_PLAIN, _plain)


@_handles(DraftError)
def _unfinished(request: HttpRequest, error: DraftError) -> HttpResponse:
    fields = {name: [fault.message for fault in found] for name, found in error.faults.items()}
    return envelope(request, 409, "not_publishable", str(error), details={"fields": fields})


@_handles(NotPublishableError)
def _not_publishable(request: HttpRequest, error: NotPublishableError) -> HttpResponse:
    return envelope(request, 409, "not_publishable", str(error))


@_handles(UnfitError)
def _unfit(request: HttpRequest, error: UnfitError) -> HttpResponse:
    message = f"{error} Send accept_missing to publish it all the same."
    return envelope(request, 409, "not_publishable", message)


@_handles(UncheckedError)
def _unchecked(request: HttpRequest, error: UncheckedError) -> HttpResponse:
    message = f"{error} Check them, then send `accept_flags` to publish the template."
    flags = [{"text": flag["text"], "node_id": flag["node_id"]} for flag in error.flags]
    return envelope(request, 409, "unchecked_flags", message, details={"flags": flags})


@_handles(QueueFullError)
def _queue_full(request: HttpRequest, error: QueueFullError) -> HttpResponse:
    return envelope(request, 429, "queue_full", str(error), headers={"Retry-After": str(error.retry_after)})


@_handles(OperationalError)
def _database_away(request: HttpRequest, error: OperationalError) -> HttpResponse:
    logger.error("The database did not answer %s %s: %s", request.method, request.path, error)
    message = "The service is interrupted for a moment. Try again in a few seconds."
    return envelope(request, 503, "unavailable", message, headers={"Retry-After": "5"})


@_handles(SuspiciousOperation, MultiPartParserError)
def _unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    return envelope(
        request, 400, "invalid_request", "The request cannot be read: it is damaged, or it has too many parts."
    )


@_handles(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    cause = error.__cause__
    if isinstance(cause, HttpError):  # django-ninja says only that it cannot parse; our parser said why
        error = cause
    codes = {400: "invalid_request", 403: "forbidden", 501: "not_implemented"}
    return envelope(request, error.status_code, codes.get(error.status_code, "error"), str(error))


@_handles(Exception)
def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    if settings.DEBUG:
        raise error
    logger.exception("An API call failed: %s %s (%s)", request.method, request.path, request_id(request))
    return envelope(request, 500, "upstream_error", "Something went wrong on our side. Please try again.")
