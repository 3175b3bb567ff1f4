"""What is found wrong with a workflow while it is converted, and how long that may take."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeAlias

from generations.comfy import editor
from generations.comfy.editor import EditorNode
from generations.comfy.graph import GraphError, GraphProblem
from generations.comfy.object_info import ObjectInfo
from generations.comfy.unknown import numbered

if TYPE_CHECKING:
    from generations.comfy.scopes import Scope

Spend: TypeAlias = Callable[[int], None]  # counts steps; ConversionError when a workflow takes too many

MAX_STEPS = 3_000_000  # a second or two; real workflows take some thousands
MAX_PROBLEMS = 200


class ConversionError(GraphError):
    """The workflow cannot be converted; `problems` names every node that is at fault.

    Its text says the same once: `summary` stands for those `summed`.
    """

    def __init__(self, problems: list[GraphProblem], summary: str = "", summed: Collection[GraphProblem] = ()) -> None:
        same: dict[tuple[str, str], list[str]] = {}
        for problem in problems:
            if problem not in summed:
                same.setdefault((problem.title, problem.message), []).append(problem.node_id)
        lines = [
            f"{title} ({numbered(node_ids)}): {message}" if node_ids != [""] else message
            for (title, message), node_ids in same.items()
        ]
        super().__init__("\n".join([summary, *lines] if summary else lines))
        self.problems = problems


class Troubles:
    """What is found wrong: `problems` stop a conversion, `flags` go with its result. Both name nodes."""

    def __init__(self, object_info: ObjectInfo) -> None:
        self.object_info = object_info
        self.problems: dict[tuple[str, str], GraphProblem] = {}
        self.flags: dict[tuple[str, str], GraphProblem] = {}
        self.steps = 0

    def spend(self, steps: int) -> None:
        """ConversionError when following links and sub-graphs takes too long: nested instances grow exponentially."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ConversionError(
                [GraphProblem("", "", "The workflow's nodes are connected in too many ways to be followed.")]
            )

    def refuse(self, scope: Scope, node: EditorNode, message: str) -> GraphProblem:
        problem = self._problem(scope, node, message)
        self.problems.setdefault((problem.node_id, message), problem)
        if len(self.problems) >= MAX_PROBLEMS:  # more would help no reader
            raise ConversionError(list(self.problems.values()))
        return problem

    def flag(self, scope: Scope, node: EditorNode, message: str) -> None:
        if len(self.flags) < MAX_PROBLEMS:
            problem = self._problem(scope, node, message)
            self.flags.setdefault((problem.node_id, message), problem)

    def _problem(self, scope: Scope, node: EditorNode, message: str) -> GraphProblem:
        spec = editor.class_of(node, self.object_info)
        title = node.title.strip() or (spec.display_name if spec else "Sub-graph" if node.is_sub_graph else node.type)
        return GraphProblem(scope.id_of(node), title, message[:1].upper() + message[1:])
