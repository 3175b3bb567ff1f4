"""Handing a claimed generation to its ComfyUI server."""

from __future__ import annotations

import re
import uuid
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from accounts.models.encrypted import revealed
from generations import origins
from generations.comfy.asset_references import reference_to, replace_references
from generations.comfy.client import ComfyClient
from generations.comfy.errors import Rejected
from generations.comfy.file_inputs import FileInput, input_value, upload_folder
from generations.comfy.graph import Graph, links, sending_nodes
from generations.comfy.sketch import editor_workflow
from generations.files import spooling, storage
from generations.models import Asset, Generation
from generations.origins import Mark
from generations.relay.upstream import Upstream
from generations.scheduling import catalogs

ANEW = "comfysaas_anew"
# ComfyUI and its nodes tell videos from sounds by the extension; where the type's own name is another one.
EXTENSIONS = {
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "audio/x-matroska": "mka",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
}


class StorageUnavailableError(Exception):
    """The storage cannot give an input file or take a result at the moment. Nothing was submitted, nothing is lost."""


class InputMissingError(Exception):
    """A file that the generation needs was deleted meanwhile."""


def build_graph(generation: Generation, client: ComfyClient) -> Graph:
    """The version's graph with this generation's inputs; its input files are uploaded to the server on the way.

    InputMissingError, StorageUnavailableError; ComfyError of the upload passes through.
    """
    graph = generation.graph(_media(generation))
    if generation.is_cache_bypassed:
        _bypass_cache(graph, generation)
    for node_id in sending_nodes(graph):  # what it sent for another prompt is not in the cache
        graph[node_id]["inputs"][ANEW] = str(generation.prompt_id)
    uploads: dict[tuple[uuid.UUID, bool], str] = {}

    def name_of(asset_id: uuid.UUID, known: FileInput | None) -> str:
        key = asset_id, known is not None and known.is_folder
        if key not in uploads:
            uploads[key] = _upload(generation, asset_id, known, client)
        return input_value(known, uploads[key])

    return replace_references(graph, name_of)


def _media(generation: Generation) -> dict[str, Any]:
    """References to its input files, by parameter."""
    values: dict[str, Any] = generation.inputs  # validated when it was submitted
    return {
        parameter.name: reference_to(uuid.UUID(str(values[parameter.name])))
        for parameter in generation.version.parsed_parameters
        if parameter.is_media and values.get(parameter.name)
    }


def _bypass_cache(graph: Graph, generation: Generation) -> None:
    """Make ComfyUI run the nodes that made files anew, and nothing else that it has in its cache.

    A node's cache signature covers every input in the graph, but inputs that its class does not know are not passed
    to it (comfy_execution/caching.py, execution.py).
    """
    feeding = {source_id for _node_id, _name, source_id in links(graph)}
    reported = {node_id.split(".")[0] for node_id in generation.upstream_outputs or {}}
    for node_id, node in graph.items():
        if node_id in reported or node_id not in feeding:
            node["inputs"][ANEW] = str(generation.prompt_id)


def _upload(generation: Generation, asset_id: uuid.UUID, known: FileInput | None, client: ComfyClient) -> str:
    asset = Asset.objects.filter(pk=asset_id, workspace=generation.workspace_id).first()
    if asset is None:
        msg = "An input file of this generation was deleted."
        raise InputMissingError(msg)
    # Named by content: the same file is uploaded once and overwrites only itself. ASCII, because servers store
    # other characters as the client's library happened to escape them.
    digest = asset.hash.removeprefix("blake3:")[:32]
    name, folder = f"{digest}.{extension_of(asset)}", upload_folder(known, digest)
    try:
        with storage.open_key(asset.key) as file:
            return client.upload_image(name, cast("BinaryIO", file), subfolder=folder, overwrite=True)
    except FileNotFoundError as error:
        msg = "An input file of this generation is gone from the storage."
        raise InputMissingError(msg) from error
    except (OSError, BotoCoreError, ClientError) as error:
        msg = f"An input file cannot be read from the storage: {error}"
        raise StorageUnavailableError(msg) from error


def extension_of(asset: Asset) -> str:
    """By the bytes' type; where they show none, what its owner called it, if that is a plain word."""
    if asset.content_type == spooling.DEFAULT_CONTENT_TYPE:
        own = asset.name.rpartition(".")[2].lower()
        return own if re.fullmatch("[a-z0-9]{1,12}", own) else "bin"
    return EXTENSIONS.get(asset.content_type) or asset.content_type.partition("/")[2].removeprefix("x-")


def _extra_pnginfo(generation: Generation, graph: Graph) -> dict[str, object]:
    """ComfyUI hands this to the nodes that ask for it, and writes it into the files that it makes.

    Some nodes read the editor's workflow and fail without it; our mark leads a result back to its template and inputs.
    """
    workflow = editor_workflow(
        _without_bypass(graph),
        object_info=catalogs.noted.nodes(),  # those of all servers: one copy in memory
        kept=generation.version.editor,
        before=generation.version.graph,
    )
    return {origins.MARK: generation.mark, "workflow": workflow}


def _without_bypass(graph: Graph) -> Graph:
    return {
        node_id: {**node, "inputs": {name: value for name, value in node["inputs"].items() if name != ANEW}}
        for node_id, node in graph.items()
    }


def submit_upstream(
    generation: Generation, graph: Graph, client: ComfyClient, upstream: Upstream, *, client_id: str
) -> uuid.UUID:
    """POST /prompt with our prompt_id. Returns the id that the server uses. ComfyError passes through.

    Rejected also when the server accepted only a part of the workflow (200 with node errors): users would not see
    that their result lacks outputs. UnreadableError: the key for paid services cannot be decrypted.
    """
    extra_data: dict[str, object] = {
        **Mark(str(generation.pk), generation.attempt).as_extra_data(),
        "extra_pnginfo": _extra_pnginfo(generation, graph),
    }
    if generation.partner_key:
        extra_data["api_key_comfy_org"] = revealed(generation.partner_key, "The API key for paid services")
    submission = client.submit(graph, client_id=client_id, prompt_id=str(generation.prompt_id), extra_data=extra_data)
    if submission.node_errors:
        upstream.stop(submission.prompt_id)
        msg = "Only a part of it can run"
        raise Rejected(msg, submission.node_errors)
    return uuid.UUID(submission.prompt_id)
