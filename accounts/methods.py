"""Addresses that only take forms: people who open one after signing in, or from their history, land on a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.views.decorators.http import require_http_methods

View = Callable[..., HttpResponse]


def post_only(page: str, *kept: str) -> Callable[[View], View]:
    """A view for POST. GET redirects to the page of that name with the `kept` arguments; other methods get 405."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "POST":
                return view(request, *args, **kwargs)
            return HttpResponseRedirect(resolve_url(page, **{name: kwargs[name] for name in kept}))

        return require_http_methods(["GET", "HEAD", "POST"])(wrapper)

    return decorate
