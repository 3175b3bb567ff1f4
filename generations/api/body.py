"""Reading JSON that the database can keep."""

from __future__ import annotations

import json
import re
from typing import Any

from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.parser import Parser
from pydantic import ValidationError

_NUL_OR_HALF = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class InvalidBodyError(Exception):
    """A body that is not what the operation takes; `problems` as pydantic tells them."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.problems = error.errors(include_url=False, include_context=False, include_input=False)


class StrictParser(Parser):
    """JSON without what PostgreSQL cannot keep: NaN, Infinity, NUL characters, half surrogates."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The value of the request's body; HttpError 400."""
        return read_json(request)


def read_json(request: HttpRequest) -> Any:
    """The value of the request's body. HttpError 400 when it cannot be read."""
    try:
        return parse_json(request.body.decode())
    except ValueError as error:
        raise HttpError(400, "The request's body is not valid JSON.") from error


def parse_json(text: str) -> Any:
    """Its value; ValueError for what is no JSON, or none that the database can keep."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise ValueError(msg) from error
    if "\x00" in text or _NUL_OR_HALF.search(text):
        _check(value)
    return value


def _refuse(constant: str) -> Any:
    msg = f"{constant} is no number"
    raise ValueError(msg)


def _check(value: Any) -> None:
    """ValueError for a text with a NUL, or one that no encoding can write (UnicodeEncodeError is one)."""
    pending = [value]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            pending += [*found.keys(), *found.values()]
        elif isinstance(found, list):
            pending += found
        elif isinstance(found, str) and b"\0" in found.encode():
            msg = "a text has a NUL character"
            raise ValueError(msg)
