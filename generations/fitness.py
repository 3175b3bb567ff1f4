"""Which servers can run what: node classes and model files, by what each server said of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from generations.comfy.graph import Graph, is_model_file, model_choices
from generations.comfy.object_info import ObjectInfo, read_node_spec
from generations.models import ComfyServer, TemplateVersion
from generations.parameters.schema import Parameter

ModelFile: TypeAlias = tuple[str, str, str]  # node class, input, file
Choice: TypeAlias = Sequence[str]  # the same as JSON has it, and for any text


@dataclass(frozen=True, slots=True)
class Catalog:
    """What one server has: its node classes, and the files to choose from by (node class, input)."""

    classes: frozenset[str]
    choices: Mapping[tuple[str, str], frozenset[str]]

    @classmethod
    def read(cls, object_info: ObjectInfo) -> Catalog:
        """From an answer of /object_info."""
        choices = {
            (name, spec.name): frozenset(str(choice) for choice in spec.choices)
            for name, info in object_info.items()
            for spec in read_node_spec(name, info).inputs
            if spec.choices is not None and not spec.upload
        }
        return cls(frozenset(object_info), choices)

    def missing(self, node_classes: Iterable[str], choices: Iterable[ModelFile]) -> list[str]:
        """What this server lacks, in words for people; empty when it can run them."""
        nodes = [f"the node type {name}" for name in node_classes if name not in self.classes]
        others = [
            f"the file {choice}" if is_model_file(choice) else f"the choice “{choice}” for {name} of {node_class}"
            for node_class, name, choice in choices
            if choice not in self.choices.get((node_class, name), {choice})
        ]
        return [*nodes, *dict.fromkeys(others)]


class _Catalogs:
    """The servers' catalogs, read again when a server's /object_info was; megabytes of JSON, so kept in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, tuple[datetime | None, Catalog | None]] = {}

    def get(self, server_id: int, read_at: datetime | None) -> Catalog | None:
        """None while nothing is known of that server."""
        with self._lock:
            known = self._known.get(server_id)
        if known is not None and known[0] == read_at:
            return known[1]
        object_info = ComfyServer.objects.filter(pk=server_id).values_list("object_info", flat=True).first()
        catalog = Catalog.read(object_info) if object_info else None
        with self._lock:
            self._known[server_id] = (read_at, catalog)
        return catalog


_catalogs = _Catalogs()


def catalog_of(server: ComfyServer) -> Catalog | None:
    """What this server has, as far as it said; None before that."""
    read_at = ComfyServer.objects.filter(pk=server.pk).values_list("object_info_at", flat=True).first()
    return _catalogs.get(server.pk, read_at)


def model_files(graph: Graph) -> list[ModelFile]:
    """The model files that a bound graph names."""
    return sorted(set(model_choices(graph)))


@dataclass(frozen=True, slots=True)
class Report:
    """Whether one enabled server can run something. `is_known` is False until it has told what it has."""

    server: str
    missing: list[str]
    is_known: bool

    @property
    def is_fit(self) -> bool:
        """True when nothing is known to be missing."""
        return not self.missing


class Fleet:
    """The enabled servers with what each has, as of their latest /object_info: one query, whatever is asked of it."""

    def __init__(self) -> None:
        rows = ComfyServer.objects.enabled().values_list("pk", "name", "object_info_at")
        self._servers = [(name, _catalogs.get(pk, read_at)) for pk, name, read_at in rows]

    def report(self, node_classes: Iterable[str], choices: Iterable[Choice]) -> list[Report]:
        """What each server lacks for it."""
        classes, wanted = list(node_classes), [(str(node), str(name), str(text)) for node, name, text in choices]
        return [
            Report(name, catalog.missing(classes, wanted) if catalog else [], catalog is not None)
            for name, catalog in self._servers
        ]

    def lacking(self, node_classes: Iterable[str], choices: Iterable[Choice]) -> list[str]:
        """What is missing for it, when no server can run it; empty when one can, or might.

        A server that has not told its node types yet might, and so might one that is still to be set up. Of several,
        the one that lacks least is the one to complete.
        """
        return min((each.missing for each in self.report(node_classes, choices)), key=len, default=[])

    def why_unavailable(self, version: TemplateVersion) -> str:
        """A sentence for users when no server can run this version; "" when one can, or might."""
        missing = self.lacking(version.required_node_classes, version.required_choices)
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return f"The servers lack {', '.join(missing[:3])}{more}." if missing else ""

    def with_current_choices(self, parameters: Iterable[Parameter], graph: Graph) -> tuple[Parameter, ...]:
        """The parameters; what users choose from is what the servers have now, where it follows them."""
        catalogs = [catalog for _name, catalog in self._servers if catalog]
        return tuple(_as_now(each, graph, catalogs) if each.is_live else each for each in parameters)


def lacking(version: TemplateVersion, choices: Iterable[Choice]) -> list[str]:
    """What is missing for a run of this version that needs these choices; see `Fleet.lacking`."""
    return Fleet().lacking(version.required_node_classes, choices)


def why_unavailable(version: TemplateVersion) -> str:
    """See `Fleet.why_unavailable`."""
    return Fleet().why_unavailable(version)


def current_parameters(version: TemplateVersion) -> tuple[Parameter, ...]:
    """The version's parameters, with the choices of this moment."""
    parameters = version.parsed_parameters
    if not any(parameter.is_live for parameter in parameters):
        return parameters
    return Fleet().with_current_choices(parameters, version.graph)


def _as_now(parameter: Parameter, graph: Graph, catalogs: Iterable[Catalog]) -> Parameter:
    binding = parameter.bindings[0]
    place = (graph[binding.node_id]["class_type"], binding.input_name)
    offered = sorted({choice for catalog in catalogs for choice in catalog.choices.get(place, ())}, key=str.lower)
    if not offered:
        return parameter
    default = parameter.default if parameter.default in offered else None
    return parameter.model_copy(update={"choices": tuple(offered), "default": default})


def others_can_run(server: ComfyServer, node_classes: Iterable[str], files: Iterable[ModelFile]) -> bool:
    """True when some other server, one that takes work now, can run it."""
    wanted = list(files)
    others = ComfyServer.objects.taking_work().exclude(pk=server.pk).values_list("pk", "object_info_at")
    catalogs = [_catalogs.get(pk, read_at) for pk, read_at in others]
    return any(catalog is None or not catalog.missing(node_classes, wanted) for catalog in catalogs)
