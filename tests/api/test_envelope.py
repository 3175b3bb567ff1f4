"""Errors have one shape, and a number that is in the log, too."""

from __future__ import annotations

import json
import uuid

from django.test import RequestFactory

from generations.api.envelope import envelope, request_id


def test_a_request_has_one_number_for_as_long_as_it_lasts() -> None:
    first, second = RequestFactory().get("/api/v2/jobs"), RequestFactory().get("/api/v2/jobs")
    assert request_id(first) == request_id(first)
    assert request_id(first) != request_id(second)
    assert uuid.UUID(hex=request_id(first))


def test_an_error_is_json_with_what_it_was_given() -> None:
    request = RequestFactory().get("/api/v2/jobs")
    response = envelope(
        request, 429, "queue_full", "Größe: 1", details={"limit": 3}, headers={"Retry-After": "5", "Allow": "GET"}
    )
    assert (response.status_code, response["Retry-After"], response["Allow"]) == (429, "5", "GET")
    assert response["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(response.content) == {
        "error": {"code": "queue_full", "message": "Größe: 1", "details": {"limit": 3}}
    }
    assert json.loads(envelope(request, 404, "not_found", "No.").content)["error"]["details"] is None
