"""Cursors and labels of `GET /jobs`, as the query names them."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from generations.api.job_queries import InvalidCursorError, InvalidLabelsError, decode, encode, labels_of
from generations.models import Generation


def row(created_at: datetime) -> Generation:
    return Generation(created_at=created_at)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_cursor_names_its_row_to_the_microsecond(created_at: datetime) -> None:
    found = row(created_at)
    assert decode(encode(found)) == (created_at, found.pk)
    assert set(encode(found)).isdisjoint("=+/&")  # it is a part of an address


def test_a_cursor_with_another_offset_is_the_same_moment() -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    found, _pk = decode(encode(row(moment)))
    assert (found, found.utcoffset()) == (moment, timedelta(0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01T00:00:00+00:00",
        f"2026-01-01T00:00:00,{uuid.UUID(int=1)}",  # of no time zone
        f"2026-13-01T00:00:00+00:00,{uuid.UUID(int=1)}",
        f"0001-01-01T00:00:00+23:00,{uuid.UUID(int=1)}",
        "2026-01-01T00:00:00+00:00,5",
    ],
)
def test_texts_that_are_no_cursor_are_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        decode(base64.urlsafe_b64encode(text.encode()).decode())


@given(st.text(max_size=40))
def test_whatever_is_sent_as_a_cursor_is_read_or_refused(text: str) -> None:
    try:
        decode(text)
    except InvalidCursorError:
        return
    pytest.fail(f"{text!r} is nothing that we made")


def test_labels_are_found_among_other_names() -> None:
    query = {"metadata[client]": "acme", "metadata[a.b-c_9]": "", "metadata": "x", "q": "metadata[q]", "limit": "5"}
    assert labels_of(RequestFactory().get("/", query)) == {"client": "acme", "a.b-c_9": ""}


@pytest.mark.parametrize(
    ("name", "value"),
    [("metadata[]", "x"), ("metadata[9]", "x"), ("metadata[a b]", "x"), ("metadata[a]]", "x"), ("metadata[a]", "\0")],
)
def test_names_that_no_label_can_have_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidLabelsError):
        labels_of(RequestFactory().get("/", {name: value}))
