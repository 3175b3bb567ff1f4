"""Turns what a user sent into values for the graph. This is the only validation there is: pages, API and
forms use it.
"""

from collections.abc import Mapping, Sequence

from generations.parameters.schema import Parameter
from generations.parameters.values import BadValue, Value, check


class InvalidInputs(ValueError):
    """`errors`: field name -> sentences, for every field that is wrong."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(errors)
        self.errors = dict(errors)

    def __str__(self) -> str:
        return " ".join(f"{name}: {' '.join(sentences)}" for name, sentences in self.errors.items())


def validate(parameters: Sequence[Parameter], raw: Mapping[str, object]) -> dict[str, Value]:
    """A value for every parameter, from JSON values or form strings.

    Absent values become the default, which may be None: then the graph keeps its own. An absent or blank seed becomes
    None, and a mode for one stays that word: lifecycle/run_values.py makes numbers of them. Of media values, which are
    asset ids, only the form is checked. Raises InvalidInputs.
    """
    known = {parameter.name for parameter in parameters}
    errors = {str(name): ["There is no such parameter."] for name in raw if name not in known}
    values: dict[str, Value] = {}
    for parameter in parameters:
        try:
            values[parameter.name] = _value(parameter, raw.get(parameter.name))
        except BadValue as fault:
            errors[parameter.name] = [str(fault)]
    if errors:
        raise InvalidInputs(errors)
    return values


def json_values(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> dict[str, Value]:
    """The values as stored and sent to browsers: seeds as text, because JavaScript rounds above 2**53."""
    seeds = {parameter.name for parameter in parameters if parameter.type == "seed"}
    return {name: str(value) if name in seeds and value is not None else value for name, value in values.items()}


def _value(parameter: Parameter, raw: object) -> Value:
    if not _is_absent(parameter, raw):
        return check(parameter, raw)
    if parameter.type == "seed":
        return None
    if parameter.required and parameter.default in (None, ""):
        raise BadValue("This field is required.")
    return parameter.default


def _is_absent(parameter: Parameter, raw: object) -> bool:
    if raw is None:
        return True
    if not isinstance(raw, str) or parameter.type in {"string", "text"}:
        # An empty text is a text: somebody who empties the negative prompt means it.
        return False
    if parameter.type == "seed":
        return not raw.strip()
    return not raw.strip() and raw not in parameter.choices
