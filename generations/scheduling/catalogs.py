"""What each server said it has: read once for each catalog, and all servers together where that is asked.

A server row's `catalog_digest` says which catalog is the current one. Whatever a process keeps of catalogs it keeps
under that digest, so no process has to be notified of new nodes or models: the next look at the row sees them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from generations.comfy.catalog import Catalog
from generations.comfy.object_info import NodeClasses, ObjectInfo, merge
from generations.models import ComfyServer

KEPT_CATALOGS = 64
MERGED_AT_ONCE = 3


class Catalogs:
    """Catalogs by their digest. Megabytes of JSON are behind each, so they are kept in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Catalog] = {}

    def get(self, server_id: int, digest: str) -> Catalog | None:
        """The catalog with that digest, or a newer one that came in this moment; None before the first one came."""
        found = self._known.get(digest)
        if found is not None or not digest:
            return found
        row = ComfyServer.objects.filter(pk=server_id).values_list("catalog_digest", "object_info").first()
        if row is None or not row[1]:
            return None
        found = Catalog.read(row[1])
        with self._lock:
            if len(self._known) >= KEPT_CATALOGS:
                self._known.clear()
            self._known[row[0]] = found  # by its own digest: the server may have said something new since
        return found

    def exact(self, server_id: int, digest: str) -> Catalog | None:
        """The one with that digest, for verdicts that are kept under it; None when it is not the server's any more."""
        self.get(server_id, digest)
        return self._known.get(digest)


kept = Catalogs()


def catalog_of(server: ComfyServer) -> Catalog | None:
    """What this server has, by what it said last; None before it said anything."""
    digest = ComfyServer.objects.filter(pk=server.pk).values_list("catalog_digest", flat=True).first()
    return kept.get(server.pk, digest or "")


class Known(NamedTuple):
    """What a server's row says of its catalog. Every one of them has a digest."""

    pk: int
    name: str
    digest: str
    is_simulator: bool


def known_nodes(server: ComfyServer | None = None) -> ObjectInfo | None:
    """The node classes of that server, or of all enabled ones together; None while none has been asked yet."""
    servers = ComfyServer.objects.filter(pk=server.pk) if server else ComfyServer.objects.enabled()
    rows = servers.exclude(catalog_digest="").order_by("pk")
    return merged([Known(*row) for row in rows.values_list("pk", "name", "catalog_digest", "is_simulator")])


def merged(servers: Sequence[Known]) -> ObjectInfo | None:
    """The node classes of these servers together; None of none.

    Megabytes of JSON: what was merged last is kept until one of the servers says something new.
    """
    key = tuple(each[1:] for each in servers)
    found = _merged.get(key)
    if found is None:
        found = _merge(servers)
        if len(_merged) >= MERGED_AT_ONCE:
            _merged.clear()
        _merged[key] = found
    return found or None


_merged: dict[tuple[Any, ...], NodeClasses] = {}


class Noted:
    """What a process saw when it last read the servers' rows anyway, for what may be a few seconds old."""

    def __init__(self) -> None:
        self._servers: list[Known] | None = None

    def saw(self, servers: Iterable[ComfyServer]) -> None:
        """These are the rows of all servers that are enabled, and perhaps others."""
        known = [each for each in servers if each.is_enabled and each.catalog_digest]
        known.sort(key=lambda each: each.pk)
        self._servers = [Known(each.pk, each.name, each.catalog_digest, each.is_simulator) for each in known]

    def nodes(self) -> ObjectInfo | None:
        """`known_nodes` as of then; as of now, if no rows were seen yet."""
        return known_nodes() if self._servers is None else merged(self._servers)

    def forget(self) -> None:
        """Nothing was seen yet: for tests, whose rows come back under the numbers of others."""
        self._servers = None


noted = Noted()


def _merge(servers: Sequence[Known]) -> NodeClasses:
    """Servers that said the same are read, and merged, once."""
    names: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    for each in servers:
        names.setdefault(each.digest, []).append(each.name)
        first.setdefault(each.digest, each.pk)
    rows = dict(ComfyServer.objects.filter(pk__in=first.values()).values_list("pk", "object_info"))
    found = merge({", ".join(names[digest]): rows.get(pk) or {} for digest, pk in first.items()})
    found.servers = tuple(each.name for each in servers)
    found.simulators = frozenset(each.name for each in servers if each.is_simulator)
    return found
