"""The REST API under /api/v2/: a part of the Comfy API v2, with templates on top."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.urls import URLPattern
from django.utils.decorators import decorator_from_middleware
from django.utils.deprecation import MiddlewareMixin
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from comfysaas import __version__
from generations.api import assets, jobs, templates
from generations.api.auth import ApiKeyAuth, SessionAuth
from generations.api.schemas import ErrorEnvelope
from generations.comfy.convert import ConversionError
from generations.comfy.graph import GraphError
from generations.parameters.validate import InvalidInputs
from generations.queue import QueueFullError
from generations.services import CannotRunError, InvalidUploadError
from generations.studio import DraftError, UnfitError

logger = logging.getLogger(__name__)


class _Enveloped(MiddlewareMixin):
    """Gives the envelope to what django-ninja answers before it comes to an operation."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Its root address is a plain 404."""
        return _not_found(request, error) if isinstance(error, Http404) else None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """A method that an address does not know is a bare 405."""
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = response["Allow"]
        message = f"{request.method} is not possible here. Allowed: {allowed}."
        return envelope(request, 405, "method_not_allowed", message, headers={"Allow": allowed})


class _Api(NinjaAPI):
    def _get_urls(self) -> list[Any]:
        urls = super()._get_urls()
        for url in urls:
            if isinstance(url, URLPattern):
                url.callback = decorator_from_middleware(_Enveloped)(url.callback)
        return urls


api = _Api(
    title="comfysaas",
    version=__version__,
    description=(
        "Run published ComfyUI templates and fetch their results. Sign in, or send `Authorization: Bearer csk_…`. "
        "Jobs are durable from the moment they are created: poll `GET jobs/{id}`."
    ),
    auth=[ApiKeyAuth(), SessionAuth()],
    urls_namespace="api",
    docs_url=None,
)


def envelope(
    request: HttpRequest,
    status: int,
    code: str,
    message: str,
    *,
    details: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Every error has this shape."""
    body = ErrorEnvelope.model_validate({"error": {"code": code, "message": message, "details": details}})
    response: HttpResponse = api.create_response(request, body.model_dump(), status=status)
    for name, value in (headers or {}).items():
        response[name] = value
    return response


@api.exception_handler(AuthenticationError)
def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    message = "Send a valid API key as “Authorization: Bearer csk_…”, or sign in."
    return envelope(request, 401, "unauthorized", message, headers={"WWW-Authenticate": 'Bearer realm="comfysaas"'})


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, error: Exception) -> HttpResponse:
    return envelope(request, 404, "not_found", "There is no such thing here, or it is not yours.")


def not_found(request: HttpRequest, rest: str) -> HttpResponse:
    """Whatever else is asked for under /api/v2/."""
    return _not_found(request, Http404())


@api.exception_handler(ValidationError)
def _invalid_request(request: HttpRequest, error: ValidationError) -> HttpResponse:
    # An id that cannot be one is an id of nothing.
    if all(problem["loc"][0] == "path" for problem in error.errors):
        return _not_found(request, Http404())
    problems = [{"field": ".".join(map(str, each["loc"][1:])), "reason": each["msg"]} for each in error.errors]
    return envelope(request, 422, "invalid_request", "The request is not well-formed.", details={"errors": problems})


@api.exception_handler(InvalidInputs)
def _invalid_inputs(request: HttpRequest, error: InvalidInputs) -> HttpResponse:
    names = ", ".join(sorted(error.errors))
    details = {"fields": error.errors}
    return envelope(request, 422, "invalid_inputs", f"These inputs are wrong: {names}.", details=details)


@api.exception_handler(InvalidUploadError)
def _invalid_upload(request: HttpRequest, error: InvalidUploadError) -> HttpResponse:
    return envelope(request, 422, "invalid_upload", str(error))


@api.exception_handler(CannotRunError)
def _cannot_run(request: HttpRequest, error: CannotRunError) -> HttpResponse:
    return envelope(request, 409, "template_unavailable", str(error))


@api.exception_handler(GraphError)
def _invalid_workflow(request: HttpRequest, error: GraphError) -> HttpResponse:
    problems = error.problems if isinstance(error, ConversionError) else []
    nodes = [{"node_id": each.node_id, "title": each.title, "message": each.message} for each in problems]
    return envelope(request, 422, "invalid_workflow", str(error), details={"nodes": nodes} if nodes else None)


@api.exception_handler(DraftError)
def _unfinished(request: HttpRequest, error: DraftError) -> HttpResponse:
    return envelope(request, 409, "not_publishable", str(error), details={"fields": error.faults})


@api.exception_handler(UnfitError)
def _unfit(request: HttpRequest, error: UnfitError) -> HttpResponse:
    return envelope(request, 409, "not_publishable", str(error))


@api.exception_handler(QueueFullError)
def _queue_full(request: HttpRequest, error: QueueFullError) -> HttpResponse:
    return envelope(request, 429, "queue_full", str(error), headers={"Retry-After": str(error.retry_after)})


@api.exception_handler(OperationalError)
def _database_away(request: HttpRequest, error: OperationalError) -> HttpResponse:
    logger.error("The database did not answer %s %s: %s", request.method, request.path, error)
    message = "The service is interrupted for a moment. Please try again."
    return envelope(request, 503, "unavailable", message, headers={"Retry-After": "5"})


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    codes = {400: "invalid_request", 403: "forbidden", 501: "not_implemented"}
    return envelope(request, error.status_code, codes.get(error.status_code, "error"), str(error))


@api.exception_handler(Exception)
def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    if settings.DEBUG:
        raise error
    logger.exception("An API call failed: %s %s", request.method, request.path)
    return envelope(request, 500, "upstream_error", "Something went wrong on our side. Please try again.")


api.add_router("/", templates.router, tags=["templates"])
api.add_router("/", jobs.router, tags=["jobs"])
api.add_router("/", assets.router, tags=["assets"])
