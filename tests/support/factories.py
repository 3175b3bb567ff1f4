"""Rows for tests, each in one call."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.models import ApiKey, Membership, Role, User, Workspace
from generations.comfy.catalog import digest_of
from generations.comfy.queued import inputs_to_resolve
from generations.lifecycle import services
from generations.models import (
    Asset,
    ComfyServer,
    Generation,
    Output,
    Status,
    StorageUsage,
    TemplateVersion,
    WorkflowTemplate,
)
from generations.models.generation import TERMINAL
from tests.support.pictures import png
from tests.support.simulator import usual_catalog

RECORDINGS = Path(__file__).parent.parent / "comfy" / "recordings"
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


def make_user(email: str = "somebody@example.com", password: str = "correct horse battery", **fields: Any) -> User:
    """A user who may sign in."""
    return User.objects.create_user(email, password, **fields)


def make_key(user: User, **fields: Any) -> str:
    """The secret of a new API key of this user."""
    return ApiKey.objects.issue(user=user, name="tests", **fields)[1]


def own(user: User) -> Workspace:
    """This person's personal workspace."""
    return Workspace.objects.personal_of(user)


def make_team(owner: User, *, admin: User | None = None, member: User | None = None, name: str = "Studio") -> Workspace:
    """A team with these people."""
    team = Workspace.objects.create(name=name)
    people = ((owner, Role.OWNER), (admin, Role.ADMIN), (member, Role.MEMBER))
    for user, role in people:
        if user is not None:
            Membership.objects.create(workspace=team, user=user, role=role)
    return team


def txt2img_graph() -> dict[str, Any]:
    """ComfyUI's default text-to-image workflow, as it was recorded, with a checkpoint that the simulator has."""
    recording = json.loads((RECORDINGS / "sd15_cold.json").read_text())
    graph: dict[str, Any] = copy.deepcopy(recording["prompt"])
    graph["4"]["inputs"]["ckpt_name"] = CHECKPOINT
    return graph


def parameter(name: str, kind: str, node_id: str, input_name: str, **fields: Any) -> dict[str, Any]:
    """One parameter's definition."""
    return {
        "name": name,
        "label": fields.pop("label", name.replace("_", " ").capitalize()),
        "type": kind,
        "bindings": [{"node_id": node_id, "input_name": input_name}],
        **fields,
    }


def txt2img_parameters() -> list[dict[str, Any]]:
    """What the default workflow usually exposes."""
    return [
        parameter("prompt", "text", "6", "text", default="a bottle of stars", required=True),
        parameter("negative_prompt", "text", "7", "text", default="watermark", required=False),
        parameter("seed", "seed", "3", "seed", is_advanced=True, required=False),
        parameter("steps", "integer", "3", "steps", default=4, minimum=1, maximum=50, is_advanced=True),
        parameter("cfg", "number", "3", "cfg", default=8.0, minimum=1, maximum=20, is_advanced=True),
        parameter("width", "integer", "5", "width", default=64, minimum=16, maximum=1024, step=8),
        parameter("height", "integer", "5", "height", default=64, minimum=16, maximum=1024, step=8),
    ]


def make_template(
    slug: str = "text-to-image",
    *,
    graph: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    publish: bool = True,
    **fields: Any,
) -> WorkflowTemplate:
    """A template with one version; `publish=False` leaves it a draft."""
    template = WorkflowTemplate.objects.create(slug=slug, title=fields.pop("title", "Text to image"), **fields)
    graph = graph if graph is not None else txt2img_graph()
    add_version = add_published_version if publish else WorkflowTemplate.add_version
    add_version(
        template,
        graph=graph,
        resolved_inputs=inputs_to_resolve(graph, None),
        parameters=parameters if parameters is not None else txt2img_parameters(),
    )
    template.refresh_from_db()
    return template


def add_published_version(template: WorkflowTemplate, **fields: Any) -> TemplateVersion:
    """The next version, which users run from now on, whether or not it is sound."""
    version = template.add_version(**fields)
    template.set_published(version)
    return version


def version_of(template: WorkflowTemplate) -> TemplateVersion:
    """Its newest version."""
    return template.versions.latest("number")


def make_generation(
    user: User, *, template: WorkflowTemplate | None = None, status: str = Status.QUEUED, **fields: Any
) -> Generation:
    """A generation with this status, and with the fields that the database requires for it."""
    template = template or WorkflowTemplate.objects.first() or make_template()
    now = timezone.now()
    assets = fields.pop("input_assets", [])
    if status == Status.QUEUED:
        fields.setdefault("tag", 0.0)  # in line
    if status in TERMINAL:
        fields.setdefault("finished_at", now)
    if status == Status.FAILED:
        fields.setdefault("error_code", "node_execution_error")
        fields.setdefault("error_message", "Something went wrong.")
    if status == Status.STORING:
        fields.setdefault("store_after", now)
        fields.setdefault("upstream_outputs", {})
    generation = Generation.objects.create(
        user=user,
        version=version_of(template),
        status=status,
        inputs=fields.pop("inputs", {"prompt": "a cat"}),
        **fields,
    )
    generation.input_assets.set(assets)
    return generation


def submit(template: WorkflowTemplate | None = None, user: User | None = None, **inputs: Any) -> Generation:
    """A generation as users send it; each has a user of its own unless one is given."""
    version = version_of(template or WorkflowTemplate.objects.first() or make_template())
    if any(each["name"] == "prompt" for each in version.parameters):
        inputs = {"prompt": "a cat", **inputs}
    user = user or make_user(f"{uuid.uuid4()}@example.com")
    generation = services.submit(user=user, version=version, inputs=inputs)
    generation.outlook = None  # of that moment; tests go on with the row
    return generation


def make_server(name: str = "one", url: str = "http://127.0.0.1:8188", **fields: Any) -> ComfyServer:
    """A ComfyUI server with the nodes and models of a simulator; `object_info=None`: nobody has reached it yet."""
    known = fields.setdefault("object_info", json.loads(usual_catalog()))
    if known is not None:
        fields = {"object_info_at": timezone.now(), "catalog_digest": digest_of(known), **fields}
    return ComfyServer.objects.create(name=name, url=url, **fields)


def make_asset(
    user: User, content: bytes = b"", *, key: str = "", content_type: str = "image/png", **fields: Any
) -> Asset:
    """A stored file; by default a small red picture."""
    from contextlib import closing

    from generations.files import spooling, storage

    content = content or png(size=(32, 24))
    asset_id = uuid.uuid4()
    key = key or storage.upload_key(asset_id)
    with closing(spooling.spool([content])) as spooled:
        storage.write(key, spooled)
        asset = Asset.objects.create(
            id=asset_id,
            user=user,
            name=fields.pop("name", "picture.png"),
            key=key,
            thumbnail_key=storage.write_thumbnail(key, spooled),
            content_type=content_type,
            size_bytes=spooled.size_bytes,
            hash=spooled.hash,
            width=spooled.look.width,
            height=spooled.look.height,
            **fields,
        )
        StorageUsage.objects.add_anyway(asset.workspace_id or 0, asset.size_bytes)
        return asset


def make_output(generation: Generation, *, position: int = 0, **fields: Any) -> Output:
    """One output: a picture, unless `value` is given."""
    if "value" not in fields and "asset" not in fields:
        fields["asset"] = make_asset(generation.user, name=f"ComfyUI_{position:05}_.png")
    fields.setdefault("kind", "text" if "value" in fields else "image")
    fields.setdefault("key", "images")
    return Output.objects.create(
        generation=generation, node_id=fields.pop("node_id", "9"), index=position, position=position, **fields
    )
