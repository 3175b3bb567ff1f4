"""Which servers can run what: node classes and model files, by what each server said of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from generations.comfy.graph import Graph, model_choices
from generations.comfy.object_info import ObjectInfo, read_node_spec
from generations.models import ComfyServer, TemplateVersion

ModelFile: TypeAlias = tuple[str, str, str]  # node class, input, file


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

    def missing(self, node_classes: Iterable[str], model_files: Iterable[ModelFile]) -> list[str]:
        """What this server lacks, in words for people; empty when it can run them."""
        nodes = [f"the node type {name}" for name in node_classes if name not in self.classes]
        files = [
            f"the file {file}"
            for node_class, name, file in model_files
            if file not in self.choices.get((node_class, name), {file})
        ]
        return [*nodes, *files]


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


def missing_everywhere(version: TemplateVersion, files: Iterable[ModelFile]) -> dict[str, list[str]]:
    """Server name -> what it lacks, when no enabled server can run it; empty when one can, or might.

    A server that has not told its node types yet might, and so might one that is still to be set up.
    """
    wanted = list(files)
    lacks: dict[str, list[str]] = {}
    for pk, name, read_at in ComfyServer.objects.enabled().values_list("pk", "name", "object_info_at"):
        catalog = _catalogs.get(pk, read_at)
        missing = catalog.missing(version.required_node_classes, wanted) if catalog else []
        if not missing:
            return {}
        lacks[name] = missing
    return lacks


def others_can_run(server: ComfyServer, node_classes: Iterable[str], files: Iterable[ModelFile]) -> bool:
    """True when some other server, one that takes work now, can run it."""
    wanted = list(files)
    others = ComfyServer.objects.taking_work().exclude(pk=server.pk).values_list("pk", "object_info_at")
    catalogs = [_catalogs.get(pk, read_at) for pk, read_at in others]
    return any(catalog is None or not catalog.missing(node_classes, wanted) for catalog in catalogs)
