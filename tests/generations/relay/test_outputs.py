"""Nodes that return, need or send what few others do, on their way through the relay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from websocket import ABNF

from generations import origins
from generations.comfy.listener import Disconnected, Listener
from generations.comfy.messages import PreviewImage, PreviewImageWithMetadata
from generations.files import storage
from generations.lifecycle import raw, rerunning, services
from generations.models import ComfyServer, Generation, Status, TemplateVersion
from generations.relay import frames, timing
from generations.relay.collecting import Collector
from generations.relay.supervisor import Supervisor
from generations.simulator.nodes.base import REGISTRY, Context, Node, Result
from tests.generations.conftest import running_relay
from tests.support.factories import add_published_version, make_template, make_user, parameter, version_of
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually

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
    version = add_published_version(
        template, graph=AREA, parameters=[], editor={"2": {"properties": {"values": [[0, 0, 64, 64, 1.0]]}}}
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
        reaches(raw.submit(user=user, workflow=graph, editor=given), Status.SUCCEEDED)
    assert [own["properties"].get("values") for own in Area.seen] == ["mine", None]


def test_the_partner_key_is_not_in_what_is_written_into_files(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    user = make_user(is_superuser=True)
    done = reaches(
        raw.submit(user=user, workflow=AREA, extras=services.Extras(partner_key="partner-secret")),
        Status.SUCCEEDED,
    )
    (file,) = (simulator.data_dir / "output").rglob("*.png")
    assert b"partner-secret" not in file.read_bytes()
    with file.open("rb") as stream:
        assert origins.origin_of(stream) == done  # the mark is where it was
    assert TemplateVersion.objects.get(pk=done.version_id).editor is None


SEND: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {**SIZE, "batch_size": 2}},
    "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
}


def test_pictures_that_only_travel_over_the_socket_are_kept(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, media_root: Path
) -> None:
    done = reaches(submit(SEND), Status.SUCCEEDED)
    outputs = list(done.outputs.select_related("asset"))
    assert [(output.node_id, output.kind, output.is_temporary) for output in outputs] == [("2", "image", False)] * 2
    for output in outputs:
        assert output.asset is not None
        assert (output.asset.content_type, output.asset.width, output.asset.height) == ("image/png", 64, 64)
        assert output.asset.thumbnail_key
    assert [output.asset.name for output in outputs if output.asset] == ["websocket_00001_.png", "websocket_00002_.png"]
    eventually(lambda: not list(media_root.rglob("*.frame.*")), what="tidying up")


def test_the_same_again_is_sent_again(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    first = submit(SEND)
    reaches(first, Status.SUCCEEDED)
    assert reaches(rerunning.rerun(first, by=first.user, is_new_seed=False), Status.SUCCEEDED).outputs.count() == 2


def test_servers_that_send_frames_without_metadata_do_as_well(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = frames.Frames.hear

    def plain(self: frames.Frames, event: Any) -> bool:
        is_frame = isinstance(event, PreviewImageWithMetadata)
        return hear(self, PreviewImage(event.image, event.content_type) if is_frame else event)

    monkeypatch.setattr(frames.Frames, "hear", plain)
    assert reaches(submit(SEND), Status.SUCCEEDED).outputs.count() == 2


def test_a_picture_that_was_missed_is_made_again(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks in the middle of the pictures."""
    hear = frames.Frames.hear
    broken: list[Any] = []

    def breaking(self: frames.Frames, event: Any) -> bool:
        if isinstance(event, PreviewImageWithMetadata) and not broken:
            broken.append(event)
            hear(self, Disconnected("broken", was_connected=True))
        return hear(self, event)

    monkeypatch.setattr(frames.Frames, "hear", breaking)
    done = reaches(submit(SEND), Status.SUCCEEDED)
    assert broken
    assert (done.attempt, done.losses, done.outputs.count()) == (2, 1, 2)


def looks_often(relay: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not hear of an end to find it."""
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 0.2)
    (agent,) = relay._agents.values()
    agent._session.timers.reconcile = 0.0
    agent.wake()


def test_a_socket_that_stalls_between_two_pictures_costs_none_of_them(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes any more, and nothing says that the connection broke."""
    monkeypatch.setattr(timing, "FRAME_SECONDS", 1.0)
    receive = Listener._receive
    stalled: list[Any] = []

    def stalling(self: Listener, connection: Any) -> tuple[int, bytes]:
        while stalled and connection is stalled[0]:
            receive(self, connection)  # until we give the connection up
        opcode, data = receive(self, connection)
        if opcode == ABNF.OPCODE_BINARY:
            stalled.append(connection)
        return opcode, data

    monkeypatch.setattr(Listener, "_receive", stalling)
    looks_often(relay, monkeypatch)
    done = reaches(submit(SEND), Status.SUCCEEDED)
    assert stalled
    assert (done.attempt, done.losses, done.outputs.count()) == (2, 1, 2)


def test_pictures_that_come_slowly_are_waited_for(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each one comes in time, all of them together do not."""
    monkeypatch.setattr(timing, "FRAME_SECONDS", 20 * timing.HISTORY_RETRY_SECONDS)
    receive, may_hear_more = Listener._receive, Collector._may_hear_more
    waits: list[str] = []

    def waiting(self: Collector, prompt_id: str) -> bool:
        waits.append(prompt_id)
        return may_hear_more(self, prompt_id)

    def wait_and_receive(self: Listener, connection: Any) -> tuple[int, bytes]:
        opcode, data = receive(self, connection)
        if opcode == ABNF.OPCODE_BINARY:
            before = len(waits)
            eventually(lambda: len(waits) > before + 7, what="waiting for a picture")
        return opcode, data

    monkeypatch.setattr(Collector, "_may_hear_more", waiting)
    monkeypatch.setattr(Listener, "_receive", wait_and_receive)
    looks_often(relay, monkeypatch)
    image = {"class_type": "EmptyImage", "inputs": {**SIZE, "batch_size": 5}}
    done = reaches(submit({**SEND, "1": image}), Status.SUCCEEDED)
    assert (done.attempt, done.losses, done.outputs.count()) == (1, 0, 5)


def test_a_picture_that_is_missed_again_and_again_is_an_honest_failure(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames.Frames, "of", lambda *_arguments: None)
    failed = reaches(submit(SEND), Status.FAILED)
    assert (failed.error_code, failed.attempt) == ("lost", 2)
    assert "over the connection" in failed.error_message


def test_too_many_bytes_over_the_socket_are_a_failure_with_a_name(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_BYTES", 10)
    assert reaches(submit(SEND), Status.FAILED).error_code == "too_large"


def test_a_storage_that_is_down_delays_a_picture_and_does_not_lose_it(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.1)
    write_bytes = storage.write_bytes
    tries: list[str] = []

    def failing(key: str, content: bytes) -> None:
        tries.append(key)
        if len(tries) < 3:
            msg = "the storage is down"
            raise OSError(msg)
        write_bytes(key, content)

    monkeypatch.setattr(storage, "write_bytes", failing)
    done = reaches(submit(SEND), Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (1, 2)
    assert len(tries) > 2


def test_a_picture_that_cannot_be_stored_keeps_nothing_else_waiting(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server still runs and cancels what others sent."""
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.5)
    tries: list[str] = []
    write_bytes = storage.write_bytes

    def failing(key: str, content: bytes) -> None:
        if ".frame." not in key:
            write_bytes(key, content)
            return
        tries.append(key)
        msg = "the storage is down"
        raise OSError(msg)

    monkeypatch.setattr(storage, "write_bytes", failing)
    generation = submit(SEND)
    eventually(lambda: len(tries) > 1, what="trying again")
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    template = make_template("other", graph={"1": IMAGE, "2": save}, parameters=[])
    other = services.submit(user=make_user("other@example.com"), version=version_of(template), inputs={})
    assert reaches(other, Status.SUCCEEDED).outputs.count() == 1
    services.cancel(Generation.objects.get(pk=generation.pk))
    assert reaches(generation, Status.CANCELED).attempt == 1


def test_a_new_relay_that_missed_the_pictures_has_them_made_again(
    transactional_db: None, eager_tasks: None, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "START_SECONDS", 0.0)
    with RunningSimulator(job_seconds=0.5) as slow:
        ComfyServer.objects.create(name="one", url=slow.url)
        with running_relay():
            eventually(lambda: ComfyServer.objects.exclude(catalog_digest="").exists(), what="a catalog")
            generation = submit(SEND)
            reaches(generation, Status.RUNNING)
        assert Generation.objects.get(pk=generation.pk).status == Status.RUNNING  # the relay ended before it did
        with running_relay():
            done = reaches(generation, Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (2, 2)
