"""Asking a ComfyUI server how it is, outside of the relay: for the admin."""

from __future__ import annotations

import httpx

from generations import database
from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError
from generations.models import ComfyServer
from generations.models.server import ServerState

# Somebody waits for the answer in front of a page. The list of nodes is megabytes, and slow for the first time.
TIMEOUT = httpx.Timeout(25, connect=5)


def check(server: ComfyServer) -> tuple[bool, str]:
    """(does it answer, a sentence that says so). Notes its state and its node classes on the way."""
    database.release()
    try:
        with ComfyClient(server.url, headers=server.headers, timeout=TIMEOUT) as client:
            stats = client.system_stats()
            object_info = client.object_info()
    except (ComfyError, ValueError) as error:
        ComfyServer.objects.saw_unreachable(server.pk, message=str(error))
        return False, f"{server}: {error}"
    ComfyServer.objects.filter(url=server.url).saw_nodes(server.pk, object_info=object_info)
    ComfyServer.objects.saw_answer(server.pk)
    if server.state == ServerState.STUCK:
        return False, f"{server} answers, but it is stuck. {server.state_message}"
    ComfyServer.objects.saw_online(server.pk, version=stats.version, is_simulator=stats.is_simulator)
    return True, f"{server} answers: ComfyUI {stats.version or '(unknown version)'}, {len(object_info)} node types."
