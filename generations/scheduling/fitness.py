"""Which servers can run what, by what each server said of itself. Unknown is not able."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from accounts.statements import Kept
from generations.comfy.catalog import Catalog, Needs, Value
from generations.comfy.differences import Difference, differences
from generations.comfy.graph import Graph
from generations.comfy.object_info import ObjectInfo
from generations.models import ComfyServer, TemplateVersion
from generations.models.server import ServerState
from generations.parameters import choices
from generations.parameters.demands import Default
from generations.parameters.schema import Parameter
from generations.scheduling import catalogs

T = TypeVar("T")
_COLUMNS = ("pk", "name", "catalog_digest", "is_enabled", "is_draining", "state", "is_simulator")
_ROWS = Kept(lambda: ComfyServer.objects.order_by("name").values_list(*_COLUMNS))
KEPT_AT_MOST = 5000  # what is kept of a fleet
NOT_SET_UP = "No ComfyUI server is set up yet."
ALL_OFF = "Every ComfyUI server is switched off."
NOT_CONNECTED = "No ComfyUI server is connected yet."
NOT_READ = "ComfyUI has not said yet what it can run."
TELL = "Please tell the operator."
TRY_LATER = "Try again in a moment; if it stays like this, please tell the operator."


class _Obstacle(NamedTuple):
    """Why nothing can run it, and what users can do about it."""

    sentence: str
    advice: str = TELL


@dataclass(frozen=True, slots=True)
class Report:
    """Whether one server can run something. `is_known` is False until it has said what it has.

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

    pk: int
    name: str
    digest: str
    catalog: Catalog | None
    is_enabled: bool
    is_draining: bool
    state: str
    is_simulator: bool

    @property
    def takes_work(self) -> bool:
        """True when it can get something new right now."""
        return self.is_enabled and not self.is_draining and self.state == ServerState.ONLINE

    def report(self, needs: Needs, usual: Sequence[Default] = ()) -> Report:
        """What it lacks for it, and for its `usual` values."""
        if self.catalog is None:
            return Report(self.name, [], is_known=False)
        faults = [(each.label, self.catalog.refused(*each.value)) for each in usual]
        lacking = [f"the default of “{label}”: {fault} is not there" for label, fault in faults if fault]
        return Report(self.name, self.catalog.missing(needs), True, list(dict.fromkeys(lacking)))


class Verdict(NamedTuple):
    """What becomes of a run: how many servers could take it right now; why none does, and why none ever will ("" when
    one can).
    """

    at_work: int
    why_waiting: str
    why_not: str


class Fleet:
    """The servers with what each has, as of their latest /object_info. `now` asks for it; what follows from it is
    worked out once, for as long as the servers' rows say the same.
    """

    _latest: ClassVar[Fleet | None] = None

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._rows = rows
        self._members = [
            Member(pk, name, digest, catalogs.kept.get(pk, digest), is_enabled, is_draining, state, is_simulator)
            for pk, name, digest, is_enabled, is_draining, state, is_simulator in rows
        ]
        self._kept: dict[Hashable, Any] = {}

    @classmethod
    def now(cls) -> Fleet:
        """The fleet of this moment: one query, whatever is asked of it."""
        rows = _ROWS.all()
        latest = cls._latest
        if latest is None or latest._rows != rows:
            cls._latest = latest = cls(rows)
        return latest

    @classmethod
    def forget(cls) -> None:
        """Work everything out anew: for tests, whose rows come back under the numbers of others."""
        cls._latest = None

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, which is called once for each key while the servers stay as they are."""
        if key not in self._kept:
            if len(self._kept) >= KEPT_AT_MOST:
                self._kept.clear()
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def verdict(self, version: TemplateVersion, values: Sequence[Value]) -> Verdict:
        """On a run of this saved version that demands `values` besides."""
        return self.once((version.pk, tuple(values)), lambda: self._verdict(version.needs.with_values(values)))

    def _verdict(self, needs: Needs) -> Verdict:
        return Verdict(self.number_at_work(needs), self.why_waiting(needs), self.why_not(needs))

    def known_nodes(self) -> ObjectInfo | None:
        """The node classes of all enabled servers together; None while none has been asked yet."""
        known = sorted((each for each in self._enabled if each.digest), key=lambda each: each.pk)
        return catalogs.merged([catalogs.Known(each.pk, each.name, each.digest, each.is_simulator) for each in known])

    def current_parameters(self, version: TemplateVersion) -> tuple[Parameter, ...]:
        """The saved version's parameters, with the choices of this moment."""
        parameters = version.parsed_parameters
        if not any(parameter.type == "choice" for parameter in parameters):
            return parameters
        return self.once(version.pk, lambda: self.with_current_choices(parameters, version.graph, version.needs))

    @property
    def _enabled(self) -> list[Member]:
        return [each for each in self._members if each.is_enabled]

    def report(self, needs: Needs, usual: Sequence[Default] = ()) -> list[Report]:
        """What each enabled server lacks for it, and for its `usual` values."""
        return [each.report(needs, usual) for each in self._enabled]

    def differences(self, graph: Graph) -> list[Difference]:
        """Where the enabled servers that said what they have differ about the nodes of the graph."""
        return differences(graph, {each.name: each.catalog for each in self._enabled if each.catalog})

    def number_at_work(self, needs: Needs) -> int:
        """How many servers could take it right now."""
        return sum(each.takes_work and each.report(needs).is_fit for each in self._members)

    def obstacle(self, needs: Needs) -> str:
        """Why no enabled server can run it; "" when one can, be it reachable at the moment or not.

        Of several servers, the one that lacks least is the one to complete.
        """
        found = self._obstacle(needs)
        return found.sentence if found else ""

    def _obstacle(self, needs: Needs) -> _Obstacle | None:
        reports = self.report(needs)
        if any(each.is_fit for each in reports):
            return None
        if any(each.report(needs).is_fit for each in self._members):
            return _Obstacle("The only server that can run this is switched off.")
        known = [each for each in reports if each.is_known]
        if not known:
            return self._why_unknown()
        missing = min((each.missing for each in known), key=len)
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        rest = " Not every server has been connected yet." if len(known) < len(reports) else ""
        return _Obstacle(f"The servers lack {', '.join(missing[:3])}{more}.{rest}")

    def obstacle_as_it_is(self, needs: Needs, usual: Sequence[Default]) -> str:
        """Why no enabled server can run it when users choose nothing; "" when one can."""
        if found := self.obstacle(needs):
            return found
        missing = min((each.missing_defaults for each in self.report(needs, usual) if each.is_fit), key=len)
        more = f", and {len(missing) - 3} more" if len(missing) > 3 else ""
        return f"No server can run it with {', nor with '.join(missing[:3])}{more}." if missing else ""

    def _why_unknown(self) -> _Obstacle:
        if not self._enabled:
            return _Obstacle(ALL_OFF if self._members else NOT_SET_UP)
        is_online = any(each.state == ServerState.ONLINE for each in self._enabled)
        return _Obstacle(NOT_READ if is_online else NOT_CONNECTED, TRY_LATER)

    def why_not(self, needs: Needs) -> str:
        """`obstacle` for users, with what they can do about it."""
        found = self._obstacle(needs)
        return f"{found.sentence} {found.advice}" if found else ""

    def why_unavailable(self, version: TemplateVersion) -> str:
        """Why no enabled server can run this version, with what users can do; "" when one can.

        What users choose themselves does not count.
        """
        return self.why_not(version.needs)

    def why_waiting(self, needs: Needs) -> str:
        """Why no server takes it right now; "" when one can."""
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
        """The parameters with what users can choose now: see `choices.with_current`.

        With `needs`, by the servers that have these; if there are none, by all.
        """
        known = [each.catalog for each in self._enabled if each.catalog]
        fit = [each for each in known if needs and not each.missing(needs)]
        return choices.with_current(parameters, graph, fit or known)


# From what passes soonest to what passes last: of several servers, the first to come back counts.
_STANDINGS = (
    SERVICED := "is about to be serviced and takes nothing new",
    UNREACHABLE := "cannot be reached at the moment",
    STUCK := "is stuck and has to be restarted",
    OFF := "is switched off",
)


def _standing(member: Member) -> str:
    """Why it takes nothing new."""
    if not member.is_enabled:
        return OFF
    if member.state == ServerState.STUCK:
        return STUCK
    return UNREACHABLE if member.state != ServerState.ONLINE else SERVICED


def why_unavailable(version: TemplateVersion) -> str:
    """Why no enabled server can run this version now, with what users can do; "" when one can."""
    return Fleet.now().why_unavailable(version)


def others_can_run(server: ComfyServer, needs: Needs) -> bool:
    """True when some other server, one that takes work now, can run it."""
    others = ComfyServer.objects.taking_work().exclude(pk=server.pk).values_list("pk", "catalog_digest")
    known = [catalogs.kept.get(pk, digest) for pk, digest in others]
    return any(catalog is not None and not catalog.missing(needs) for catalog in known)
