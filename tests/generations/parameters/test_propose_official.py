"""Proposals against what authors chose for their users: Comfy's official templates that say so in app mode.

Proposals do not see the choice. 22 of the templates can be converted with a ComfyUI 0.29.0's node types; they choose 82
inputs that are there.
"""

from __future__ import annotations

from functools import cache

from generations.comfy import app_mode
from generations.comfy.app_mode import ChosenInput
from generations.comfy.convert import ConversionError, convert
from generations.parameters.bounds import check_bounds
from generations.parameters.propose import propose
from generations.parameters.schema import Parameter, check_bindings, parse_parameters
from tests.comfy.official_templates import templates
from tests.support.workflows import newest_object_info


@cache
def cases() -> dict[str, tuple[list[ChosenInput], list[Parameter]]]:
    """By template: what the author chose, what is proposed. The proposals can be published as they are."""
    found = {}
    for name, workflow in templates().items():
        if not ((workflow.get("extra") or {}).get("linearData") or {}).get("inputs"):
            continue
        try:
            graph = convert(workflow, newest_object_info())
        except ConversionError:
            continue  # node types of other servers
        choice = app_mode.read(workflow, graph, newest_object_info())
        proposed = propose(graph, newest_object_info())
        check_bindings(parse_parameters([each.model_dump(mode="json") for each in proposed]), graph)
        check_bounds(proposed, graph, newest_object_info())
        found[name] = choice.inputs, proposed
    return found


def keys(parameter: Parameter) -> set[tuple[str, str]]:
    return {(each.node_id, each.input_name) for each in parameter.bindings}


def test_everything_that_authors_chose_is_proposed() -> None:
    missed, chosen = [], 0
    for name, (inputs, proposed) in cases().items():
        known = set[tuple[str, str]]().union(*map(keys, proposed))
        missed += [(name, each.input_keys) for each in inputs if known.isdisjoint(each.input_keys)]
        chosen += len(inputs)
    assert missed == []
    assert (len(cases()), chosen) >= (22, 82)


def test_little_that_no_author_chose_is_in_sight() -> None:
    strange = []
    for name, (inputs, proposed) in cases().items():
        wanted = {key for each in inputs for key in each.input_keys}
        basic = (each for each in proposed if not each.is_advanced)
        strange += [(name, each.name) for each in basic if wanted.isdisjoint(keys(each))]
    assert len(strange) <= 40, strange
