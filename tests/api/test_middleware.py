"""What answers of the API carry that no operation made."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.api.envelope import error_of


@pytest.mark.parametrize("path", ["/api/v2/", "/api/v2/nothing", "/api/v2/job", "/api/v2/templates/No%00pe"])
def test_unknown_address_is_not_found(api: Client, path: str) -> None:
    error_of(api.get(path), 404, "not_found")


def test_wrong_method_says_which_are_right(api: Client) -> None:
    response = api.delete("/api/v2/templates")
    error_of(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}


def test_wrong_method_of_an_async_operation_says_so_too(api: Client) -> None:
    response = api.post("/api/v2/assets/not-even-an-id/content")
    error_of(response, 405, "method_not_allowed")
