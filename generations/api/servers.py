"""ComfyUI servers. All operations are for staff."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Router
from ninja import Status as Answer

from accounts.models import Scope
from generations.api.auth import staff
from generations.api.operations import operation
from generations.api.schemas.servers import ServerChange, ServerCheck, ServerList, ServerOut, ServerRequest
from generations.models import ComfyServer
from generations.scheduling import server_check

router = Router()
ServerId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@operation(
    router,
    "GET",
    "/servers",
    scope=Scope.MANAGE,
    name="listServers",
    summary="List ComfyUI servers (staff)",
    returns={200: ServerList},
)
def list_servers(request: HttpRequest) -> ServerList:
    """All servers, in the state that the relays last saw."""
    staff(request, "generations.view_comfyserver")
    return ServerList(servers=[_describe(each) for each in ComfyServer.objects.defer("object_info")])


@operation(
    router,
    "POST",
    "/servers",
    scope=Scope.MANAGE,
    name="postServer",
    summary="Add a ComfyUI server (staff)",
    returns={201: ServerOut},
    errors=(422,),
)
def post_server(request: HttpRequest, payload: ServerRequest) -> Answer[ServerOut]:
    """A relay connects to the server within seconds."""
    staff(request, "generations.add_comfyserver")
    return Answer(201, _save(ComfyServer(), payload.model_dump()))


@operation(
    router,
    "GET",
    "/servers/{id}",
    scope=Scope.MANAGE,
    name="getServer",
    summary="Read a ComfyUI server (staff)",
    returns={200: ServerOut},
    errors=(404,),
)
def get_server(request: HttpRequest, id: ServerId) -> ServerOut:
    """The server, in the state that its relay last saw."""
    staff(request, "generations.view_comfyserver")
    return _describe(_find(id))


@operation(
    router,
    "PATCH",
    "/servers/{id}",
    scope=Scope.MANAGE,
    name="changeServer",
    summary="Change a ComfyUI server (staff)",
    returns={200: ServerOut},
    errors=(404, 422),
)
def change_server(request: HttpRequest, id: ServerId, payload: ServerChange) -> ServerOut:
    """`is_draining: true` lets the server finish its jobs; `is_enabled: false` gives them to other servers at once.

    A new `url` without an `auth_header_value` removes the stored header, which was meant for the old address.
    """
    staff(request, "generations.change_comfyserver")
    return _save(_find(id), payload.model_dump(exclude_unset=True, exclude_none=True))


@operation(
    router,
    "DELETE",
    "/servers/{id}",
    scope=Scope.MANAGE,
    name="deleteServer",
    summary="Remove a ComfyUI server (staff)",
    returns={204: None},
    errors=(404,),
)
def delete_server(request: HttpRequest, id: ServerId) -> Answer[None]:
    """Removes the server. Other servers run its unfinished jobs."""
    staff(request, "generations.delete_comfyserver")
    _find(id).delete()
    return Answer(204, None)


@operation(
    router,
    "POST",
    "/servers/{id}/check",
    scope=Scope.MANAGE,
    name="checkServer",
    summary="Check a ComfyUI server (staff)",
    returns={200: ServerCheck},
    errors=(404,),
)
def check_server(request: HttpRequest, id: ServerId) -> ServerCheck:
    """Asks the server whether it works, and reads its node types again."""
    staff(request, "generations.change_comfyserver")
    server = _find(id)
    is_answering, message = server_check.check(server)
    return ServerCheck(is_answering=is_answering, message=message, server=_describe(_find(id)))


def _find(pk: int) -> ComfyServer:
    return get_object_or_404(ComfyServer.objects.defer("object_info"), pk=pk)


def _save(server: ComfyServer, changes: dict[str, Any]) -> ServerOut:
    """The saved server. Raises Django's ValidationError."""
    if "auth_header_value" in changes:
        server.give_header(changes.get("auth_header_name", server.auth_header_name), changes.pop("auth_header_value"))
        changes |= {"auth_header_name": server.auth_header_name, "auth_header_value": server.auth_header_value}
    for name, value in changes.items():
        setattr(server, name, value)
    server.full_clean(exclude=["object_info"])
    server.save(update_fields=None if server._state.adding else changes)
    return _describe(server)


def _describe(server: ComfyServer) -> ServerOut:
    return ServerOut(
        id=server.pk,
        name=server.name,
        url=server.url,
        slots=server.slots,
        is_enabled=server.is_enabled,
        is_draining=server.is_draining,
        is_history_kept=server.is_history_kept,
        are_files_offered=server.are_files_offered,
        state=server.state,
        state_message=server.state_message,
        is_online=server.is_online,
        comfyui_version=server.comfyui_version,
        seen_at=server.seen_at,
        auth_header_name=server.auth_header_name,
    )
