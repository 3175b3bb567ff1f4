"""Ranges: one span of bytes, or everything, or nothing that could be satisfied."""

from __future__ import annotations

import pytest

from generations.files.delivery import _parse_range

SIZE = 1000
HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("", (0, SIZE)),
        ("bytes=0-9", (0, 10)),
        ("bytes=990-", (990, 10)),
        ("bytes=-10", (990, 10)),
        ("bytes=990-5000", (990, 10)),
        ("bytes=1000-", None),
        ("bytes=5-4", None),
        ("bytes=-0", None),
        ("bytes=-", (0, SIZE)),
        ("bytes=0-1,3-4", (0, SIZE)),
        ("lines=1-2", (0, SIZE)),
        (f"bytes=0-{HUGE}", (0, SIZE)),
        (f"bytes=-{HUGE}", (0, SIZE)),
        (f"bytes={HUGE}-", None),
        (f"bytes={HUGE}-{HUGE}", None),
        (f"bytes={'0' * 5000}5-9", (5, 5)),
        (f"bytes={'0' * 5000}-9", (0, 10)),
        ("bytes=٣-٤", (0, SIZE)),
    ],
)
def test_range_gives_one_span(header: str, span: tuple[int, int] | None) -> None:
    assert _parse_range(header, SIZE) == span
