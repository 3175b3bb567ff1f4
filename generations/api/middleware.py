"""What every answer of the API carries, even when no operation made it."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.utils.deprecation import MiddlewareMixin

from generations.api.envelope import envelope, request_id
from generations.api.errors import not_found


class Enveloped(MiddlewareMixin):
    """Adds the request's number and the rate's headers to every answer, and the envelope to errors that django-ninja
    answers before it comes to an operation.
    """

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Its root address raises Http404."""
        return not_found(request) if isinstance(error, Http404) else None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """django-ninja's 405 has no body."""
        if isinstance(response, HttpResponseNotAllowed):
            methods = response["Allow"]
            message = f"This address does not take {request.method}. It takes {methods}."
            response = envelope(request, 405, "method_not_allowed", message, headers={"Allow": methods})
        allowance = getattr(request, "allowance", None)
        for name, value in (allowance.headers if allowance else {}).items():
            response.setdefault(name, value)
        response["X-Comfy-Request-Id"] = request_id(request)
        return response
