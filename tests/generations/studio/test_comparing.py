"""What changed between two versions."""

from __future__ import annotations

import copy
from typing import Any

from generations.models import TemplateDraft, WorkflowTemplate
from generations.studio.comparing import Change, compare
from tests.support.factories import txt2img_graph, txt2img_parameters


def draft(**changes: Any) -> TemplateDraft:
    made = {"graph": txt2img_graph(), "parameters": txt2img_parameters(), "output_nodes": [], **changes}
    return TemplateDraft(template=WorkflowTemplate(), **made)


def test_equal_versions_have_no_changes() -> None:
    assert not compare(draft(), draft())


def test_nodes_and_inputs() -> None:
    graph = txt2img_graph()
    graph["3"]["inputs"] |= {"steps": 30, "positive": ["7", 0], "extra": True}
    del graph["3"]["inputs"]["cfg"]
    graph["20"] = {"class_type": "PreviewImage", "inputs": {}}
    found = compare(draft(), draft(graph=graph))
    assert [(each.kind, each.what) for each in found.nodes] == [("added", "PreviewImage (20)")]
    changes = {each.what.partition(" · ")[2]: (each.kind, each.before, each.after) for each in found.inputs}
    old = str(txt2img_graph()["3"]["inputs"]["steps"])
    assert changes["steps"] == ("changed", old, "30")
    assert changes["positive"][2].startswith("from ") and "(7), output 0" in changes["positive"][2]
    assert changes["extra"] == ("added", "", "yes")
    assert changes["cfg"][0] == "removed"
    back = compare(draft(graph=graph), draft())
    assert [(each.kind, each.what) for each in back.nodes] == [("removed", "PreviewImage (20)")]


def test_parameters() -> None:
    parameters = copy.deepcopy(txt2img_parameters())
    parameters[3] |= {"maximum": 20, "label": "Patience"}
    parameters = [parameters[1], parameters[0], *parameters[2:-1]]
    found = compare(draft(), draft(parameters=parameters)).parameters
    assert Change("changed", "Patience · maximum", "50", "20") in found
    assert Change("changed", "Patience · label", "Steps", "Patience") in found
    assert Change("removed", "Height") in found
    assert any(each.what == "Order" for each in found)


def test_results_that_are_kept() -> None:
    found = compare(draft(), draft(output_nodes=["9"])).nodes
    assert found[0].what == "Results that are kept"
    assert found[0].before == "all"
