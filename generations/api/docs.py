"""The interactive documentation. Its scripts and styles come from this server and obey the site's CSP."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI over /api/v2/openapi.json; signed-in people try it with their session, others with a key."""
    return render(request, "api/docs.html")
