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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v2/me", 200),
        ("GET", "/api/v2/jobs?status=odd", 422),
        ("DELETE", "/api/v2/templates", 405),
        ("GET", "/api/v2/", 404),
        ("GET", "/api/v2/nothing", 404),
    ],
)
def test_every_answer_has_a_number_of_its_own(api: Client, method: str, path: str, status: int) -> None:
    first, second = api.generic(method, path), api.generic(method, path)
    assert (first.status_code, second.status_code) == (status, status)
    assert first["X-Comfy-Request-Id"] and first["X-Comfy-Request-Id"] != second["X-Comfy-Request-Id"]


def test_answers_say_how_many_more_there_may_be(api: Client) -> None:
    left = [int(api.get(path)["RateLimit-Remaining"]) for path in ("/api/v2/me", "/api/v2/jobs?status=odd")]
    assert left[1] == left[0] - 1


def test_a_fault_is_found_in_the_log_by_the_number_of_its_answer(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("generations.models.WorkflowTemplate.objects.visible_to", None)
    response = api.get("/api/v2/templates")
    error_of(response, 500, "upstream_error")
    assert response["X-Comfy-Request-Id"] in caplog.text


def test_pages_are_left_alone(client: Client) -> None:
    assert "X-Comfy-Request-Id" not in client.get("/healthz")
