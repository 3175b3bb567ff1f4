"""Parameters in JSON: brief, complete, and read back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from generations.parameters.schema import Parameter, parse_parameters
from generations.studio.definitions import definition_of, proposals
from tests.generations.parameters.strategies import definitions_and_inputs, one
from tests.support.factories import txt2img_graph
from tests.support.workflows import OBJECT_INFO


@given(definitions_and_inputs())
def test_every_parameter_is_read_back_as_it_was(case: tuple[tuple[Parameter, ...], Any]) -> None:
    parameters, _inputs = case
    stored = json.loads(json.dumps([definition_of(each) for each in parameters]))
    assert parse_parameters(stored) == parameters


def test_what_is_not_chosen_is_left_out_but_for_what_programs_look_up() -> None:
    assert set(definition_of(one("text"))) == {"name", "type", "label", "bindings", "role"}
    chosen = definition_of(one("integer", minimum=1, is_advanced=True))
    assert {name: chosen[name] for name in ("minimum", "is_advanced")} == {"minimum": 1, "is_advanced": True}
    assert "maximum" not in chosen


@pytest.mark.parametrize("info", [OBJECT_INFO, None])
def test_proposals_can_be_stored_as_they_are(info: Any) -> None:
    proposed = proposals(txt2img_graph(), info)
    assert "prompt" in [each["name"] for each in proposed]
    assert [definition_of(each) for each in parse_parameters(json.loads(json.dumps(proposed)))] == proposed
    assert proposals({}, info) == []
