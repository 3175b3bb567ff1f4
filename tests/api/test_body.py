"""Bodies are JSON that the database can keep, or refused with what is wrong."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from ninja.errors import HttpError

from generations.api.body import parse_json, read_json


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}), ('"\\ud83d\\udc08"', "🐈"), (" 7 ", 7)]
)
def test_json_is_read(text: str, value: object) -> None:
    request = RequestFactory().post("/", text.encode(), content_type="application/json")
    assert read_json(request) == parse_json(text) == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b'"a\\u0000b"',
        b'{"\\u0000": 1}',
        b'"\\ud800"',
        b'"\xff"',
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_or_kept_is_a_400(content: bytes) -> None:
    request = RequestFactory().post("/", content, content_type="application/json")
    with pytest.raises(HttpError) as refusal:
        read_json(request)
    assert refusal.value.status_code == 400
    assert str(refusal.value).startswith("The request's body is not valid JSON: ")
