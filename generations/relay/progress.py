"""What ComfyUI says while a prompt runs, folded into one complete snapshot. No I/O."""

from __future__ import annotations

from generations.comfy.graph import Graph, node_title
from generations.comfy.messages import (
    Executing,
    ExecutionCached,
    Message,
    Progress,
    ProgressState,
)
from generations.live.events import ProgressState as Snapshot

SAMPLER_WEIGHT = 10.0


class ProgressTracker:
    """The progress of one prompt. A sampler counts as much as ten other nodes: that is where the time goes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._weights = {
            node_id: SAMPLER_WEIGHT if "sampler" in str(node["class_type"]).lower() else 1.0
            for node_id, node in graph.items()
        }
        self._fractions: dict[str, float] = {}
        self._current: str | None = None
        self._step: tuple[int, int] | None = None
        self._value = 0.0

    def hear(self, message: Message) -> bool:
        """Take in a message of this prompt; True when the snapshot may have changed."""
        match message:
            case ExecutionCached():
                self._fractions.update(dict.fromkeys(message.nodes, 1.0))
            case Executing() if message.node is not None:
                self._enter(message.display_node or message.node)
            case ProgressState():
                self._hear_state(message)
            case Progress() if message.node is not None:
                self._advance(self._own_node(message.node), message.value, message.max)
            case _:
                return False
        return True

    def _enter(self, node_id: str) -> None:
        # What was current before has ended, on servers too old to send progress_state.
        if self._current is not None and self._current != node_id:
            self._fractions[self._current] = 1.0
        self._set_current(self._own_node(node_id))

    def _hear_state(self, message: ProgressState) -> None:
        for node in message.nodes.values():
            own = self._own_node(node.real_node_id or node.display_node_id or node.node_id)
            if node.node_id != own and node.state == "finished":
                continue  # an inner node of an expansion: the outer one finishes by itself
            if node.state == "finished":
                self._fractions[own] = 1.0
            elif node.state == "running":
                self._advance(own, node.value, node.max)

    def _advance(self, node_id: str, value: float, maximum: float) -> None:
        self._set_current(node_id)
        if maximum > 0:
            self._fractions[node_id] = max(self._fractions.get(node_id, 0.0), min(1.0, value / maximum))
        if maximum > 1:
            self._step = (round(value), round(maximum))

    def _set_current(self, node_id: str) -> None:
        if node_id != self._current:
            self._current, self._step = node_id, None

    def _own_node(self, node_id: str) -> str:
        """The id in our graph: server-side expansions append `.…` to it (comfy_execution/graph_utils.py)."""
        return node_id if node_id in self._graph else node_id.split(".", maxsplit=1)[0]

    def snapshot(self) -> Snapshot:
        """Complete; `value` never goes back."""
        total = sum(self._weights.values()) or 1.0
        done = sum(self._weights.get(node_id, 0.0) * part for node_id, part in self._fractions.items())
        self._value = max(self._value, min(1.0, done / total))
        current = self._current if self._current in self._graph else None
        return {
            "value": round(self._value, 4),
            "nodes_done": sum(1 for node_id, part in self._fractions.items() if part >= 1.0 and node_id in self._graph),
            "nodes_total": len(self._graph),
            "node_id": current,
            "node_title": node_title(self._graph, current) if current else None,
            "node_class": str(self._graph[current]["class_type"]) if current else None,
            "step": self._step[0] if self._step else None,
            "steps": self._step[1] if self._step else None,
        }
