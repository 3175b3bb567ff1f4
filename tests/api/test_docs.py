"""The interactive documentation, and the document behind it."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
from django.contrib.staticfiles import finders
from django.test import Client


def test_docs_page_brings_everything_itself() -> None:
    response = Client().get("/api/docs")
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)
    assert not re.search(r"\son\w+=|\sstyle=", html)
    for found in re.findall(r'(?:src|href)="/static/([^"]+)"', html):
        assert finders.find(found), found


def test_docs_page_allows_no_inline_script() -> None:
    policy = Client().get("/api/docs")["Content-Security-Policy"]
    assert "unsafe" not in re.search(r"script-src[^;]*", policy).group()  # type: ignore[union-attr]


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
