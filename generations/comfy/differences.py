"""Where servers describe the nodes of a graph differently, in words for whoever makes a template of it.

Two of them can make a run other than its author meant it: an input that only some servers have is left out by the
others without a word, and an input that some require is missing there. The rest helps to choose what users may set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from generations.comfy.catalog import Bounds, Catalog
from generations.comfy.graph import ClassInput, Graph, Node, is_given, node_title

Servers = Mapping[str, Catalog]  # by their names
SHOWN = 4  # choices of each group of servers


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about which servers differ. `input_name` is "" for what concerns the node as a whole.

    `is_risk`: this workflow does not run alike on all servers that have its node types.
    """

    node_id: str
    subject: str  # the node, and the input, in words
    input_name: str
    sentence: str
    is_risk: bool = False

    @property
    def note(self) -> str:
        """The sentence with what it speaks of."""
        return f"{self.subject}: {self.sentence}"


def differences(graph: Graph, servers: Servers) -> list[Difference]:
    """All of them, in the order of the graph. Servers that told the same count as often as there are of them."""
    if len({id(catalog) for catalog in servers.values()}) < 2:
        return []
    choices = _Choices()
    return [each for node_id in graph for each in _of_node(graph, node_id, servers, choices)]


def _of_node(graph: Graph, node_id: str, servers: Servers, choices: _Choices) -> Iterator[Difference]:
    node, class_type = graph[node_id], graph[node_id]["class_type"]
    title = f"{node_title(graph, node_id)} (node {node_id})"
    having = {name: catalog for name, catalog in servers.items() if class_type in catalog.classes}
    if not having:
        return  # whoever checks the graph says so
    if len(having) < len(servers):
        yield Difference(node_id, title, "", f"Only {_names(having)} {_verb(having, 'has', 'have')} {class_type}.")
    described = [catalog.inputs.get(class_type, {}) for catalog in having.values()]
    for name in dict.fromkeys(name for inputs in described for name in inputs):
        if node["inputs"].get(name) is None:
            yield from (Difference(node_id, title, "", *each) for each in _of_open_input(node, name, having))
        else:
            subject = f"{title}, input “{name}”"
            yield from (
                Difference(node_id, subject, name, *each) for each in _of_set_input(node, name, having, choices)
            )


def _of_open_input(node: Node, name: str, servers: Servers) -> Iterator[tuple[str, bool]]:
    """Of an input that the graph does not set: sentences, and whether each is a risk."""
    class_type = node["class_type"]
    requiring = [server for server, catalog in servers.items() if _is_missing(node, name, catalog)]
    have_it = [server for server, catalog in servers.items() if name in catalog.inputs.get(class_type, {})]
    if 0 < len(requiring) < len(servers):
        requires = _verb(requiring, "requires", "require")
        yield f"{_names(requiring)} {requires} the input “{name}”, which this workflow does not set.", True
    elif len(have_it) < len(servers):
        has = _verb(have_it, "has", "have")
        yield f"Only {_names(have_it)} {has} the input “{name}”; this workflow does not set it.", False


def _is_missing(node: Node, name: str, catalog: Catalog) -> bool:
    """Whether that server requires the input, and the node does not set it."""
    required = (spec for spec in catalog.required.get(node["class_type"], ()) if spec.name == name)
    return any(not is_given(spec, node["inputs"]) for spec in required)


def _of_set_input(node: Node, name: str, servers: Servers, choices: _Choices) -> Iterator[tuple[str, bool]]:
    """The same of an input that the graph sets."""
    class_type, key = node["class_type"], (node["class_type"], name)
    have_it = {server: catalog for server, catalog in servers.items() if name in catalog.inputs.get(class_type, {})}
    if len(have_it) < len(servers):
        others = [server for server in servers if server not in have_it]
        has, run = _verb(have_it, "has", "have"), _verb(others, "runs", "run")
        yield f"Only {_names(have_it)} {has} this input; {_names(others)} {run} without it.", True
    types = _groups(have_it, lambda catalog: catalog.inputs[class_type][name])
    if len(types) > 1:
        yield _listed("Types differ", types), False
        return
    bounds = _groups(have_it, lambda catalog: _range(catalog.bounds.get(key, (None, None))))
    if len(bounds) > 1:
        yield _listed("Bounds differ", bounds), False
    yield from ((sentence, False) for sentence in choices.compare(key, node["inputs"][name], have_it))


class _Choices:
    """Of inputs with choices. There may be thousands of each, so all nodes of one class share what was found."""

    def __init__(self) -> None:
        self._known: dict[ClassInput, str] = {}

    def compare(self, key: ClassInput, value: object, servers: Servers) -> Iterator[str]:
        """Nothing about servers that do not tell their choices."""
        told = {server: catalog.choices[key] for server, catalog in servers.items() if key in catalog.choices}
        lacking = [server for server, choices in told.items() if isinstance(value, str) and value not in choices]
        if 0 < len(lacking) < len(told):
            yield f"{_names(lacking)} {_verb(lacking, 'does', 'do')} not offer “{value}”."
        if key not in self._known:
            self._known[key] = _partial(told)
        if self._known[key]:
            yield self._known[key]


def _partial(told: Mapping[str, frozenset[str]]) -> str:
    """What only some of these servers offer."""
    found: dict[tuple[str, ...], list[str]] = {}
    everywhere = frozenset.intersection(*told.values()) if told else frozenset()
    for choice in sorted(frozenset().union(*told.values()) - everywhere):
        offering = tuple(server for server, choices in told.items() if choice in choices)
        found.setdefault(offering, []).append(f"“{choice}”")
    parts = [(_some(choices), servers) for servers, choices in found.items()]
    return _listed("Choices differ", parts, "only on") if parts else ""


def _groups(servers: Servers, read: Callable[[Catalog], str]) -> list[tuple[str, list[str]]]:
    """The servers by what is read of each."""
    found: dict[str, list[str]] = {}
    for server, catalog in servers.items():
        found.setdefault(read(catalog), []).append(server)
    return list(found.items())


def _listed(title: str, parts: Iterable[tuple[str, Iterable[str]]], on: str = "on") -> str:
    return f"{title}: {'; '.join(f'{what} {on} {_names(servers)}' for what, servers in parts)}."


def _range(bounds: Bounds) -> str:
    low, high = bounds
    if low is None and high is None:
        return "any number"
    return f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"{', '.join(words[:SHOWN])}{more}"


def _names(servers: Iterable[str]) -> str:
    """“a”, “a and b”, “a, b and c”."""
    *first, last = servers
    return f"{', '.join(first)} and {last}" if first else last


def _verb(servers: Iterable[str], one: str, several: str) -> str:
    return one if len(list(servers)) == 1 else several
