"""Addresses that only take forms lead whoever opens them to a page."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from accounts.methods import post_only


@post_only("generation", "pk")
def act(request: HttpRequest, pk: str, kind: str = "") -> HttpResponse:
    return HttpResponse(f"done {pk} {kind}")


PK = "6f1c2a34-0000-4000-8000-000000000001"


def ask(method: str) -> HttpResponse:
    return act(RequestFactory().generic(method, "/"), pk=PK, kind="x")


def test_a_form_that_is_sent_is_acted_on() -> None:
    assert ask("POST").content.decode() == f"done {PK} x"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_whoever_opens_it_is_led_to_its_page_and_nothing_is_done(method: str) -> None:
    response = ask(method)
    assert (response.status_code, response["Location"]) == (302, f"/generations/{PK}/")
    assert b"done" not in response.content


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "NONSENSE"])
def test_other_methods_are_refused_with_those_that_are_taken(method: str) -> None:
    response = ask(method)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, POST")
