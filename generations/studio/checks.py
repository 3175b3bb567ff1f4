"""What keeps a draft from running or from being published."""

from __future__ import annotations

from generations.comfy import queued
from generations.comfy.catalog import Needs, graph_needs
from generations.comfy.graph import GraphProblem, check_graph
from generations.comfy.object_info import ObjectInfo
from generations.models import TemplateDraft, TemplateVersion
from generations.parameters import demands
from generations.parameters.bounds import check_bounds
from generations.parameters.schema import (
    DefinitionError,
    Fault,
    Faults,
    Parameter,
    bound_inputs,
    check_bindings,
    parse_parameters,
)
from generations.scheduling import fitness
from generations.studio.definitions import definition_of


def faults(draft: TemplateDraft | TemplateVersion, object_info: ObjectInfo | None) -> Faults:
    """What is wrong with each parameter, and with the workflow as a whole (""); empty when users could run it.

    A version was fine when it was made, but nodes may have become stricter. Without `object_info` their limits are not
    checked.
    """
    if not draft.graph:
        return {"": [Fault("", "There is no workflow yet.")]}
    try:
        parameters = parse_parameters(draft.parameters)
        check_bindings(parameters, draft.graph)
        check_bounds(parameters, draft.graph, object_info or {})
    except DefinitionError as error:
        return error.faults
    return {}


def valid_parameters(draft: TemplateDraft) -> tuple[Parameter, ...]:
    """The parameters without faults: the form can be previewed while others still have some."""
    found: list[Parameter] = []
    for definition in draft.parameters:
        try:
            found = list(parse_parameters([*(definition_of(each) for each in found), definition]))
        except DefinitionError:
            continue
    return tuple(found)


def fitness_of(draft: TemplateDraft, fleet: fitness.Fleet | None = None) -> list[fitness.Report]:
    """What each enabled server lacks to run it, and to run it with its defaults."""
    return (fleet or fitness.Fleet.now()).report(needs_of(draft), defaults_of(draft))


def needs_of(draft: TemplateDraft) -> Needs:
    """What a server must have to run it, without what users choose."""
    return graph_needs(draft.graph, leaving_out=bound_inputs(draft.parameters))


def defaults_of(draft: TemplateDraft) -> list[demands.Default]:
    """What a server must also have for users who choose nothing."""
    return demands.defaults(draft.graph, valid_parameters(draft))


def problems(draft: TemplateDraft, object_info: ObjectInfo | None) -> list[GraphProblem]:
    """What keeps the graph from running, node by node, as far as the known node classes tell."""
    return check_graph(draft.graph, object_info) if object_info is not None and draft.graph else []


def resolved_inputs(
    draft: TemplateDraft, newest: TemplateVersion | None, object_info: ObjectInfo | None
) -> list[list[str]]:
    """Its texts that are resolved for each run, as a version keeps them. `newest`: the template's newest version, which
    knows classes that no server has at the moment.
    """
    known = queued.prompts_of(newest.graph, newest.resolved_inputs) if newest else ()
    return [list(each) for each in queued.inputs_to_resolve(draft.graph, object_info, known)]
