"""Middleware that saves work: the headers are those of the packages, and programs pay nothing for what pages need."""

from __future__ import annotations

from typing import Any

import pytest
from csp.constants import HEADER, NONE
from csp.middleware import CSPMiddleware
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import RequestFactory

from comfysaas.middleware import ContentSecurityPolicy, Messages


def _plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _with_nonce(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.csp_nonce))  # type: ignore[attr-defined]


def _with_own_header(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={HEADER: "sandbox"})


def _with_own_part(request: HttpRequest) -> HttpResponse:
    response: Any = HttpResponse()
    response._csp_replace = {"img-src": [NONE]}
    return response  # type: ignore[no-any-return]


def _exempt(request: HttpRequest) -> HttpResponse:
    response: Any = HttpResponse()
    response._csp_exempt = True
    return response  # type: ignore[no-any-return]


def _directives(response: HttpResponseBase) -> set[str]:
    """django-csp writes them in any order."""
    return set(response.get(HEADER, "").split("; "))


@pytest.mark.parametrize("view", [_plain, _with_own_header, _with_own_part, _exempt])
@pytest.mark.parametrize("is_debug", [False, True])
def test_a_policy_is_that_of_django_csp(view: Any, is_debug: bool, settings: Any) -> None:
    settings.DEBUG = is_debug
    request = RequestFactory().get("/generations/")
    assert _directives(ContentSecurityPolicy(view)(request)) == _directives(CSPMiddleware(view)(request))


def test_a_nonce_that_a_page_uses_is_in_its_policy_and_in_no_other(settings: Any) -> None:
    request = RequestFactory().get("/")
    response = ContentSecurityPolicy(_with_nonce)(request)
    assert f"'nonce-{response.content.decode()}'" in response[HEADER]
    assert "nonce" not in ContentSecurityPolicy(_plain)(RequestFactory().get("/"))[HEADER]


@pytest.mark.parametrize("path", ["/api/v2/jobs", "/healthz", "/readyz"])
def test_programs_have_no_messages(path: str) -> None:
    request = RequestFactory().get(path)
    Messages(_plain)(request)
    assert (hasattr(request, "_messages"), list(get_messages(request))) == (False, [])


@pytest.mark.parametrize("path", ["/", "/admin/", "/api/docs", "/api/v2/openapi.json", "/accounts/login/"])
def test_pages_have_messages(path: str) -> None:
    request: Any = RequestFactory().get(path)
    request.session = {}
    Messages(_plain)(request)
    assert hasattr(request, "_messages")
