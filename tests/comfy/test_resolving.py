"""Patterns become what the editor (frontend 1.58.1, clock and dice frozen) makes of them."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.comfy.resolving import (
    format_date,
    has_patterns,
    resolve_name,
    resolve_prompt,
    widget_names,
    without_comments,
)

MOMENT = datetime(2024, 3, 5, 7, 8, 9, tzinfo=UTC)


def first(_count: int) -> int:
    return 0


def last(count: int) -> int:
    return count - 1


def drawing(*numbers: int) -> Callable[[int], int]:
    left = iter(numbers)
    return lambda _count: next(left)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{red|green|{blue|dark blue}} boat, {one} {} plain", "red boat, one  plain"),
        (
            "a \\{literal\\} b \\| c {x\\|y|z} // comment http://host/path\nline two /* block\ncomment */ end",
            "a {literal} b | c x|y \nline two  end",
        ),
        ("see https://example.invalid/x and {unclosed|tail", "see https:"),
        ("and {unclosed|tail", "and unclosed"),
        ("stray } brace and a | bar", "stray } brace and a | bar"),
        ("(a\\(b\\):1.2) C:\\dir", "(a\\(b\\):1.2) C:\\dir"),
        ("{a {b|c", "a b"),
        ("{/{/|x}|y}", "//"),
        ("// a\r\nb // c\u2028d", "\r\nb \u2028d"),
        ("/* open { // to the end", "/* open  "),
        ("/*/ a */b", "b"),
        ("ends in \\", "ends in \\"),
        ("\\\\} \\\\{a}", "\\} \\\\a"),
        ("{\\\\\\{}", "\\{"),
        ("{{\\\\\\{}}", "{"),
        ("\\\\{{\\{x}}", "\\{x"),
        ("", ""),
    ],
)
def test_the_first_alternative_is_taken_as_the_editor_takes_it(text: str, expected: str) -> None:
    assert resolve_prompt(text, first) == expected


def test_draws_are_made_for_a_group_and_then_for_those_within_what_was_drawn() -> None:
    text = "{a|b{c|d|e}|f} {{g|h}|i}"
    assert resolve_prompt(text, drawing(1, 2, 0, 1)) == "be h"
    assert resolve_prompt(text, last) == "f i"


def _as_the_editor(text: str, draw: Callable[[int], int]) -> str:
    """The same by the letter of the language: every alternative is a text of its own, read from the start."""
    text = without_comments(text)
    out, place = "", 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "\\":
            out, place = out + text[place - 1 : place + 1], place + 1
        elif character == "{":
            options, depth = [""], 0
            while place < len(text):
                character = text[place]
                place += 1
                if character == "\\":
                    options[-1] += text[place - 1 : place + 1]
                    place += 1
                    continue
                if character == "|" and not depth:
                    options.append("")
                    continue
                if character == "}" and not depth:
                    break
                depth += {"{": 1, "}": -1}.get(character, 0)
                options[-1] += character
            out += _as_the_editor(options[draw(len(options))], draw)
        else:
            out += character
    for brace in "{}|":
        out = out.replace(f"\\{brace}", f"\0{brace}")
    return out.replace("\0", "")


@given(st.text("{}|\\/*a\n", max_size=40), st.integers(0, 2**30))
def test_any_text_becomes_what_reading_it_alternative_by_alternative_makes_of_it(text: str, seed: int) -> None:
    mine = resolve_prompt(text, random.Random(seed).randrange)
    assert mine == _as_the_editor(text, random.Random(seed).randrange)
    assert has_patterns(text) or mine == text
    assert len(mine) <= len(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["{", "{a|", "{}", "/*", "//", "\\{", "{\\", "\\\\{\\{", "|}", "%a.b", "/*/", "{\\\\\\{"]
)
def test_time_grows_with_the_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece)) + "}" * (length // 4)
        started = time.process_time()
        resolve_prompt(text, last)
        resolve_name(text, MOMENT, lambda *_: "x", most=100_000)
        return time.process_time() - started

    few, many = (min(seconds(length) for _ in range(3)) for length in (4_000, 64_000))
    assert many < 80 * few + 0.02  # 16 times as long; the square would be 256 times


def test_dates_are_written_by_the_editors_letters() -> None:
    assert format_date("yyyy-MM-dd hh:mm:ss", MOMENT) == "2024-03-05 07:08:09"
    assert format_date("yy-M-d h:m:s", MOMENT) == "24-3-5 7:8:9"
    assert format_date("y yyy yyyyy ddd MMM", MOMENT) == "y yyy 2024y 055 033"
    assert format_date("dd.HH", datetime(2024, 12, 31, 23, tzinfo=UTC)) == "31.HH"


VALUES = {("EmptyImage", "width"): 64, ("My Canvas", "height"): 48.0, ("Txt", "value"): 'a/b:c*d?e"<>|\\\n'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%date:yyyy-MM-dd%/%date:hhmmss%_%date:yy-M-d h:m:s%", "2024-03-05/070809_24-3-5 7:8:9"),
        ("%EmptyImage.width%x%My Canvas.height%_%width%_%batch_num%_%nope.x%_%EmptyImage.nope%",
         "64x48_%width%_%batch_num%_%nope.x%_%EmptyImage.nope%"),
        ("%date%_%date:%_%%_100%", "%date%__%%_100%"),
        ("%Txt.value%", "a_b_c_d_e______"),
        ("%date:dd.MM.yyyy%", "05"),
        ("%date:dd.MM%", "%date:dd.MM%"),
        ("100% sure", "100% sure"),
    ],
)  # fmt: skip
def test_patterns_in_names_become_dates_and_values_or_stay(text: str, expected: str) -> None:
    assert resolve_name(text, MOMENT, lambda node, widget: VALUES[node, widget], most=4096) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (True, "true"), (1.5, "1.5"), (2**64 - 1, "18446744073709551615"), ("..", "__"), ("a..", "a.."),
     (0.00001, "0.00001"), (1e-7, "1e-7"), (-0.0, "0"), (1e22, "1e+22"),
     ([1, "b"], "1,b"), ("%date:yyyy%", "%date_yyyy%")],
)  # fmt: skip
def test_values_are_written_as_the_editor_does_and_never_name_a_folder(value: object, expected: str) -> None:
    assert resolve_name("%a.b%", MOMENT, lambda *_: value, most=4096) == expected


def test_widgets_that_names_speak_of_are_found() -> None:
    found = widget_names("%KSampler.seed%_%date:yyyy%_%width%_%My Node.a b%_%a.b.c%")
    assert list(itertools.chain(found)) == [("KSampler", "seed"), ("My Node", "a b")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("../%a.b%", "../_"),
        ("./%a.b%%a.b%/x", "./__/x"),
        ("%a.b%./x", "__/x"),
        (".%a.b%..", "...."),
        ("../%a.b%.", "../.."),
        ("a%a.b%/..", "a./.."),
    ],
)
def test_values_make_no_folder_that_nobody_wrote(text: str, expected: str) -> None:
    assert resolve_name(text, MOMENT, lambda *_: ".", most=4096) == expected
