"""Drafts and what they are made of, for tests of the studio."""

from __future__ import annotations

from typing import Any

from generations.comfy.app_mode import ChosenInput
from generations.models import TemplateDraft, WorkflowTemplate
from generations.parameters.chosen import chosen_parameters
from generations.studio import making
from generations.studio.importing import Imported
from tests.support.factories import txt2img_graph
from tests.support.workflows import OBJECT_INFO


def parameter_names(draft: TemplateDraft) -> list[str]:
    """The parameters' names, in order."""
    return [each["name"] for each in draft.parameters]


def new_template(user: Any, graph: Any = None, **options: Any) -> WorkflowTemplate:
    """What the studio makes of a graph."""
    made, _notes = making.create(user, Imported(graph or txt2img_graph()), object_info=OBJECT_INFO, **options)
    return made


def by_the_author(*keys: str) -> Imported:
    """A file whose author chose these inputs, each “node.input”, and the results of node 9."""
    graph = txt2img_graph()
    inputs = [ChosenInput(((node_id, name),)) for node_id, name in (key.split(".") for key in keys)]
    return Imported(graph, chosen=chosen_parameters(graph, inputs, OBJECT_INFO), output_nodes=["9"])


def checked_graph() -> tuple[Any, Any]:
    """A workflow with a checker whose verdict is shown, and the node types that it takes."""
    graph = txt2img_graph()
    graph["20"] = {"class_type": "NSFWChecker", "inputs": {"image": ["8", 0]}}
    graph["21"] = {"class_type": "PreviewAny", "inputs": {"source": ["20", 1]}}
    info = {
        **OBJECT_INFO,
        "NSFWChecker": {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE", "BOOLEAN"]},
        "PreviewAny": {"input": {"required": {"source": ["*", {}]}}, "output": [], "output_node": True},
    }
    return graph, info


def drafted(**fields: Any) -> TemplateDraft:
    """A draft that is not saved."""
    return TemplateDraft(template=WorkflowTemplate(), graph=txt2img_graph(), **fields)
