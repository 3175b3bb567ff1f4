"""Nodes that return, need or send what few others do, on their way through the relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from generations import importing, services
from generations.models import Generation, Status, TemplateVersion
from generations.relay.supervisor import Supervisor
from generations.simulator.nodes.base import REGISTRY, Context, Node, Result
from tests.support.factories import make_template, make_user, parameter, version_of
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.django_db(transaction=True)
Reaches = Callable[..., Generation]
SIZE = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
IMAGE = {"class_type": "EmptyImage", "inputs": SIZE}


class Talkative(Node):
    """Returns a text where a list belongs, which ComfyUI takes apart."""

    class_type, is_output = "Talkative", True
    required: ClassVar[Any] = {"images": ("IMAGE",)}

    def run(self, context: Context, **inputs: Any) -> Result:
        return Result((), {"text": list("The mood of this picture is calm. " * 10)})


class Area(Node):
    """Looks itself up in the editor's workflow, as nodes do that draw on themselves."""

    class_type = "Area"
    required: ClassVar[Any] = {"images": ("IMAGE",)}
    returns = ("IMAGE",)
    seen: ClassVar[list[dict[str, Any]]] = []

    def run(self, context: Context, **inputs: Any) -> Result:
        nodes = context.extra_pnginfo["workflow"]["nodes"]
        (own,) = [node for node in nodes if node["id"] == int(context.node_id)]
        self.seen.append(own)
        return Result((inputs["images"],))


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    Area.seen.clear()
    for node in (Talkative, Area):
        monkeypatch.setitem(REGISTRY, node.class_type, node)


def submit(graph: dict[str, Any], *parameters: dict[str, Any], **inputs: Any) -> Generation:
    template = make_template(graph=graph, parameters=list(parameters))
    return services.submit(user=make_user(), version=version_of(template), inputs=inputs)


def test_a_text_that_comfyui_took_apart_is_one_output(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    talkative = {"class_type": "Talkative", "inputs": {"images": ["1", 0]}}
    done = reaches(submit({"1": IMAGE, "2": talkative}), Status.SUCCEEDED)
    (output,) = done.outputs.all()
    assert (output.kind, output.value) == ("text", "The mood of this picture is calm. " * 10)


AREA: dict[str, Any] = {
    "1": IMAGE,
    "2": {"class_type": "Area", "inputs": {"images": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
}


def test_a_node_finds_itself_in_the_workflow(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    reaches(submit(AREA, parameter("width", "integer", "1", "width"), width=128), Status.SUCCEEDED)
    (own,) = Area.seen
    assert (own["type"], own["inputs"][0]["name"]) == ("Area", "images")


def test_a_node_finds_what_the_editor_kept_of_it(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    user = make_user()
    template = make_template(graph=AREA, parameters=[], publish=False)
    version = template.add_version(
        graph=AREA, parameters=[], editor={"2": {"properties": {"values": [[0, 0, 64, 64, 1.0]]}}}, publish=True
    )
    reaches(services.submit(user=user, version=version, inputs={}), Status.SUCCEEDED)
    assert Area.seen[0]["properties"]["values"] == [[0, 0, 64, 64, 1.0]]


def test_a_whole_workflow_brings_its_own_or_one_is_made(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    user = make_user(is_superuser=True)
    editor = {"nodes": [{"id": 2, "type": "Area", "properties": {"values": "mine"}}], "links": []}
    for height, given in ((64, editor), (72, None)):
        graph = {**AREA, "1": {"class_type": "EmptyImage", "inputs": {**SIZE, "height": height}}}
        reaches(services.submit_raw(user=user, workflow=graph, editor=given), Status.SUCCEEDED)
    assert [own["properties"].get("values") for own in Area.seen] == ["mine", None]


def test_the_partner_key_is_not_in_what_is_written_into_files(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    user = make_user(is_superuser=True)
    done = reaches(
        services.submit_raw(user=user, workflow=AREA, extras=services.Extras(partner_key="partner-secret")),
        Status.SUCCEEDED,
    )
    (file,) = (simulator.data_dir / "output").rglob("*.png")
    assert b"partner-secret" not in file.read_bytes()
    with file.open("rb") as stream:
        assert importing.origin_of(stream) == done  # the mark is where it was
    assert TemplateVersion.objects.get(pk=done.version_id).editor is None
