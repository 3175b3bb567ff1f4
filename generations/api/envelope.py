"""The shape of every error, and the number that leads from an answer to its request in the log."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Schema
from pydantic import Field


class ErrorDetail(Schema):
    """What went wrong: `code` for programs, `message` for people."""

    code: str = Field(examples=["not_found"])
    message: str
    details: dict[str, Any] | None = None


class ErrorEnvelope(Schema):
    """The shape of every error."""

    error: ErrorDetail


def request_id(request: HttpRequest) -> str:
    """The request's number in the log and in the header X-Comfy-Request-Id of its answer."""
    if not hasattr(request, "comfysaas_id"):
        request.comfysaas_id = uuid.uuid4().hex  # type: ignore[attr-defined]  # kept where the request is
    return str(request.comfysaas_id)  # type: ignore[attr-defined]


def envelope(
    request: HttpRequest,
    status: int,
    code: str,
    message: str,
    *,
    details: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """An error as the answer to this request."""
    body = ErrorEnvelope.model_validate({"error": {"code": code, "message": message, "details": details}})
    response = JsonResponse(body.model_dump(), status=status, content_type="application/json; charset=utf-8")
    response["X-Comfy-Request-Id"] = request_id(request)
    for name, value in (headers or {}).items():
        response[name] = value
    return response
