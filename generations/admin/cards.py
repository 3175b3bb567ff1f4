"""What the studio's page shows of a draft: a card for each node, and one for each parameter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from generations.admin.settings import TYPES, SettingsForm, beside_fields
from generations.comfy.differences import Difference
from generations.comfy.graph import Graph, GraphProblem, InputKey, is_link, needed_nodes, node_title, output_nodes
from generations.comfy.model_sources import Source, folder_of
from generations.comfy.object_info import ObjectInfo, node_spec
from generations.models import TemplateDraft
from generations.parameters.hints import hint
from generations.parameters.schema import Faults
from generations.studio import checks
from generations.studio.definitions import Definition


@dataclass(slots=True)
class Row:
    """One input of a node; `label` is that of the parameter that sets it. `differences`: between servers."""

    name: str
    value: str
    linked_from: str = ""
    can_expose: bool = True
    is_exposed: bool = False
    label: str = ""
    tooltip: str = ""
    differences: list[Difference] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The beginning of the value. Django's truncatechars takes long over thousands of rows."""
        return self.value if len(self.value) <= 60 else f"{self.value[:59]}…"


@dataclass(slots=True)
class NodeCard:
    """One node. `is_kept` is None for nodes without results of their own; `is_judge`: its result tells whether the
    others are safe. `differences` are those that no row has.
    """

    node_id: str
    title: str
    class_type: str
    rows: list[Row]
    problems: list[GraphProblem]
    is_kept: bool | None = None
    is_needed: bool = True
    differences: list[Difference] = field(default_factory=list)
    is_judge: bool = False

    @property
    def are_servers_different(self) -> bool:
        """True when servers differ about the node or one of its inputs."""
        return bool(self.differences) or any(row.differences for row in self.rows)

    @property
    def words(self) -> str:
        """The text that a search looks through."""
        inputs = " ".join(f"{row.name} {row.value[:80]}" for row in self.rows)
        return f"{self.title} {self.class_type} #{self.node_id} {inputs}".lower()

    @property
    def is_open(self) -> bool:
        """True when the card shows something to look at: a problem, a risk, or an input that users set."""
        shown = [*self.differences, *(each for row in self.rows for each in row.differences)]
        has_risk = any(each.is_risk for each in shown)
        return bool(self.problems) or has_risk or any(row.is_exposed for row in self.rows)


@dataclass(slots=True)
class ParameterCard:
    """One parameter: its settings, what it sets, and what is wrong with it, by setting."""

    position: int
    definition: Definition
    form: SettingsForm
    inputs: list[tuple[str, str, str]] = field(default_factory=list)  # node id, input, words
    faults: dict[str, list[str]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)  # between servers, about what it sets
    hint: str = ""  # what can be written into it

    @property
    def facts(self) -> list[str]:
        """What its line says besides its label. The type is left out where the label says just that: Seed."""
        given = self.definition
        kind = str(given.get("type", "string"))
        label = dict(TYPES).get(kind, kind)
        found = [] if label.lower() == (given.get("label") or "").strip().lower() else [label]
        found += ["required"] if given.get("required") else []
        found += ["advanced"] if given.get("is_advanced") else []
        return [*found, *([given["section"]] if given.get("section") else [])]


def node_cards(
    draft: TemplateDraft, object_info: ObjectInfo | None, differences: Sequence[Difference] = ()
) -> Iterator[NodeCard]:
    """Every node of the draft, in the order of the graph. `differences`: see `fitness.Fleet`."""
    different, labels = _by_input(differences), _labels(draft)
    outputs = output_nodes(draft.graph, object_info or {})
    needed = needed_nodes(draft.graph, outputs) if outputs else frozenset(draft.graph)
    problems: dict[str, list[GraphProblem]] = {}
    for problem in checks.problems(draft, object_info):
        problems.setdefault(problem.node_id, []).append(problem)
    for node_id, node in draft.graph.items():
        yield NodeCard(
            node_id,
            node_title(draft.graph, node_id),
            node["class_type"],
            list(_rows(draft.graph, node_id, object_info, labels, different)),
            problems.get(node_id, []),
            is_kept=(not draft.output_nodes or node_id in draft.output_nodes) if node_id in outputs else None,
            is_needed=node_id in needed,
            differences=different.get((node_id, ""), []),
            is_judge=node_id == draft.safety_node,
        )


def _labels(draft: TemplateDraft) -> dict[InputKey, str]:
    """The labels of the parameters, by the inputs that they set."""
    return {
        (binding["node_id"], binding["input_name"]): definition.get("label") or definition.get("name", "")
        for definition in draft.parameters
        for binding in definition["bindings"]
    }


def _rows(
    graph: Graph,
    node_id: str,
    object_info: ObjectInfo | None,
    labels: Mapping[InputKey, str],
    different: Mapping[InputKey, list[Difference]],
) -> Iterator[Row]:
    """The inputs of a node."""
    node = graph[node_id]
    spec = node_spec(object_info, node["class_type"])
    for name, value in node["inputs"].items():
        key, wanted = (node_id, name), spec.input(name) if spec else None
        yield Row(
            name,
            _brief(value),
            linked_from=node_title(graph, str(value[0])) if is_link(value) else "",
            can_expose=isinstance(value, str | int | float),
            is_exposed=key in labels,
            label=labels.get(key, ""),
            tooltip=wanted.tooltip if wanted else "",
            differences=different.get(key, []),
        )


@dataclass(slots=True)
class MissingFile:
    """A model file that no server has: the nodes that name it, its folder below `models`, and its address, if known."""

    name: str
    folder: str = ""
    url: str = ""
    nodes: list[tuple[str, str]] = field(default_factory=list)  # id, title

    @property
    def host(self) -> str:
        """The host of the address."""
        return urlsplit(self.url).hostname or ""


def missing_files(draft: TemplateDraft, cards: Iterable[NodeCard], sources: Mapping[str, Source]) -> list[MissingFile]:
    """All that the cards call missing, each once. `sources`: see `model_sources.read_sources`."""
    found: dict[str, MissingFile] = {}
    for card in cards:
        for problem in card.problems:
            if problem.reason != "missing_model":
                continue
            name = str(draft.graph[card.node_id]["inputs"][problem.field])
            said = sources.get(name, {"url": "", "directory": ""})
            folder = said["directory"] or folder_of(card.class_type, problem.field)
            file = found.setdefault(name, MissingFile(name, folder, said["url"]))
            file.nodes.append((card.node_id, card.title))
    return list(found.values())


def _by_input(differences: Iterable[Difference]) -> dict[InputKey, list[Difference]]:
    """(node id, input) -> those about it."""
    found: dict[InputKey, list[Difference]] = {}
    for each in differences:
        found.setdefault((each.node_id, each.input_name), []).append(each)
    return found


def _brief(value: object) -> str:
    text = "yes" if value is True else "no" if value is False else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def parameter_cards(
    draft: TemplateDraft,
    faults: Faults,
    differences: Sequence[Difference] = (),
    resolved_inputs: Sequence[Sequence[str]] = (),
) -> Iterator[ParameterCard]:
    """Every parameter of the draft, in the order of the form. `faults`, `resolved_inputs`: as the studio gives them."""
    different = _by_input(differences)
    for position, definition in enumerate(draft.parameters):
        form = SettingsForm(definition, position=position)
        inputs = [
            (
                binding["node_id"],
                binding["input_name"],
                f"{node_title(draft.graph, binding['node_id'])} · {binding['input_name']}",
            )
            for binding in definition["bindings"]
        ]
        wrong = beside_fields(faults.get(definition.get("name") or f"#{position + 1}", ()))
        told = [each for node_id, name, _words in inputs for each in different.get((node_id, name), [])]
        said = hint([(node_id, name) for node_id, name, _words in inputs], resolved_inputs)
        yield ParameterCard(position, definition, form, inputs, wrong, told, said)
