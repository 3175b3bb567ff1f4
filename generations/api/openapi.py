"""The OpenAPI document: the static part, and one typed operation for each template that the reader may run."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from ninja.errors import AuthenticationError

from accounts.access import key_for_reading
from accounts.addresses import address_of
from accounts.current import chosen_workspace, workspace_of_key
from accounts.models import SuspendedError, User, Workspace
from accounts.rates import RateLimitedError
from generations.api import api
from generations.api.schemas.jobs import TemplateJobRequest
from generations.models import WorkflowTemplate
from generations.parameters.json_schema import json_schema
from generations.parameters.schema import Parameter
from generations.scheduling import fitness

PREFIX = "/api/v2/"
RUN = "/api/v2/templates/{slug}/jobs"
SAMPLES: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "string": "a text", "text": "a red fox"}
SAMPLE_FILE = "https://example.com/picture.png"


@require_safe
@never_cache
def openapi_json(request: HttpRequest) -> HttpResponse:
    """The document. With a key or a session it has that user's templates; 401 for a wrong key."""
    authorization = request.headers.get("Authorization", "")
    workspace: Workspace | None = None
    user: User | AnonymousUser = request.user
    if authorization:
        try:
            key = key_for_reading(authorization, address_of(request))
        except (RateLimitedError, SuspendedError) as error:
            return api.on_exception(request, error)
        if key is None:
            return api.on_exception(request, AuthenticationError())
        user, workspace = key.user, workspace_of_key(key)
    elif user.is_authenticated:
        workspace = chosen_workspace(request)
    found = document(user, workspace) if workspace else static_document()
    if settings.ROOT_PATH != "/":
        found = {**found, "servers": [{"url": settings.ROOT_PATH.rstrip("/")}]}
    return JsonResponse(found)


def document(user: User | AnonymousUser, workspace: Workspace) -> dict[str, Any]:
    """The document with the templates that this user may run in this workspace."""
    found = copy.deepcopy(static_document())
    fleet = fitness.Fleet.now()
    templates = WorkflowTemplate.objects.visible_to(user, workspace).select_related("published_version")
    runs = {
        RUN.replace("{slug}", template.slug): {"post": _operation(template, fleet, found)}
        for template in templates.order_by("position", "title", "pk")
    }
    return {**found, "paths": {**runs, **found["paths"]}}


@cache
def static_document() -> dict[str, Any]:
    """The part that does not depend on templates. Callers share the value: copy it before you change it."""
    found: dict[str, Any] = dict(api.get_openapi_schema(path_prefix=PREFIX))
    for item in found["paths"].values():
        for operation in item.values():
            operation["responses"] = {str(status): each for status, each in operation["responses"].items()}
    return found


def _operation(template: WorkflowTemplate, fleet: fitness.Fleet, found: dict[str, Any]) -> dict[str, Any]:
    """The general operation with this template's texts and inputs."""
    version = template.published_version
    assert version is not None  # noqa: S101  (visible ones are published)
    parameters = fleet.with_current_choices(version.parsed_parameters, version.graph, version.needs)
    general = found["paths"][RUN]["post"]
    reason = fleet.why_unavailable(version)
    about = [template.description, f"Not available at the moment: {reason}" if reason else ""]
    return {
        "operationId": "run_" + template.slug.replace("-", "_"),
        "summary": template.title,
        "description": "\n\n".join(part for part in about if part) or template.title,
        "tags": ["run a template"],
        "parameters": [each for each in general["parameters"] if each["in"] != "path"],
        "requestBody": {"required": True, "content": _body(parameters)},
        "responses": general["responses"],
        "security": general["security"],
        "x-scope": general["x-scope"],
    }


def _body(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    inputs = json_schema(parameters)
    del inputs["$schema"]
    body = TemplateJobRequest.model_json_schema()
    body["properties"]["inputs"] = inputs
    if inputs["required"]:
        body["required"] = ["inputs"]
    form = {
        **inputs,
        "properties": {
            each.name: {"type": "string", "format": "binary"} if each.is_media else inputs["properties"][each.name]
            for each in parameters
        },
    }
    return {
        "application/json": {"schema": body, "examples": {"usual": {"value": {"inputs": _example(parameters)}}}},
        "multipart/form-data": {"schema": form},
    }


def _example(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Required and basic inputs, as most people would set them."""
    return {each.name: _sample(each) for each in parameters if each.required or not each.is_advanced}


def _sample(parameter: Parameter) -> Any:
    if parameter.default not in (None, ""):
        return str(parameter.default) if parameter.type == "seed" else parameter.default
    if parameter.is_media:
        return SAMPLE_FILE
    if parameter.type == "choice":
        return parameter.choices[0]
    if parameter.type == "seed":
        return "random"
    sample = SAMPLES[parameter.type]
    if parameter.minimum is not None and not isinstance(sample, str):
        sample = max(sample, parameter.minimum)
    return sample if parameter.maximum is None or isinstance(sample, str) else min(sample, parameter.maximum)
