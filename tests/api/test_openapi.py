"""The OpenAPI document: every operation, valid schemas, and an operation for each template that one may run."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from django.test import Client

from accounts.models import User
from tests.api.envelope import error_of
from tests.support.factories import make_template


def test_openapi_describes_every_operation() -> None:
    document: Any = Client().get("/api/v2/openapi.json").json()
    operations = {
        operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()
    }
    assert len(operations) > 30
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["security"], name
        assert "401" in operation["responses"], name
    assert "/api/v2/templates/{slug}/jobs" in document["paths"]


def test_schemas_of_the_document_are_valid() -> None:
    document: Any = Client().get("/api/v2/openapi.json").json()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.usefixtures("known_server")
def test_the_document_has_an_operation_for_each_template_that_one_may_run(
    owner: User, api: Client, client_for: Any
) -> None:
    make_template()
    make_template("hidden", visibility="groups")
    path = "/api/v2/templates/text-to-image/jobs"
    assert path not in Client().get("/api/v2/openapi.json").json()["paths"]
    for client in (client_for(owner), api):
        paths = client.get("/api/v2/openapi.json").json()["paths"]
        assert "/api/v2/templates/hidden/jobs" not in paths
        operation = paths[path]["post"]
        assert operation["operationId"] == "run_text_to_image"
        content = operation["requestBody"]["content"]["application/json"]
        inputs = content["schema"]["properties"]["inputs"]
        assert inputs["properties"]["steps"] == {
            "title": "Steps", "x-role": "steps", "type": "integer", "default": 4, "minimum": 1, "maximum": 50,
        }  # fmt: skip
        example = content["examples"]["usual"]["value"]
        made = api.post(path, json.dumps(example), content_type="application/json")
        assert made.status_code == 201
    error_of(Client(headers={"Authorization": "Bearer csk_wrong_x"}).get("/api/v2/openapi.json"), 401, "unauthorized")
