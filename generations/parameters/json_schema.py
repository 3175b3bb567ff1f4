"""The inputs of a template as JSON Schema (draft 2020-12), for the API and its documentation."""

from collections.abc import Sequence
from typing import Any

from generations.parameters.schema import Parameter
from generations.parameters.validate import json_values
from generations.parameters.values import SEED_MODES, seed_bounds

_UUID = "^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"
_TYPES = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "string": "string",
    "text": "string",
}


def json_schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The schema of the object that the API takes: as for `validate`, but for files, which it takes as web addresses
    and data: URLs, too. Form strings, which `validate` takes as well, are not described. `x-role` says what a
    value stands for.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {parameter.name: _property(parameter) for parameter in parameters},
        "required": [parameter.name for parameter in parameters if _must_be_given(parameter)],
        "additionalProperties": False,
    }


def _must_be_given(parameter: Parameter) -> bool:
    return parameter.required and parameter.type != "seed" and parameter.default in (None, "")


def _property(parameter: Parameter) -> dict[str, Any]:
    about: dict[str, Any] = {"title": parameter.label}
    if parameter.help:
        about["description"] = parameter.help
    if parameter.role:
        about["x-role"] = parameter.role
    if parameter.default is not None:
        about |= {"default": json_values([parameter], {parameter.name: parameter.default})[parameter.name]}
    return about | _shape(parameter)


def _shape(parameter: Parameter) -> dict[str, Any]:
    if parameter.type == "choice":
        return {"enum": list(parameter.choices)}
    if parameter.type == "seed":
        return _seed(parameter)
    if parameter.is_media:
        return {
            "type": "string",
            "anyOf": [{"format": "uuid", "pattern": _UUID}, {"pattern": "^https://"}, {"pattern": "^data:"}],
        }
    shape: dict[str, Any] = {"type": _TYPES[parameter.type]}
    if parameter.minimum is not None:
        shape["minimum"] = parameter.minimum
    if parameter.maximum is not None:
        shape["maximum"] = parameter.maximum
    if parameter.max_length is not None:
        shape["maxLength"] = parameter.max_length
    if parameter.required and shape["type"] == "string":
        shape["minLength"] = 1
    return shape


def _seed(parameter: Parameter) -> dict[str, Any]:
    """Text as well as integer, because JavaScript rounds above 2**53. An absent one follows its seed mode."""
    low, high = seed_bounds(parameter)
    return {
        "anyOf": [
            {"type": "integer", "minimum": low, "maximum": high},
            {"type": "string", "pattern": f"^([0-9]{{1,20}}|random|{'|'.join(SEED_MODES)})?$"},
            {"type": "null"},
        ]
    }
