"""Values that an author took out of the nodes: primitive nodes with a title of their own, which say what users set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from generations.comfy.graph import Graph, InputKey, is_link

Titled: TypeAlias = Callable[[str], str]  # a node's own title, by its id
# What authors set for a model rather than for the people who use it.
_TECHNICAL = re.compile(
    r"(?<![a-z])(steps?|cfg|guidance|shift|denois\w*|sampl\w*|sigmas?|schedul\w*|seed|batch|loras?|model|vae|clip|tile\w*"
    r"|strength|multiple|index|enable|turbo|switch)(?![a-z])",
    re.IGNORECASE,
)
_BRANCHES = {"on_true": True, "on_false": False}  # of a switch


@dataclass(frozen=True, slots=True)
class TitledValue:
    """`shown`: the title, with the position of the switch that takes it. `is_idle`: it does not as things stand."""

    node_id: str
    input_name: str
    title: str
    shown: str
    is_idle: bool
    is_technical: bool


def titled_values(graph: Graph, needed: Sequence[str], titled: Titled) -> Iterator[TitledValue]:
    """The values of primitive nodes that have a title and that results need, whatever lies between them."""
    users = _users(graph, needed)
    for node_id in needed:
        node = graph[node_id]
        if not node["class_type"].startswith("Primitive") or not (title := titled(node_id)):
            continue
        names = [name for name, value in node["inputs"].items() if isinstance(value, str | int | float)]
        if len(names) == 1:
            shown, is_idle = _at_switch(graph, users.get(node_id, []), title, titled)
            is_technical = is_idle or bool(_TECHNICAL.search(shown.replace("_", " ")))
            yield TitledValue(node_id, names[0], title, shown, is_idle, is_technical)


def _users(graph: Graph, needed: Sequence[str]) -> dict[str, list[InputKey]]:
    found: dict[str, list[InputKey]] = {}
    for node_id in needed:
        for name, value in graph[node_id]["inputs"].items():
            if isinstance(value, list) and is_link(value):
                found.setdefault(str(value[0]), []).append((node_id, name))
    return found


def _at_switch(graph: Graph, users: Sequence[InputKey], title: str, titled: Titled) -> tuple[str, bool]:
    """The title with the position of the switch that takes the value, where it ends there and nowhere else."""
    if len(users) != 1 or users[0][1] not in _BRANCHES:
        return title, False
    switch, branch = graph[users[0][0]]["inputs"].get("switch"), _BRANCHES[users[0][1]]
    if not isinstance(switch, list) or not is_link(switch) or str(switch[0]) not in graph:
        return title, isinstance(switch, bool) and switch is not branch
    source = str(switch[0])
    position = next((each for each in graph[source]["inputs"].values() if isinstance(each, bool)), None)
    name = titled(source)
    shown = f"{title} ({name}: {'on' if branch else 'off'})" if name else title
    return shown, position is not None and position is not branch
