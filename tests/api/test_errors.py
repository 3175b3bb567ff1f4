"""Every error has the envelope, whoever notices it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from tests.api.envelope import error_of
from tests.support.factories import make_template


@pytest.mark.parametrize("path", ["/api/v2/assets", "/api/v2/templates/text-to-image/jobs", "/api/v2/templates"])
def test_a_damaged_form_is_refused(staff: Any, api_for: Any, path: str) -> None:
    make_template()
    response = api_for(staff).generic("POST", path, b"--x\r\nnonsense", content_type="multipart/form-data")
    error_of(response, 400, "invalid_request")


def test_a_form_cannot_smuggle_what_the_database_cannot_keep(api: Client) -> None:
    make_template()
    path = "/api/v2/templates/text-to-image/jobs"
    for name in ("inputs", "metadata"):
        for text in ('{"prompt": "a\\u0000b"}', '{"prompt": "\\ud800"}', '{"prompt": NaN}'):
            error_of(api.post(path, {name: text}), 400, "invalid_request")
    error_of(api.post(path, {"prompt": "a\x00b"}), 400, "invalid_request")


def test_fault_of_ours_is_told_without_its_details(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*args: Any, **kwargs: Any) -> None:
        msg = "secret of the house"
        raise RuntimeError(msg)

    monkeypatch.setattr("generations.models.WorkflowTemplate.objects.visible_to", break_down)
    response = api.get("/api/v2/templates")
    error = error_of(response, 500, "upstream_error")
    assert "secret" not in str(error)
    assert "secret of the house" in caplog.text


def test_a_database_that_is_away_is_an_interruption(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        msg = "couldn't get a connection after 15.00 sec"
        raise OperationalError(msg)

    monkeypatch.setattr("generations.models.WorkflowTemplate.objects.visible_to", away)
    response = api.get("/api/v2/templates")
    assert "15.00 sec" not in str(error_of(response, 503, "unavailable"))
    assert response["Retry-After"] == "5"
