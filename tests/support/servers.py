"""Servers with a header, servers with these models, and templates whose users choose among them."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from generations.models import ComfyServer
from tests.support.factories import CHECKPOINT, make_server, make_template, parameter, usual_catalog, version_of
from tests.support.workflows import with_models

# A server that wants a header, and an address that must not be sent it.
HEADER = {"Authorization": "Bearer secret"}
HEADER_FIELDS = {"auth_header_name": "Authorization", "auth_header_value": "Bearer secret"}
EVIL = "http://evil.example:8188"


def reload(server: ComfyServer) -> ComfyServer:
    """As the database has it."""
    return ComfyServer.objects.get(pk=server.pk)


def server_with(*models: str, name: str = "one", url: str = "http://127.0.0.1:1") -> ComfyServer:
    return make_server(name, url, object_info=with_models(*models), object_info_at=timezone.now())


def live_template() -> Any:
    models = parameter("model", "choice", "4", "ckpt_name", choices=[CHECKPOINT], default=CHECKPOINT, is_live=True)
    return make_template(parameters=[models])


def with_choice(**fields: Any) -> Any:
    """Users choose the checkpoint; `fields` of that parameter."""
    usual = {"choices": [CHECKPOINT, "b.safetensors"], "default": CHECKPOINT, "label": "Checkpoint"}
    return version_of(make_template(parameters=[parameter("model", "choice", "4", "ckpt_name", **(usual | fields))]))


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    """The usual node classes, with these required inputs of one of them."""
    nodes: dict[str, Any] = json.loads(usual_catalog())
    nodes[node]["input"]["required"].update(inputs)
    return nodes
