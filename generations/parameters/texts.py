"""Which texts of a graph are prompts: they end in the positive or the negative input of a sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

from generations.comfy.graph import Graph, InputKey, is_link
from generations.comfy.object_info import InputSpec

Side: TypeAlias = Literal["positive", "negative"]

MAX_CHAIN = 150  # nodes to follow for one text: far more than anybody connects, and no burden for the stack
MAX_STEPS = 30_000  # inputs to look at for all texts of a side: many samplers may share what leads to them
PROMPTS = frozenset(
    {"text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama", "bert", "mt5xl", "text_positive"}
)
_POSITIVE = ("conditioning", "cond1")  # what guiders call it
_NO_PROMPT = frozenset({"ConditioningZeroOut"})


class Texts:
    """The texts of a graph's nodes that results need. `spec`: what the class of a node says of an input."""

    def __init__(self, graph: Graph, needed: Sequence[str], spec: Callable[[str, str], InputSpec | None]) -> None:
        self.graph = graph
        self.needed = needed
        self._spec = spec
        self._steps = 0

    def prompts(self, side: Side) -> list[InputKey]:
        """Where the texts are that end in this input of a sampler or guider."""
        found: dict[InputKey, None] = {}
        self._steps = 0
        for node_id in self.needed:
            inputs = self.graph[node_id]["inputs"]
            names = (side, *_POSITIVE) if side == "positive" and self._is_guider(node_id) else (side,)
            for name in names:
                if is_link(inputs.get(name)):
                    found |= dict.fromkeys(self._walk(inputs[name], side, set()))
        return list(found)

    def others(self) -> Iterator[InputKey]:
        """Texts of several lines, and string nodes, wherever they end: in nodes that write, or that call services."""
        for node_id in self.needed:
            for name, value in self.graph[node_id]["inputs"].items():
                spec = self._spec(node_id, name)
                is_primitive = self.graph[node_id]["class_type"].startswith("PrimitiveString")
                if isinstance(value, str) and (is_primitive or (spec and spec.type == "STRING" and spec.multiline)):
                    yield node_id, name

    def _is_guider(self, node_id: str) -> bool:
        return "Guider" in self.graph[node_id]["class_type"]

    def _walk(self, link: list[object], side: Side, seen: set[tuple[str, object]]) -> Iterator[InputKey]:
        node_id, slot = str(link[0]), link[1]
        node = self.graph.get(node_id)
        is_end = node is None or (node_id, slot) in seen or len(seen) > MAX_CHAIN or self._steps > MAX_STEPS
        if node is None or is_end or (side == "negative" and node["class_type"] in _NO_PROMPT):
            return
        seen.add((node_id, slot))
        inputs = node["inputs"]
        self._steps += 2 * len(inputs)
        texts = list(self._texts_of(node_id))
        yield from texts
        if is_link(inputs.get("positive")) and is_link(inputs.get("negative")):
            # Both pass through: the first output goes on from the first, the second from the second.
            yield from self._walk(inputs["negative" if slot == 1 else "positive"], side, seen)
            return
        for name, value in inputs.items():
            if is_link(value) and self._is_conditioning(node_id, name, has_texts=bool(texts)):
                yield from self._walk(value, side, seen)

    def _is_conditioning(self, node_id: str, name: str, *, has_texts: bool) -> bool:
        spec = self._spec(node_id, name)
        if spec is not None:
            return spec.type == "CONDITIONING"
        return not has_texts and name.startswith(("conditioning", "positive", "negative"))

    def _texts_of(self, node_id: str) -> Iterator[InputKey]:
        for name, value in self.graph[node_id]["inputs"].items():
            if not self._is_text(node_id, name, value):
                continue
            if is_link(value):
                yield from self._strings(str(value[0]), set())
            else:
                yield node_id, name

    def _is_text(self, node_id: str, name: str, value: object) -> bool:
        spec = self._spec(node_id, name)
        if spec is not None and spec.type == "STRING":
            return spec.multiline or name in PROMPTS or is_link(value)
        return spec is None and name in PROMPTS and (isinstance(value, str) or is_link(value))

    def _strings(self, node_id: str, seen: set[str]) -> Iterator[InputKey]:
        """The texts that a node makes its own out of: constants of string nodes, over any number of them."""
        if node_id in seen or node_id not in self.graph or len(seen) > MAX_CHAIN or self._steps > MAX_STEPS:
            return
        seen.add(node_id)
        self._steps += len(self.graph[node_id]["inputs"])
        for name, value in self.graph[node_id]["inputs"].items():
            spec = self._spec(node_id, name)
            if is_link(value) and (spec is None or spec.type in {"STRING", "*"}):
                yield from self._strings(str(value[0]), seen)
            elif isinstance(value, str) and value and (spec is None or spec.type == "STRING") and name != "delimiter":
                yield node_id, name
