"""The orders in which a file may have stored the values of a node's widgets.

The editor keeps values by position, with places of its own in between: a control word behind a seed, dummies for inputs
that can only be linked, holes of widgets that keep nothing. Which of them a file has depends on the editor, the node's
class and the scripts at the time when it was saved (src/utils/litegraphUtil.ts, migrateWidgetsValues, and
src/lib/litegraph/src/LGraphNode.ts of ComfyUI_frontend).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from generations.comfy.fitting import CONTROL_WORDS, Fit, fit, is_control
from generations.comfy.layout import as_held, brought_along, default_of, helpers_of
from generations.comfy.object_info import CONSTANT_TYPES, InputSpec, NodeSpec
from generations.comfy.troubles import Spend

MAX_DEVIATIONS = 6
MAX_STEPS = 8_000
STEPS_OF_SEARCH = 30  # what one of them costs, compared to following a link
MAX_REORDERED = 16
# What widgets that hold nothing leave behind: buttons and their labels, besides null.
_LABELS = frozenset(
    {
        "", "image", "upload", "refresh", "video", "audio", "choose file to upload", "upload3dmodel",
        "uploadExtraResources", "clear",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Input name -> stored value, whose widgets they are, and the values that no widget took.

    `misplaced` holds a value that stands where the editor keeps a control word; `is_doubtful` says that one does, or,
    in a list that is too short, that something does which may be a value.
    """

    found: dict[str, Any]
    specs: tuple[InputSpec, ...]
    surplus: tuple[Any, ...] = ()
    misplaced: tuple[Any, ...] = ()
    is_doubtful: bool = False

    def worst(self, linked: frozenset[str]) -> tuple[Fit, InputSpec | None]:
        """The worst fit among the values, and whose it is; linked inputs take no value."""
        fits = ((fit(self.found[each.name], each, self.specs), each) for each in self.specs if each.name not in linked)
        return min(fits, key=lambda pair: pair[0], default=(Fit.YES, None))


def says_nothing(value: object) -> bool:
    """True for what widgets without a value of their own leave in a file."""
    if isinstance(value, str):
        return value in _LABELS or value in CONTROL_WORDS
    return value is None or (isinstance(value, dict | list) and not value)


def by_name(values: Mapping[str, Any], widgets: Iterable[InputSpec]) -> Layout:
    """The layout in which each widget has the value of its name, else its default."""
    found: dict[str, Any] = {}
    specs: list[InputSpec] = []
    pending = list(widgets)
    while pending:
        each = pending.pop(0)
        found[each.name] = values[each.name] if each.name in values else default_of(each)
        specs.append(each)
        pending[:0] = brought_along(each, found[each.name])
    return Layout(found, tuple(specs))


def as_the_editor(values: Sequence[Any], spec: NodeSpec, widgets: Iterable[InputSpec]) -> Layout:
    """The layout that the editor assumes: by position, whatever the values are."""
    rest = _without_dummies(list(values), spec)
    found: dict[str, Any] = {}
    specs: list[InputSpec] = []
    misplaced: tuple[Any, ...] = ()
    is_vague = is_short = False
    pending = list(widgets)
    while pending:
        each = pending.pop(0)
        specs.append(each)
        if not each.is_kept:
            found[each.name] = default_of(each)
            continue
        is_short = is_short or not rest
        found[each.name] = rest.pop(0) if rest else default_of(each)
        helpers, control = helpers_of(each), each.control_values
        places, rest = rest[helpers : helpers + control], rest[helpers + control :]
        misplaced = misplaced or tuple(one for one in places[:1] if not is_control(one))
        pending[:0] = brought_along(each, as_held(found[each.name], each, is_old=spec.is_old))
        is_vague = is_vague or any(fit(one, following) is Fit.YES for one in places[:1] for following in pending[:1])
    return Layout(found, tuple(specs), tuple(rest), misplaced, bool(misplaced) or (is_vague and is_short))


def _without_dummies(values: list[Any], spec: NodeSpec) -> list[Any]:
    """Files of old editors have a value for inputs that can only be linked, too: recognised by their number."""
    shown = [each for each in spec.inputs if each.is_widget or each.is_forced_link]
    if not any(each.is_forced_link for each in shown):
        return values
    if sum(2 if each.control_values else 1 for each in shown) != len(values):
        return values
    kept: list[Any] = []
    position = 0
    for each in shown:
        length = 2 if each.control_values else 1
        if not each.is_forced_link:
            kept += values[position : position + length]
        position += length
    return kept


def others(
    values: Sequence[Any], spec: NodeSpec, widgets: Sequence[InputSpec], linked: frozenset[str], spend: Spend
) -> list[Layout]:
    """The layouts that differ least from the editor's and in which every value fits: none, the only one, or two."""
    names = {each.name for each in widgets}
    dummies = [
        each for each in spec.inputs if each.name in names or (each.is_forced_link and each.type in CONSTANT_TYPES)
    ]
    for shown in (widgets, dummies) if len(dummies) > len(widgets) else (widgets,):
        search = _Search(values, shown, linked)
        for allowed in range(MAX_DEVIATIONS + 1):
            found = _distinct(search.run(allowed), linked)
            if found:
                break
        spend(STEPS_OF_SEARCH * search.steps)
        if found:
            return found
    return _distinct(_reordered(values, widgets, linked), linked)


def _distinct(layouts: Iterable[Layout], linked: frozenset[str]) -> list[Layout]:
    kept: list[Layout] = []
    results: list[dict[str, Any]] = []
    for each in layouts:
        result = {name: value for name, value in each.found.items() if name not in linked}
        if result not in results:
            results.append(result)
            kept.append(each)
        if len(kept) == 2:
            break
    return kept


class _Search:
    """Every way to give the values to the widgets in order, with so many deviations from the editor's layout."""

    def __init__(self, values: Sequence[Any], widgets: Sequence[InputSpec], linked: frozenset[str]) -> None:
        self.values = values
        self.widgets = tuple(widgets)
        self.linked = linked
        self.known: dict[tuple[int, str], int | None] = {}
        self.steps = 0

    def run(self, allowed: int) -> Iterator[Layout]:
        return self._go(self.widgets, 0, allowed, Layout({}, ()))

    def _go(self, pending: tuple[InputSpec, ...], at: int, allowed: int, done: Layout) -> Iterator[Layout]:
        self.steps += 1
        if allowed < 0 or self.steps > MAX_STEPS:
            return
        if not pending:
            if all(says_nothing(each) for each in self.values[at:]):
                yield done
            return
        each, rest = pending[0], pending[1:]
        if not each.is_kept:
            yield from self._go(rest, at, allowed, _with(done, each, default_of(each)))
        elif at == len(self.values):
            # With too few values, a null among them is a value that was not set, and no hole.
            if allowed and not each.is_forced_link and not done.surplus:
                yield _completed(done, pending)
        else:
            yield from self._take(each, rest, at, allowed, done)

    def _take(
        self, each: InputSpec, rest: tuple[InputSpec, ...], at: int, allowed: int, done: Layout
    ) -> Iterator[Layout]:
        value = self.values[at]
        key = (at, each.name)
        if key not in self.known:
            self.known[key] = self._deviation(value, each)
        deviation = self.known[key]
        if value is None or (deviation is None and isinstance(value, str) and says_nothing(value)):
            yield from self._go((each, *rest), at + 1, allowed - 1, replace(done, surplus=(*done.surplus, value)))
        if deviation is None:
            return
        following = done if each.is_forced_link else _with(done, each, value)
        brought = () if each.is_forced_link else tuple(brought_along(each, value))
        for places, cost in self._behind(each, at + 1):
            left = allowed - cost - deviation
            yield from self._go((*brought, *rest), at + 1 + places, left, following)
            if brought and not brought[0].name.startswith(f"{each.name}."):  # by a script that came later than the file
                yield from self._go(rest, at + 1 + places, left - 1, _completed(following, brought))

    def _deviation(self, value: object, spec: InputSpec) -> int | None:
        """What it costs to take the value there; None if it does not fit."""
        if spec.is_forced_link:
            return 0 if value is None or fit(value, spec) >= Fit.CONVERTED else None
        if spec.name in self.linked:
            return 0
        if isinstance(value, str) and value in CONTROL_WORDS and spec.choices is None:
            return None
        return {Fit.YES: 0, Fit.UNLISTED: 1}.get(fit(value, spec, self.widgets))

    def _behind(self, spec: InputSpec, at: int) -> Iterator[tuple[int, int]]:
        """(places, deviations) of what may stand behind the value of that widget."""
        helpers = helpers_of(spec)
        following = self.values[at + helpers : at + helpers + 2]
        has_word = bool(following) and is_control(following[0])
        if spec.control_values and has_word:
            yield helpers + 1, spec.control_values - 1
            if spec.control_values == 2 and len(following) == 2 and isinstance(following[1], str):
                yield helpers + 2, 0
        elif has_word and following[0] in CONTROL_WORDS:
            yield helpers + 1, 1  # the class had a control there when the file was saved
        yield helpers, int(bool(spec.control_values and following))
        if helpers and not spec.control_values:
            yield 0, 1


def _with(done: Layout, spec: InputSpec, value: Any) -> Layout:
    return replace(done, found={**done.found, spec.name: value}, specs=(*done.specs, spec))


def _completed(done: Layout, pending: Iterable[InputSpec]) -> Layout:
    """The rest by default: the class got these inputs after the file was saved."""
    rest = by_name({}, (each for each in pending if not each.is_forced_link))
    return replace(done, found=done.found | rest.found, specs=(*done.specs, *rest.specs))


def _reordered(values: Sequence[Any], widgets: Sequence[InputSpec], linked: frozenset[str]) -> Iterator[Layout]:
    """Each way to give every value to some widget that it fits, for classes whose inputs changed places."""
    own = [value for value in values if not (isinstance(value, str) and value in CONTROL_WORDS)]
    names = {each.name for each in widgets}
    is_simple = not names & linked and not any(each.sub_inputs for each in widgets)
    if not is_simple or len(own) != len(widgets) or len(own) > MAX_REORDERED:
        return
    takers = [[each for each in widgets if fit(value, each, widgets) is Fit.YES] for value in own]
    order = sorted(range(len(own)), key=lambda index: len(takers[index]))
    steps = 0

    def assign(index: int, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
        nonlocal steps
        steps += 1
        if index == len(order):
            yield found
        for each in takers[order[index]] if index < len(order) and steps < MAX_STEPS else ():
            if each.name not in found:
                yield from assign(index + 1, {**found, each.name: own[order[index]]})

    for found in assign(0, {}):
        yield Layout({each.name: found[each.name] for each in widgets}, tuple(widgets))
