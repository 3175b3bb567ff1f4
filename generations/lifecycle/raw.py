"""Whole workflows, which run as they are: a graph in the API format that somebody who may do so sends for one job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accounts.models import Workspace
from generations.comfy.catalog import Needs
from generations.comfy.editor import is_editor_format
from generations.comfy.graph import Graph, GraphProblem, check_graph, load_api_graph
from generations.comfy.object_info import ObjectInfo
from generations.comfy.sketch import kept_of
from generations.files import naming
from generations.lifecycle.services import NOTHING, CannotRunError, Extras, enqueue, ensure_unused, searchable
from generations.models import Generation, TemplateVersion
from generations.parameters import demands
from generations.scheduling.fitness import Fleet

if TYPE_CHECKING:
    from accounts.models import User

PERMISSION = "generations.submit_raw_workflow"


class RawNotAllowedError(Exception):
    """This user may not submit whole workflows; `str()` says so."""

    def __init__(self) -> None:
        super().__init__("Your account may not submit whole workflows. Run a template.")


class EditorFormatError(Exception):
    """The workflow is in the format of ComfyUI's editor, which is not what runs."""


class InvalidWorkflowError(Exception):
    """A whole workflow that no server can run. `problems` name the nodes; `str()` tells of the first."""

    def __init__(self, problems: Sequence[GraphProblem]) -> None:
        super().__init__(problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        first = self.problems[0]
        more = f" ({len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return (f"Node {first.node_id} ({first.title}): " if first.node_id else "") + first.message + more


def submit(
    *,
    user: User,
    workspace: Workspace | None = None,
    workflow: object,
    editor: Mapping[str, Any] | None = None,
    extras: Extras = NOTHING,
) -> Generation:
    """A durable, queued generation of a whole graph in the API format, which runs as it is. It belongs to the
    `workspace`, which is by default the user's own.

    `editor`: the same workflow in the editor's format, for nodes that look it up.

    RawNotAllowedError; EditorFormatError; GraphError or InvalidWorkflowError say what is wrong with it,
    naming.MissingAssetError which file is not the workspace's; CannotRunError: no server is known yet; those of
    `services.enqueue`.
    """
    if not user.has_perm(PERMISSION):
        raise RawNotAllowedError
    ensure_unused(user, extras)
    if is_editor_format(workflow):
        raise EditorFormatError
    workspace = workspace or Workspace.objects.personal_of(user)
    fleet = Fleet.now()
    object_info = fleet.known_nodes()
    graph, file_ids = naming.resolve(workspace, _runnable(workflow, object_info, fleet), object_info)
    version = TemplateVersion.raw(graph=graph, created_by=user, editor=kept_of(editor, graph))
    if obstacle := fleet.obstacle(version.needs):
        message = f"No single server can run all of it. {obstacle}"
        raise InvalidWorkflowError([GraphProblem("", "", message, "no_server")])

    def make() -> list[Generation]:
        version.save()
        model_files = demands.model_files(graph)
        own = {"user": user, "workspace": workspace, "version": version, **extras.columns()}
        return [Generation(**own, model_files=model_files, text=_texts(graph))]

    return enqueue(user, workspace, make, file_ids, extras, fleet)[0]


def _runnable(workflow: object, object_info: ObjectInfo | None, fleet: Fleet) -> Graph:
    """The graph, if the servers together have what it needs. GraphError, CannotRunError, InvalidWorkflowError."""
    graph = load_api_graph(workflow)
    if object_info is None:
        raise CannotRunError(fleet.why_not(Needs(())))
    if problems := check_graph(graph, object_info):
        raise InvalidWorkflowError(problems)
    return graph


def _texts(graph: Graph) -> str:
    """What history finds it by."""
    values = (value for node in graph.values() for value in node["inputs"].values())
    return searchable(value for value in values if isinstance(value, str))
