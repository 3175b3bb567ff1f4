"""The REST API under /api/v2/: the Comfy API v2 for many users, and more."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import URLPattern
from django.utils.decorators import decorator_from_middleware
from ninja import NinjaAPI

from accounts.models import Scope
from generations.api import account, assets, errors, jobs, people, servers, templates, webhooks, workspaces
from generations.api.auth import allowed
from generations.api.body import StrictParser
from generations.api.middleware import Enveloped


class _Api(NinjaAPI):
    def _get_urls(self) -> list[Any]:
        urls = super()._get_urls()
        for url in urls:
            if isinstance(url, URLPattern):
                url.callback = decorator_from_middleware(Enveloped)(url.callback)
        return urls


api = _Api(
    title="comfysaas",
    version=settings.VERSION,
    description=(
        "Run published ComfyUI templates and, with permission, whole workflows. The API is a superset of the Comfy API "
        "v2. Sign in, or send `Authorization: Bearer csk_…`. Jobs are durable from the moment they are created: poll "
        "`GET jobs/{id}`, follow `GET jobs/{id}/events`, or add a webhook. A key works in one workspace; with a "
        "session, the header `X-Comfy-Workspace-ID` names the workspace of a request."
    ),
    auth=allowed(Scope.MANAGE),  # an operation that names no scope needs the greatest
    parser=StrictParser(),
    urls_namespace="api",
    docs_url=None,
    openapi_url="",
)

errors.register(api)
for _module, _tag in (
    (templates, "templates"),
    (jobs, "jobs"),
    (assets, "assets"),
    (webhooks, "webhooks"),
    (account, "account"),
    (workspaces, "workspaces"),
    (servers, "servers"),
    (people, "people"),
):
    api.add_router("/", _module.router, tags=[_tag])
