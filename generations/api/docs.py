"""The interactive documentation. Scripts and styles come from this server, as the site's CSP demands."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI over /api/v2/openapi.json, for sessions and for keys."""
    return render(request, "api/docs.html")
