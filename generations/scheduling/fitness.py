"""Which servers can run what, by what each server said of itself. Unknown is not able.

A server row's `catalog_digest` says which catalogue is the current one. Whatever a process keeps of catalogues it keeps
under that digest, so nothing has to be told when a server has new nodes or models: the next look at the row sees it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from generations.comfy.catalog import Catalog, Needs, Value, is_number
from generations.comfy.differences import Difference, differences
from generations.comfy.graph import Graph, model_choices
from generations.comfy.object_info import NodeClasses, ObjectInfo, merge
from generations.models import ComfyServer, TemplateVersion
from generations.models.server import ComfyServerQuerySet, ServerState
from generations.parameters.schema import Parameter

Choice: TypeAlias = Sequence[Any]  # a Value as JSON has it
KEPT_CATALOGS = 64
MERGED_AT_ONCE = 3
NOT_SET_UP = "No ComfyUI server is set up yet."
ALL_OFF = "Every ComfyUI server is switched off."
NOT_CONNECTED = "No ComfyUI server is connected yet."
NOT_TOLD = "ComfyUI has not said yet what it can run."
_LATER = "Try again in a moment; if it stays like this, please tell the operator."
_ADVICE = {NOT_CONNECTED: _LATER, NOT_TOLD: _LATER}
_CHOSEN_TYPES = {"choice", "integer", "number"}


class _Catalogs:
    """Catalogues by their digest. Megabytes of JSON are behind each, so they are kept in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Catalog] = {}

    def get(self, server_id: int, digest: str) -> Catalog | None:
        """The catalogue with that digest, or a newer one if the server told one in this moment; None while it has told
        nothing.
        """
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
            self._known[row[0]] = found  # by its own digest: the server may have told something new since
        return found

    def exact(self, server_id: int, digest: str) -> Catalog | None:
        """The one with that digest, for verdicts that are kept under it; None when it is not the server's any more."""
        self.get(server_id, digest)
        return self._known.get(digest)


catalogs = _Catalogs()


def catalog_of(server: ComfyServer) -> Catalog | None:
    """What this server has, by what it told last; None before it told anything."""
    digest = ComfyServer.objects.filter(pk=server.pk).values_list("catalog_digest", flat=True).first()
    return catalogs.get(server.pk, digest or "")


def known_nodes(server: ComfyServer | None = None) -> ObjectInfo | None:
    """The node classes of that server, or of all enabled ones together; None while none has been asked yet.

    Megabytes of JSON: what was merged last is kept until one of the servers tells something new.
    """
    servers = ComfyServer.objects.filter(pk=server.pk) if server else ComfyServer.objects.enabled()
    known = servers.exclude(catalog_digest="").order_by("pk")
    key = tuple(known.values_list("name", "catalog_digest", "is_simulator"))
    found = _merged.get(key)
    if found is None:
        found = _merge(known)
        if len(_merged) >= MERGED_AT_ONCE:
            _merged.clear()
        _merged[key] = found
    return found or None


_merged: dict[tuple[Any, ...], NodeClasses] = {}


def _merge(known: ComfyServerQuerySet) -> NodeClasses:
    """Servers that told the same are read, and merged, once."""
    names: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    for pk, name, digest in known.values_list("pk", "name", "catalog_digest"):
        names.setdefault(digest, []).append(name)
        first.setdefault(digest, pk)
    rows = dict(ComfyServer.objects.filter(pk__in=first.values()).values_list("pk", "object_info"))
    merged = merge({", ".join(names[digest]): rows.get(pk) or {} for digest, pk in first.items()})
    about = list(known.values_list("name", "is_simulator"))
    merged.servers = tuple(name for name, _ in about)
    merged.simulators = frozenset(name for name, is_simulator in about if is_simulator)
    return merged


def model_files(graph: Graph) -> list[Value]:
    """The model files that a bound graph names."""
    return sorted(set(model_choices(graph)))


def chosen_values(graph: Graph, parameters: Iterable[Parameter]) -> list[Value]:
    """What a bound graph demands of a server beyond its version: its model files, and the choices and numbers that
    the user set.
    """
    found: set[Value] = set(model_choices(graph))
    for parameter in parameters:
        for binding in parameter.bindings if parameter.type in _CHOSEN_TYPES else ():
            node = graph[binding.node_id]
            value = node["inputs"].get(binding.input_name)
            if isinstance(value, str) or is_number(value):
                found.add((str(node["class_type"]), binding.input_name, value))
    return sorted(found, key=lambda each: (each[0], each[1], str(each[2])))


@dataclass(frozen=True, slots=True)
class Default:
    """What one input is set to where users leave the setting `label` alone."""

    label: str
    value: Value


def defaults(graph: Graph, parameters: Iterable[Parameter]) -> list[Default]:
    """What becomes of a run for which users choose nothing. What they have to choose has no default."""
    found = []
    for parameter in parameters:
        if parameter.is_media or parameter.type == "seed":
            continue
        for binding in parameter.bindings:
            node = graph.get(binding.node_id, {"class_type": "", "inputs": {}})
            value = _usual(parameter, node["inputs"].get(binding.input_name))
            if isinstance(value, str) or is_number(value):
                found.append(Default(parameter.label, (str(node["class_type"]), binding.input_name, value)))
    return found


def _usual(parameter: Parameter, own: object) -> Any:
    """What an input is set to when users choose nothing; `own` is the graph's value. None: they have to."""
    if parameter.default is not None:
        return parameter.default
    return None if parameter.required else own


@dataclass(frozen=True, slots=True)
class Report:
    """Whether one server can run something. `is_known` is False until it has told what it has.

    `missing_defaults` says what it lacks only as long as users choose nothing else.
    """

    server: str
    missing: list[str]
    is_known: bool
    missing_defaults: Sequence[str] = ()

    @property
    def is_fit(self) -> bool:
        """True when everything is there that users cannot choose."""
        return self.is_known and not self.missing


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the fleet."""

    name: str
    catalog: Catalog | None
    is_enabled: bool
    is_draining: bool
    state: str

    @property
    def takes_work(self) -> bool:
        """True when it can be given something new right now."""
        return self.is_enabled and not self.is_draining and self.state == ServerState.ONLINE

    def report(self, needs: Needs, usual: Sequence[Default] = ()) -> Report:
        """What it lacks for it, and for its `usual` values."""
        if self.catalog is None:
            return Report(self.name, [], is_known=False)
        faults = [(each.label, self.catalog.refused(*each.value)) for each in usual]
        lacking = [f"the default of “{label}”: {fault} is not there" for label, fault in faults if fault]
        return Report(self.name, self.catalog.missing(needs), True, list(dict.fromkeys(lacking)))


class Fleet:
    """The servers with what each has, as of their latest /object_info: one query, whatever is asked of it."""

    def __init__(self) -> None:
        columns = ("pk", "catalog_digest", "name", "is_enabled", "is_draining", "state")
        rows = ComfyServer.objects.order_by("name").values_list(*columns)
        self._members = [
            Member(name, catalogs.get(pk, digest), is_enabled, is_draining, state)
            for pk, digest, name, is_enabled, is_draining, state in rows
        ]

    @property
    def _enabled(self) -> list[Member]:
        return [each for each in self._members if each.is_enabled]

    def report(self, needs: Needs, usual: Sequence[Default] = ()) -> list[Report]:
        """What each enabled server lacks for it, and for its `usual` values."""
        return [each.report(needs, usual) for each in self._enabled]

    def differences(self, graph: Graph) -> list[Difference]:
        """Where the enabled servers that told what they have differ about the nodes of the graph."""
        return differences(graph, {each.name: each.catalog for each in self._enabled if each.catalog})

    def number_at_work(self, needs: Needs) -> int:
        """How many servers could be given it right now."""
        return sum(each.takes_work and each.report(needs).is_fit for each in self._members)

    def obstacle(self, needs: Needs) -> str:
        """Why no enabled server can run it; "" when one can, be it reachable at the moment or not.

        Of several servers, the one that lacks least is the one to complete.
        """
        reports = self.report(needs)
        if any(each.is_fit for each in reports):
            return ""
        if any(each.report(needs).is_fit for each in self._members):
            return "The only server that can run this is switched off."
        known = [each for each in reports if each.is_known]
        if not known:
            return self._why_unknown()
        missing = min((each.missing for each in known), key=len)
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        rest = " Not every server has been connected yet." if len(known) < len(reports) else ""
        return f"The servers lack {', '.join(missing[:3])}{more}.{rest}"

    def obstacle_as_it_is(self, needs: Needs, usual: Sequence[Default]) -> str:
        """Why no enabled server can run it when users choose nothing; "" when one can."""
        if found := self.obstacle(needs):
            return found
        missing = min((each.missing_defaults for each in self.report(needs, usual) if each.is_fit), key=len)
        more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
        return f"No server can run it with {', nor with '.join(missing[:3])}{more}." if missing else ""

    def _why_unknown(self) -> str:
        if not self._enabled:
            return ALL_OFF if self._members else NOT_SET_UP
        is_online = any(each.state == ServerState.ONLINE for each in self._enabled)
        return NOT_TOLD if is_online else NOT_CONNECTED

    def why_not(self, needs: Needs) -> str:
        """The same for users, with what they can do about it."""
        found = self.obstacle(needs)
        return f"{found} {_ADVICE.get(found, 'Please tell the operator.')}" if found else ""

    def why_unavailable(self, version: TemplateVersion) -> str:
        """`why_not` for a version, before users choose anything."""
        return self.why_not(version.needs)

    def why_waiting(self, needs: Needs) -> str:
        """Why it is not given to any server right now; "" when one can take it."""
        fit = [each for each in self._members if each.report(needs).is_fit]
        if not fit:
            return self.obstacle(needs)
        if any(each.takes_work for each in fit):
            return ""
        states = {_standing(each) for each in fit}
        soonest = next(words for words in _STANDINGS if words in states)
        if len(fit) == 1:
            return f"The server that can run this {soonest}."
        return f"Of {len(fit)} servers that can run this, none takes anything new now: one {soonest}."

    def with_current_choices(
        self, parameters: Iterable[Parameter], graph: Graph, needs: Needs | None = None
    ) -> tuple[Parameter, ...]:
        """The parameters; what users choose from is what the servers have now, where it follows them. A default that no
        server has is none: then they have to choose, unfolded, and `help` says why.

        With `needs`, of the servers that have these; if there are none, of all.
        """
        known = [each.catalog for each in self._enabled if each.catalog]
        fit = [each for each in known if needs and not each.missing(needs)]
        return tuple(_as_now(each, graph, fit or known) if each.type == "choice" else each for each in parameters)


# From what passes soonest to what passes last: of several servers, the first to come back counts.
_STANDINGS = (
    "is about to be serviced and takes nothing new",
    "cannot be reached at the moment",
    "is stuck and has to be restarted",
    "is switched off",
)


def _standing(member: Member) -> str:
    if not member.is_enabled:
        return _STANDINGS[3]
    if member.state == ServerState.STUCK:
        return _STANDINGS[2]
    return _STANDINGS[1 if member.state != ServerState.ONLINE else 0]


def why_unavailable(version: TemplateVersion) -> str:
    """See `Fleet.why_unavailable`."""
    return Fleet().why_unavailable(version)


def current_parameters(version: TemplateVersion) -> tuple[Parameter, ...]:
    """The version's parameters, with the choices of this moment."""
    parameters = version.parsed_parameters
    if not any(parameter.type == "choice" for parameter in parameters):
        return parameters
    return Fleet().with_current_choices(parameters, version.graph, version.needs)


def _as_now(parameter: Parameter, graph: Graph, catalogs: Iterable[Catalog]) -> Parameter:
    binding = parameter.bindings[0]
    node = graph[binding.node_id]
    place = (node["class_type"], binding.input_name)
    known = [catalog.choices[place] for catalog in catalogs if place in catalog.choices]
    if not known:
        return parameter
    offered = sorted(frozenset().union(*known), key=str.lower)
    changes: dict[str, Any] = {"choices": tuple(offered)} if parameter.is_live and offered else {}
    usual = _usual(parameter, node["inputs"].get(binding.input_name))
    if usual is not None and str(usual) not in offered:
        # Left out, it would become the graph's own value: that one, or another which nobody chose.
        gone = f"The usual choice, “{usual}”, is not available at the moment."
        changes |= {"default": None, "required": True, "is_advanced": False, "help": f"{parameter.help} {gone}".strip()}
    return parameter.model_copy(update=changes)


def others_can_run(server: ComfyServer, needs: Needs) -> bool:
    """True when some other server, one that takes work now, can run it."""
    others = ComfyServer.objects.taking_work().exclude(pk=server.pk).values_list("pk", "catalog_digest")
    known = [catalogs.get(pk, digest) for pk, digest in others]
    return any(catalog is not None and not catalog.missing(needs) for catalog in known)
