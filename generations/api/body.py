"""Reading JSON that the database can keep."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.parser import Parser
from pydantic import ValidationError

from generations.comfy.wire import decode_strictly


class InvalidBodyError(Exception):
    """The body is not what the operation takes; `problems` is pydantic's list."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.problems = error.errors(include_url=False, include_context=False, include_input=False)


class StrictParser(Parser):
    """JSON without what PostgreSQL cannot keep: NaN, 1e400, NUL characters, half surrogates."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The value of the request's body; HttpError 400."""
        return read_json(request)


def read_json(request: HttpRequest) -> Any:
    """The value of the request's body. HttpError 400 says why it cannot be read."""
    try:
        return parse_json(request.body.decode())
    except ValueError as error:
        raise HttpError(400, f"The request's body is not valid JSON: {error}.") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text. ValueError says why it cannot be read, or why the database could not keep it."""
    return decode_strictly(text)
