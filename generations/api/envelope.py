"""The shape of every error, and the number under which its request is found in the log."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from generations.api.schemas import ErrorEnvelope


def request_id(request: HttpRequest) -> str:
    """What the request is called in the log and in its answer."""
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
    """Every error has this shape."""
    body = ErrorEnvelope.model_validate({"error": {"code": code, "message": message, "details": details}})
    response = JsonResponse(body.model_dump(), status=status, content_type="application/json; charset=utf-8")
    for name, value in (headers or {}).items():
        response[name] = value
    return response
