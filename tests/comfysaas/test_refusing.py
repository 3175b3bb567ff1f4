"""What people see of a request that was refused: notices in pages, pages of their own, and the way to sign in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.test import Client, RequestFactory

from accounts.models import User
from comfysaas.bodies import CUT_OFF, UNAUTHORIZED, Refusal, too_large
from comfysaas.refusing import refuse
from tests.support.factories import make_generation, make_template

pytestmark = pytest.mark.django_db
ACTIONS = ("cancel", "rerun", "delete")
PAGE = "http://testserver/templates/text-to-image/?from=1"
HTMX = {"HX-Request": "true", "HX-Current-URL": PAGE}


def next_of(response: Any) -> str:
    target = urlsplit(response["HX-Redirect"])
    assert target.path == "/accounts/login/"
    return str(parse_qs(target.query)["next"][0])


# ------------------------------------------------------------------------------------------ signed out
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/templates/text-to-image/"),
        ("get", "/generations/"),
        ("post", "/generations/00000000-0000-0000-0000-000000000001/cancel/"),
        ("get", "/account/webhooks/00000000-0000-0000-0000-000000000001/log/"),
        ("post", "/admin/generations/workflowtemplate/studio/1/expose/"),
    ],
)
def test_a_part_of_a_page_that_needs_signing_in_sends_the_whole_page_there(method: str, path: str) -> None:
    make_template()
    response = getattr(Client(), method)(path, headers=HTMX)
    assert response.status_code == 401
    assert next_of(response) == "/templates/text-to-image/?from=1"
    assert response.content == b""


@pytest.mark.parametrize(
    "page",
    [
        "",
        "nonsense",
        "https://elsewhere.example/templates/x/",
        "javascript:alert(1)",
        "http://[",
        "http://testserver//x.example/",
    ],
)
def test_only_pages_of_ours_are_gone_back_to(page: str) -> None:
    response = Client().get("/generations/", headers={"HX-Request": "true", "HX-Current-URL": page})
    assert next_of(response) == "/"


def test_whole_pages_are_redirected_as_ever_and_other_redirects_stay(owner: User, client_for: Any) -> None:
    assert Client().get("/generations/").status_code == 302
    make_template()
    part = client_for(owner).post("/templates/text-to-image/", {"prompt": "x"}, headers={"HX-Request": "true"})
    assert "HX-Redirect" not in part


# ------------------------------------------------------------------------------------------ what is refused
def answer(refusal: Refusal, path: str = "/", **headers: str) -> Any:
    return refuse(RequestFactory().post(path, headers=headers), refusal)


@pytest.mark.parametrize(
    ("refusal", "heading"),
    [
        (UNAUTHORIZED, "Sign in first"),
        (CUT_OFF, "The form did not arrive completely"),
        (too_large(2**20, is_multipart=True), "The request is too large"),
        (Refusal(429, "rate_limited", "You may open 2 pages a minute."), "Too many requests"),
    ],
)
def test_the_page_says_what_is_wrong_in_the_sites_own_look(refusal: Refusal, heading: str) -> None:
    response = answer(refusal)
    html = response.content.decode()
    assert response.status_code == refusal.status
    assert f"<h1>{heading}</h1>" in html
    assert 'class="brand"' in html
    assert "was not accepted" not in html


def test_a_body_refused_before_the_middleware_of_htmx_is_answered_as_a_notice() -> None:
    response = answer(UNAUTHORIZED, **HTMX)
    assert response.status_code == 401
    assert (response["HX-Retarget"], response["HX-Reswap"]) == ("#notices", "innerHTML")
    html = response.content.decode()
    assert "You are signed out." in html
    assert "/accounts/login/?next=%2Ftemplates%2Ftext-to-image%2F%3Ffrom%3D1" in html
    assert "API key" not in html
    assert "larger than the 1 MB" in answer(too_large(2**20, is_multipart=True), **HTMX).content.decode()


def test_the_api_answers_in_its_own_words() -> None:
    response = answer(UNAUTHORIZED, "/api/v2/assets", **HTMX)
    assert "API key" in response.content.decode()
    assert response["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/accounts/login/", "/open/", "/generations/"])
def test_a_lost_csrf_token_is_explained_on_a_page_of_ours(owner: User, client_for: Any, path: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client_for(owner).cookies
    page, part = strict.post(path), strict.post(path, headers=HTMX)
    for response in (page, part):
        assert response.status_code == 403
        assert "The page was open too long, or your browser blocks cookies." in response.content.decode()
    assert 'class="brand"' in page.content.decode()
    assert part["HX-Retarget"] == "#notices"


# ------------------------------------------------------------------------------------------ methods
HOOK = "/account/webhooks/00000000-0000-0000-0000-000000000001/"


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/open/", "/"),
        ("/account/keys/abc/revoke/", "/account/keys/"),
        ("/account/storage/delete/", "/account/storage/"),
        ("/account/storage/00000000-0000-0000-0000-000000000001/delete/", "/account/storage/"),
        *((f"/generations/{UUID(int=1)}/{action}/", f"/generations/{UUID(int=1)}/") for action in ACTIONS),
        *((f"{HOOK}{action}/", HOOK) for action in ("switch", "delete", "test", f"{UUID(int=1)}/again")),
    ],
)
def test_signing_in_on_the_way_to_an_action_ends_on_a_page(owner: User, client_for: Any, path: str, page: str) -> None:
    assert Client().post(path)["Location"] == f"/accounts/login/?next={path}"
    client = client_for(owner)
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, page)
    assert client.put(path).status_code == 405


def test_a_method_that_an_address_does_not_know_gets_a_page(owner: User, client_for: Any) -> None:
    generation = make_generation(owner)
    response = client_for(owner).post(f"/generations/{generation.pk}/panel/")
    assert response.status_code == 405
    assert response["Allow"] == "GET"
    assert "<h1>This page cannot be opened</h1>" in response.content.decode()
