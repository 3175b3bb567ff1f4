"""What every answer of the API carries, also those that no operation makes."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.utils.deprecation import MiddlewareMixin

from generations.api.envelope import envelope, request_id
from generations.api.errors import not_found


class Enveloped(MiddlewareMixin):
    """Gives every answer a number to be quoted, and what is left of the caller's requests; and the envelope to what
    django-ninja answers before it comes to an operation.
    """

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Its root address is a plain 404."""
        return not_found(request) if isinstance(error, Http404) else None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """A method that an address does not know is a bare 405."""
        if isinstance(response, HttpResponseNotAllowed):
            methods = response["Allow"]
            message = f"{request.method} is not possible here. Allowed: {methods}."
            response = envelope(request, 405, "method_not_allowed", message, headers={"Allow": methods})
        allowance = getattr(request, "allowance", None)
        for name, value in (allowance.headers if allowance else {}).items():
            response.setdefault(name, value)
        response["X-Comfy-Request-Id"] = request_id(request)
        return response
