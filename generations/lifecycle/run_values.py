"""The values of each run, settled when it is submitted: its seeds are drawn, and texts with patterns resolved.

Both are recorded with the run, so that it can be repeated exactly; nothing is drawn again later.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from generations.comfy import queued
from generations.comfy.graph import Graph, InputKey
from generations.comfy.queued import MAX_PATTERNS, NAME, Resolved, UnfitTextError
from generations.models import Generation, SeedCount, TemplateVersion
from generations.parameters import seeds
from generations.parameters.bind import bind
from generations.parameters.schema import Parameter, SeedMode
from generations.parameters.validate import InvalidInputs

if TYPE_CHECKING:
    from accounts.models import User


@dataclass(frozen=True, slots=True)
class RunValues:
    """What one or several runs of a version with the same validated `values` are given.

    `files`: names of the files among them, by parameter. `kept`: texts of the run that is repeated, None unless one is.
    """

    user: User
    version: TemplateVersion
    parameters: Sequence[Parameter]
    values: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[InputKey, str] | None = None

    def for_runs(self, count: int) -> list[tuple[dict[str, Any], list[list[str]]]]:
        """For each run, all values with its seeds, and `Generation.resolved`. InvalidInputs.

        Inside a transaction in which nobody else submits for this user (queue.Line): seeds may be counted.
        """
        drawn = {each.name: self._seeds(each, count) for each in self.parameters if each.type == "seed"}
        own = [{**self.values, **{name: of[number] for name, of in drawn.items()}} for number in range(count)]
        return [(values, self._resolved(values, most=MAX_PATTERNS // count)) for values in own]

    # ------------------------------------------------------------------------------------------ seeds
    def _seeds(self, parameter: Parameter, count: int) -> list[int]:
        given, template = self.values[parameter.name], self.version.template
        counts = SeedCount.objects if template is not None and seeds.is_counted(parameter, given) else None
        last = counts.last_of(self.user, template, parameter.name) if counts and template else None
        numbers = seeds.seed_numbers(parameter, given, count, start=self._start(parameter), last=last)
        if counts and template and (self.kept is None or not isinstance(given, int)):  # the repeated run's own is one
            counts.note(self.user, template, parameter.name, numbers[-1])
        return numbers

    def _start(self, parameter: Parameter) -> int:
        """The seed of a first run: the default, else what the workflow has."""
        binding = parameter.bindings[0]
        value: object = parameter.default
        if value is None:
            value = self.version.graph[binding.node_id]["inputs"].get(binding.input_name)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    # ------------------------------------------------------------------------------------------ texts
    def _resolved(self, values: Mapping[str, Any], *, most: int) -> list[list[str]]:
        to_resolve = self.version.resolved_inputs
        if not to_resolve:
            return []
        bound = bind(self.version.graph, self.parameters, values, media=self.files)
        try:
            found = queued.resolve(
                bound,
                to_resolve,
                now=timezone.localtime(),
                draw=secrets.randbelow,
                kept=self.kept or {},
                exposed={key: each.name for each in self.parameters for key in _keys([each])},
                typed=_typed(self.parameters, self.version.graph, values),
                most=most,
            )
        except UnfitTextError as error:
            raise InvalidInputs({self._parameter_at(error.input_key): [str(error)]}) from error
        return [[each.node_id, each.input_name, each.text] for each in found]

    def _parameter_at(self, key: InputKey) -> str:
        return next((each.name for each in self.parameters if key in _keys([each])), "")


def kept_texts(generation: Generation, changed: Mapping[str, object]) -> dict[InputKey, str]:
    """What its texts became, but for those that depend on inputs that are changed now."""
    version = generation.version
    keys = _keys([each for each in version.parsed_parameters if each.name in changed])
    names = {(node_id, name) for node_id, name, kind in version.resolved_inputs if kind == NAME} if changed else set()
    found = (Resolved(*each) for each in generation.resolved)
    texts = {(each.node_id, each.input_name): each.text for each in found}
    return {key: text for key, text in texts.items() if key not in keys | names}


def draws_alike(version: TemplateVersion, parameters: Sequence[Parameter], values: Mapping[str, Any]) -> bool:
    """True when several runs with these values would be all alike: no seed and no alternative of a text is drawn."""
    if any(each.type == "seed" for each in parameters):
        return False
    given = {key: values.get(each.name) for each in parameters for key in _keys([each])}
    prompts = [(node_id, name) for node_id, name, kind in version.resolved_inputs if kind == queued.PROMPT]
    texts = (given.get(key, version.graph[key[0]]["inputs"].get(key[1])) for key in prompts)
    return not any("{" in str(text) for text in texts)


def unseeded(parameters: Sequence[Parameter], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs for a run that is to differ: seeds that are fixed are drawn, others go on by their mode."""
    modes: dict[str, SeedMode] = {each.name: each.seed_mode for each in parameters if each.type == "seed"}
    others = {name: value for name, value in inputs.items() if name not in modes}
    return others | {name: "randomize" for name, mode in modes.items() if mode == "fixed"}


def _keys(parameters: Sequence[Parameter]) -> set[InputKey]:
    return {one.input_key for each in parameters for one in each.bindings}


def _typed(parameters: Sequence[Parameter], graph: Graph, values: Mapping[str, Any]) -> set[InputKey]:
    """Where a text stands that is neither the workflow's nor the admin's."""
    return {
        one.input_key
        for each in parameters
        if each.type in {"text", "string"}
        for one in each.bindings
        if values.get(each.name) not in (None, each.default, graph[one.node_id]["inputs"].get(one.input_name))
    }
