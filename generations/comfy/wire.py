"""JSON as ComfyUI writes it, made safe for everything behind us.

The server emits bare NaN and Infinity (json.dumps defaults in server.py), which browsers and databases
refuse; a NUL or half a surrogate pair in a text is legal JSON, but PostgreSQL and UTF-8 refuse those.
"""

import json
import math
import re

from generations.comfy.errors import ProtocolError

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPICIOUS = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def decode(text: str) -> object:
    """Parses JSON text; non-finite numbers become None, integers stay exact.

    Raises ProtocolError for anything that is not JSON.
    """
    try:
        value: object = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        return sanitise(value) if _SUSPICIOUS.search(text) else value
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"ComfyUI sent something that is not JSON: {text[:80]!r}.") from error


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
