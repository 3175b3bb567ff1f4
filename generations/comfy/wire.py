"""JSON from outside, made safe for everything behind us: ComfyUI's, and that of files and requests.

The server emits bare NaN and Infinity (json.dumps defaults in server.py), which browsers and databases
refuse; a NUL or half a surrogate pair in a text is legal JSON, but PostgreSQL and UTF-8 refuse those. So is 1e400,
which becomes infinity, and nesting that no recursive function behind us would survive.
"""

import json
import math
import re
from typing import NoReturn

from generations.comfy.errors import ProtocolError

MAX_DEPTH = 100  # the deepest real workflows have about 20 levels
MAX_VALUES = 1_000_000  # what one person sends; each costs up to 70 bytes of memory
MAX_SERVER_VALUES = 10_000_000
MAX_DIGITS = 40  # seeds have 20; beyond 4,300 Python itself refuses to convert, and float() beyond 308
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPICIOUS = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|[\x00\ud800-\udfff]")
# Possessive, and it takes texts without an end, too: a pattern that fails would begin again at every quote.
_TEXTS = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)


def decode(text: str, *, max_values: int = MAX_SERVER_VALUES) -> object:
    """Parses JSON text; numbers that are not finite, or have more than MAX_DIGITS digits, become None.

    Raises ProtocolError for anything that is not JSON, is nested deeper than MAX_DEPTH, or has more values than that.
    """
    try:
        value = _load(text, max_values, _LENIENT)
        return sanitise(value) if _SUSPICIOUS.search(text) else value
    except ValueError as error:
        raise ProtocolError(f"This JSON cannot be read ({error}): {text[:80]!r}.") from error


def decode_strictly(text: str) -> object:
    """Parses JSON text that the database can keep as it is. ValueError says what is wrong with it."""
    value = _load(text, MAX_VALUES, _STRICT)
    if _SUSPICIOUS.search(text) and sanitise(value) != value:
        msg = "a text in it has a NUL character or half of a surrogate pair"
        raise ValueError(msg)
    return value


def values_in(text: str) -> int:
    """How many values the JSON text has at the most: what it costs to parse it, known before."""
    found = _separators(text)
    return found if found <= MAX_VALUES else _separators(_TEXTS.sub("", text))


def _separators(text: str) -> int:
    return 1 + sum(text.count(mark) for mark in ",:[{")


def _load(text: str, max_values: int, decoder: json.JSONDecoder) -> object:
    if len(text) > max_values and values_in(text) > max_values:  # a text has no more values than characters
        msg = f"it has more than {max_values:,} values"
        raise ValueError(msg)
    too_deep = f"it is nested deeper than {MAX_DEPTH} levels"
    try:
        value: object = decoder.decode(text)
    except json.JSONDecodeError as error:  # its own words are about Python's parser
        msg = f"line {error.lineno}, column {error.colno}"
        raise ValueError(msg) from error
    except RecursionError as error:
        raise ValueError(too_deep) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
        raise ValueError(too_deep)
    return value


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [each for values in inner for each in values if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def sanitise(value: object) -> object:
    """A copy of a JSON value that every JSON reader and database accepts.

    NaN and infinities become None; NUL and lone surrogates in strings become U+FFFD.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {sanitise(str(key)): sanitise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sanitise(item) for item in value]
    return value


def _no_number(_name: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= MAX_DIGITS else None


def _refuse(text: str) -> NoReturn:
    msg = f"{text[:20]} is not a number that can be stored"
    raise ValueError(msg)


def _refuse_infinite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse_long(text: str) -> int:
    return int(text) if len(text) <= MAX_DIGITS else _refuse(text)


# `json.loads` makes one of these for every text that it reads.
_LENIENT = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite, parse_int=_integer)
_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_refuse_infinite, parse_int=_refuse_long)
