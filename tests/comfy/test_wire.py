"""JSON from outside: what is read, what is refused, and that refusing costs little."""

from __future__ import annotations

import json

import pytest

from generations.comfy import wire
from generations.comfy.errors import ProtocolError

DEEPEST = "[" * wire.MAX_DEPTH + "1" + "]" * wire.MAX_DEPTH
TOO_DEEP = f"[{DEEPEST}]"
DIGITS = "9" * wire.MAX_DIGITS


@pytest.mark.parametrize("text", [DEEPEST, DIGITS, "-9", "1e308", '{"seed": 18446744073709552000}', '"\\u00e4"', "[]"])
def test_what_can_be_kept_is_read_exactly(text: str) -> None:
    assert wire.decode(text) == wire.decode_strictly(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TOO_DEEP, "nested deeper than 100 levels"),
        ("[" * 100_000, "nested deeper than 100 levels"),
        ('{"a":' * 100_000, "nested deeper than 100 levels"),
        ("[" + "[]," * wire.MAX_VALUES + "[]]", "more than 1,000,000 values"),
        ("1" * 5000, "not a number that can be stored"),
        (DIGITS + "9", "not a number that can be stored"),
        ("[1e400]", "1e400 is not a number"),
        ("-1e999", "not a number that can be stored"),
        ("NaN", "NaN is not a number"),
        ("-Infinity", "not a number that can be stored"),
        ('"\\u0000"', "NUL character"),
        ('{"\\u0000": 1}', "NUL character"),
        ('"\\ud800"', "surrogate"),
        ("{", "line 1, column 2"),
    ],
)
def test_what_the_database_cannot_keep_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        wire.decode_strictly(text)


@pytest.mark.parametrize("text", ["[1e400]", "[NaN]", f"[{DIGITS}9]", f"[-{'9' * 5000}]"])
def test_numbers_of_a_server_that_nobody_can_keep_become_nothing(text: str) -> None:
    assert wire.decode(text) == [None]


@pytest.mark.parametrize("text", [TOO_DEEP, "[" * 100_000, "[[],[],[]]"])
def test_refusals_of_what_a_server_sent_are_protocol_errors(text: str) -> None:
    with pytest.raises(ProtocolError):
        wire.decode(text, max_values=5)


def test_commas_in_texts_are_no_values() -> None:
    text = json.dumps(["a, b: [c], {d}" * wire.MAX_VALUES, 'say \\"', "["])
    assert wire.values_in(text) < 20
    assert wire.decode_strictly(text)


@pytest.mark.parametrize("text", ['"\\', '["', '\\"', '"\\"', '{":'])
def test_quotes_without_an_end_are_counted_in_linear_time(text: str) -> None:
    """A pattern that begins anew at every quote would take hours over these."""
    assert wire.values_in(text * 400_000 + "," * wire.MAX_VALUES) >= 1
