"""Checks and converts one value. Both a user's input and the default of a definition go through `check`."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from generations.parameters.schema import Parameter

Choice: TypeAlias = str | int | float
# What a parameter can be: a constant, an asset id (media), or None for "draw a seed" and "leave the graph's
# value".
Value: TypeAlias = str | int | float | bool | None

MAX_SEED = 2**64 - 1
# What becomes of a seed that is not given, as the editor's "control after generate" calls it; users may say it, too.
SEED_MODES = ("randomize", "fixed", "increment", "decrement")


class BadValue(ValueError):
    """One sentence about one value."""


def check(parameter: Parameter, raw: object) -> Value:
    """The value as the graph takes it, from a JSON value or the text of a form. Raises BadValue."""
    return _CHECKS[parameter.type](parameter, raw)


def _bounded_integer(parameter: Parameter, raw: object) -> int | float:
    return _within(parameter, _integer(raw))


def _bounded_number(parameter: Parameter, raw: object) -> int | float:
    return _within(parameter, _number(raw))


def _integer(raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"[+-]?[0-9]{1,40}", raw.strip(), re.ASCII):
        return int(raw)
    if isinstance(raw, float) and raw.is_integer() and abs(raw) <= 2**53:
        return int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise BadValue("Enter a whole number.")


def _number(raw: object) -> int | float:
    if isinstance(raw, str):
        # float() alone would take "nan", "1_0" and digits of other scripts.
        # The length comes first: the pattern takes quadratic time over digits that end in something else.
        if len(raw) > 400 or not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", raw.strip()):
            raise BadValue("Enter a number.")
        raw = float(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise BadValue("Enter a number.")
    if abs(raw) > 1e300 or not math.isfinite(raw):
        raise BadValue("Enter a finite number.")
    return raw


def _within(parameter: Parameter, value: int | float) -> int | float:
    if parameter.minimum is not None and value < parameter.minimum:
        raise BadValue(f"Must be at least {parameter.minimum}.")
    if parameter.maximum is not None and value > parameter.maximum:
        raise BadValue(f"Must be at most {parameter.maximum}.")
    if isinstance(value, int) and not -(2**63) <= value <= MAX_SEED:
        raise BadValue("This number is too large.")
    return value


def _seed(parameter: Parameter, raw: object) -> int | str:
    word = seed_mode(raw)
    if word:
        return word
    try:
        seed = _integer(raw)
    except BadValue:
        raise BadValue(f"Enter a whole number, or one of these words: {', '.join(SEED_MODES)}.") from None
    low, high = seed_bounds(parameter)
    if not low <= seed <= high:
        raise BadValue(f"Must be between {low} and {high}.")
    return seed


def seed_mode(raw: object) -> str:
    """The mode that a user wrote instead of a seed; "" for anything else."""
    word = raw.strip().lower() if isinstance(raw, str) else ""
    word = "randomize" if word == "random" else word
    return word if word in SEED_MODES else ""


def seed_bounds(parameter: Parameter) -> tuple[int, int]:
    """The lowest and the highest seed, both allowed."""
    low = 0 if parameter.minimum is None else max(0, math.ceil(parameter.minimum))
    high = MAX_SEED if parameter.maximum is None else min(MAX_SEED, math.floor(parameter.maximum))
    return low, max(low, high)


def _boolean(_parameter: Parameter, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower() if isinstance(raw, str | int) else ""
    if word in {"true", "on", "yes", "1"}:
        return True
    if word in {"false", "off", "no", "0"}:
        return False
    raise BadValue("Choose yes or no.")


def _choice(parameter: Parameter, raw: object) -> Choice:
    if not isinstance(raw, bool):
        for choice in parameter.choices:
            # A form sends the text of an option; JSON its value.
            if choice == raw or (isinstance(raw, str) and str(choice) == raw):
                return choice
    shown = ", ".join(str(choice) for choice in parameter.choices[:20])
    more = "" if len(parameter.choices) <= 20 else f" … ({len(parameter.choices)} in all)"
    raise BadValue(f"Choose one of: {shown}{more}.")


def _text(parameter: Parameter, raw: object) -> str:
    if not isinstance(raw, str):
        raise BadValue("Enter a text.")
    # Browsers send CRLF in text areas.
    text = raw.replace("\r\n", "\n")
    if parameter.required and not text.strip():
        raise BadValue("This field is required.")
    if parameter.max_length is not None and len(text) > parameter.max_length:
        raise BadValue(f"Must have at most {parameter.max_length} characters; it has {len(text)}.")
    if re.search("[\x00\ud800-\udfff]", text):
        raise BadValue("The text has characters that cannot be stored.")
    return text


def _asset_id(_parameter: Parameter, raw: object) -> str:
    try:
        return str(uuid.UUID(str(raw))) if isinstance(raw, str | uuid.UUID) else _no_asset()
    except ValueError:
        return _no_asset()


def _no_asset() -> str:
    raise BadValue("Upload a file, or give the id of one of your assets.")


_CHECKS: dict[str, Callable[[Parameter, object], Value]] = {
    "integer": _bounded_integer,
    "number": _bounded_number,
    "seed": _seed,
    "boolean": _boolean,
    "choice": _choice,
    "string": _text,
    "text": _text,
    "image": _asset_id,
    "mask": _asset_id,
    "video": _asset_id,
    "audio": _asset_id,
}
