"""One generation's way through relay, simulator and storage, and what happens when something breaks on it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from channels.layers import get_channel_layer
from django.utils import timezone
from PIL import Image

from generations.files import storage
from generations.lifecycle import services
from generations.live import events
from generations.live.publisher import sender
from generations.models import Asset, ComfyServer, Generation, Status
from generations.relay import timing
from generations.relay.supervisor import Supervisor
from tests.generations.conftest import running_relay
from tests.support.factories import (
    make_asset,
    make_server,
    make_template,
    make_user,
    own,
    parameter,
    submit,
    txt2img_graph,
    version_of,
)
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

pytestmark = pytest.mark.django_db(transaction=True)
Reaches = Callable[..., Generation]


def stored(asset: Asset) -> bytes:
    with storage.open_key(asset.key) as file:
        return bytes(file.read())


def test_every_byte_of_a_result_arrives(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    template = make_template(is_workflow_removed=False)
    generation = reaches(submit(template=template, seed=42), Status.SUCCEEDED)
    assert generation.prompt_id == generation.pk
    assert generation.inputs["seed"] == "42"
    outputs = list(generation.outputs.select_related("asset"))
    assert [output.kind for output in outputs] == ["image", "image"]  # the recorded workflow makes two
    for output in outputs:
        assert output.asset is not None
        original = Path(simulator.data_dir) / "output" / "sub" / output.asset.name
        assert stored(output.asset) == original.read_bytes()
        assert (output.asset.content_type, output.asset.width, output.asset.height) == ("image/png", 64, 64)
        assert output.asset.thumbnail_key


def test_the_upstream_history_entry_is_removed_once_everything_is_stored(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    generation = reaches(submit(), Status.SUCCEEDED)
    eventually(lambda: not simulator.simulator.queue.history(str(generation.pk)))


def test_seen_at_is_renewed_while_the_server_answers(
    simulator: RunningSimulator, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "RECONCILE_SECONDS", 0.05)
    ComfyServer.objects.create(name="one", url=simulator.url)
    long_ago = timezone.now() - timedelta(days=1)
    with running_relay():
        eventually(lambda: ComfyServer.objects.filter(state="online").exists(), what="connecting")
        ComfyServer.objects.update(seen_at=long_ago)
        eventually(lambda: not ComfyServer.objects.filter(seen_at=long_ago).exists(), what="an answer that is noted")


def test_an_answer_is_noted_at_most_every_few_seconds(db: None) -> None:
    server = make_server()
    assert ComfyServer.objects.saw_answer(server.pk) == 1
    assert ComfyServer.objects.saw_answer(server.pk) == 0


def test_watchers_hear_the_whole_story_in_order(relay: Supervisor, reaches: Reaches) -> None:
    async def listen(workspace_id: int, ready: asyncio.Event) -> list[Any]:
        layer = get_channel_layer()
        assert layer is not None
        channel = await layer.new_channel()
        await layer.group_add(events.workspace_group(workspace_id), channel)
        ready.set()
        heard: list[Any] = []
        while not heard or not heard[-1].get("generation", heard[-1]).get("is_terminal"):
            heard.extend((await layer.receive(channel))["events"])
        return heard

    user, template = make_user(), make_template()
    ready = asyncio.Event()
    story = sender.run(listen(own(user).pk, ready))
    eventually(ready.is_set)
    reaches(submit(template, user), Status.SUCCEEDED)
    heard = story.result(patient(20))
    kinds = [event["type"] for event in heard]
    assert kinds[0] == kinds[-1] == "snapshot"
    assert {"status", "progress", "output"} <= set(kinds)
    statuses = [event["status"] for event in heard if event["type"] == "status"]
    order = ["submitted", "running", "storing"]
    assert [status for status in order if status in statuses] == sorted(set(statuses), key=order.index)
    values = [event["progress"]["value"] for event in heard if event["type"] == "progress"]
    assert values == sorted(values)
    assert all(event["prompt_id"] == heard[0]["prompt_id"] for event in heard)


def test_nothing_an_output_node_returns_is_dropped(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    size = {"width": 64, "height": 64, "batch_size": 3, "color": 255}
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {
            "class_type": "SaveAnimatedWEBP",
            "inputs": {
                "images": ["1", 0], "filename_prefix": "a", "fps": 6.0, "lossless": True, "quality": 80,
                "method": "default",
            },
        },
        "4": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 12.0}},
        "5": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["4", 0], "filename_prefix": "v", "format": "auto", "codec": "auto"},
        },
        "6": {"class_type": "EmptyAudio", "inputs": {"duration": 0.2, "sample_rate": 44100, "channels": 1}},
        "7": {"class_type": "SaveAudio", "inputs": {"audio": ["6", 0], "filename_prefix": "s"}},
        "8": {"class_type": "PrimitiveString", "inputs": {"value": "words"}},
        "9": {"class_type": "PreviewAny", "inputs": {"source": ["8", 0]}},
    }  # fmt: skip
    template = make_template(graph=graph, parameters=[parameter("text", "string", "8", "value")])
    generation = services.submit(user=make_user(), version=version_of(template), inputs={"text": "größe"})
    outputs = list(reaches(generation, Status.SUCCEEDED).outputs.select_related("asset"))
    kinds = [(output.node_id, output.kind, output.is_temporary) for output in outputs]
    assert sorted(kinds) == [
        ("2", "image", True), ("2", "image", True), ("2", "image", True), ("3", "image", False), ("5", "video", False),
        ("7", "audio", False), ("9", "text", False),
    ]  # fmt: skip
    types = {output.node_id: output.asset.content_type for output in outputs if output.asset}
    assert types == {"2": "image/png", "3": "image/webp", "5": "video/mp4", "7": "audio/flac"}
    assert next(output.value for output in outputs if output.kind == "text") == "größe"
    assert next(output.asset.thumbnail_key for output in outputs if output.kind == "video" and output.asset)


def test_a_failing_node_is_named_and_the_servers_paths_stay_hidden(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.faults.set(node_error={"VAEDecode": "cannot open /srv/comfyui/models/vae.pt"})
    generation = reaches(submit(), Status.FAILED)
    assert (generation.error_code, generation.error_node_id) == ("node_execution_error", "8")
    assert generation.error_class_type == "VAEDecode"
    assert "/srv" not in generation.error_message
    assert generation.error_detail["traceback"]


def test_running_out_of_memory_is_told_in_words(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.faults.set(oom={"KSampler": ""})
    generation = reaches(submit(), Status.FAILED)
    assert (generation.error_code, generation.attempt) == ("out_of_memory", 2)
    assert "smaller size" in generation.error_message


def test_a_workflow_that_comfyui_refuses_fails_with_the_node_at_fault(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    graph = txt2img_graph()
    graph["5"]["inputs"]["batch_size"] = "many"
    generation = reaches(submit(template=make_template(graph=graph)), Status.FAILED)
    assert (generation.error_code, generation.error_node_id) == ("invalid_workflow", "5")
    assert "batch_size" in generation.error_message


def test_a_workflow_of_which_only_a_part_can_run_is_refused(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    graph = txt2img_graph()
    graph["20"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["4", 0]}}
    generation = reaches(submit(template=make_template(graph=graph)), Status.FAILED)
    assert (generation.error_code, generation.error_node_id) == ("invalid_workflow", "20")


def test_comfyui_down_at_submit_means_waiting_and_saying_so(
    transactional_db: None, eager_tasks: None, reaches: Reaches
) -> None:
    from generations.live import snapshot

    with RunningSimulator() as first:
        port, data_dir = first.port, first.data_dir
    make_server(url=f"http://127.0.0.1:{port}")
    with running_relay():
        eventually(lambda: ComfyServer.objects.filter(state="unreachable").exists())
        generation = submit()
        assert "cannot be reached" in snapshot.status_event(generation)["message"]
        assert Generation.objects.get(pk=generation.pk).status == Status.QUEUED
        with RunningSimulator(port=port, data_dir=data_dir):
            done = reaches(generation, Status.SUCCEEDED)
    assert done.attempt == 1


def test_events_that_overtake_the_answer_are_not_lost(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.faults.set(events_before_reply=0.5)
    assert reaches(submit(), Status.SUCCEEDED).attempt == 1


def test_a_lost_answer_never_runs_a_prompt_twice(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.2)
    (agent,) = relay._agents.values()
    agent._session.client._http.timeout = httpx.Timeout(patient(0.5))
    simulator.faults.set(post_timeout=1)
    done = reaches(submit(), Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (1, 2)
    assert len(list((Path(simulator.data_dir) / "output" / "sub").iterdir())) == 2


def test_a_connection_closed_at_submit_is_tried_again(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.2)
    simulator.faults.set(close_prompts=1)
    assert reaches(submit(), Status.SUCCEEDED).outputs.count() == 2


def test_a_late_history_is_waited_for(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    simulator.faults.set(history_delay=0.4)
    assert reaches(submit(), Status.SUCCEEDED).attempt == 1


def test_noise_on_the_socket_harms_nobody(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    simulator.faults.set(unknown_messages=True, foreign_noise=True, nan_progress=True, output_null=True)
    assert reaches(submit(), Status.SUCCEEDED).outputs.count() == 2


def test_a_dropped_socket_costs_nothing(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    simulator.hold()
    generation = reaches(submit(steps=8), Status.RUNNING)
    simulator.faults.set(drop_sockets=True)
    simulator.go_on()
    done = reaches(generation, Status.SUCCEEDED)
    assert (done.attempt, done.outputs.count()) == (1, 2)


def test_what_a_restarted_comfyui_forgot_is_submitted_again(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.hold()
    generation = reaches(submit(steps=8), Status.RUNNING)
    simulator.restart()
    simulator.go_on()
    done = reaches(generation, Status.SUCCEEDED)
    assert done.attempt == 2
    assert done.prompt_id != done.pk


def test_what_is_lost_again_and_again_fails_with_a_sentence(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, settings: Any
) -> None:
    settings.MAX_ATTEMPTS = 1
    simulator.hold()
    generation = reaches(submit(steps=20), Status.RUNNING)
    simulator.restart()
    failed = reaches(generation, Status.FAILED)
    assert failed.error_code == "lost"


def test_cancel_stops_the_running_one_and_nobody_elses(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.hold()
    template = make_template()
    first, second = make_user("a@example.com"), make_user("b@example.com")
    running = reaches(submit(template, first, steps=50), Status.RUNNING)
    waiting = submit(template, second, steps=2, seed=5)
    reaches(waiting, Status.SUBMITTED)
    services.cancel(running)
    assert reaches(running, Status.CANCELED).outputs.count() == 0
    simulator.go_on()
    assert reaches(waiting, Status.SUCCEEDED).outputs.count() == 2


def test_cancel_takes_a_submitted_one_out_of_comfyuis_queue(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    simulator.hold()
    template, user = make_template(), make_user()
    running = reaches(submit(template, user, steps=30), Status.RUNNING)
    waiting = reaches(submit(template, user, seed=6), Status.SUBMITTED)
    services.cancel(waiting)
    reaches(waiting, Status.CANCELED)
    assert not simulator.simulator.queue.wire()["queue_pending"]
    simulator.go_on()
    assert reaches(running, Status.SUCCEEDED)


def test_an_input_picture_reaches_comfyui(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
    }
    template = make_template(graph=graph, parameters=[parameter("image", "image", "1", "image", required=True)])
    user = make_user()
    asset = make_asset(user)
    generation = services.submit(user=user, version=version_of(template), inputs={"image": str(asset.pk)})
    output = reaches(generation, Status.SUCCEEDED).outputs.get()
    assert output.asset is not None
    with Image.open(io.BytesIO(stored(output.asset))) as image:
        assert image.convert("RGB").getpixel((3, 3)) == (0, 255, 255)  # the inverse of red


def test_an_input_that_the_storage_cannot_give_now_is_waited_for(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.1)
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    template = make_template(graph=graph, parameters=[parameter("image", "image", "1", "image", required=True)])
    user = make_user()
    asset = make_asset(user)
    tries: list[str] = []
    open_key = storage.open_key

    def failing(key: str) -> Any:
        tries.append(key)
        if len(tries) < 3:
            msg = "the storage is down"
            raise OSError(msg)
        return open_key(key)

    monkeypatch.setattr(storage, "open_key", failing)
    generation = services.submit(user=user, version=version_of(template), inputs={"image": str(asset.pk)})
    assert reaches(generation, Status.SUCCEEDED).attempt == 1
    assert len(tries) >= 3


def test_a_deleted_input_fails_the_generation_with_a_sentence(
    relay: Supervisor, simulator: RunningSimulator, reaches: Reaches
) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    template = make_template(graph=graph, parameters=[parameter("image", "image", "1", "image", required=True)])
    user = make_user()
    asset = make_asset(user)
    ComfyServer.objects.update(is_draining=True)
    generation = services.submit(user=user, version=version_of(template), inputs={"image": str(asset.pk)})
    asset.delete()
    ComfyServer.objects.update(is_draining=False)
    assert reaches(generation, Status.FAILED).error_code == "input_missing"


def test_two_servers_share_the_work(relay: Supervisor, simulator: RunningSimulator, reaches: Reaches) -> None:
    template, user = make_template(), make_user()
    simulator.hold()
    with RunningSimulator() as other:
        other.hold()
        make_server("two", other.url)
        eventually(lambda: ComfyServer.objects.filter(state="online").count() == 2)
        generations = [submit(template, user, steps=4, seed=n) for n in range(8)]
        for each in (simulator, other):
            eventually(each.simulator.queue.remaining, what="work for both")
        simulator.go_on()
        other.go_on()
        done = [reaches(each, Status.SUCCEEDED) for each in generations]
        assert {each.server.name for each in done if each.server} == {"one", "two"}


def test_a_disabled_server_gets_no_work(relay: Supervisor, simulator: RunningSimulator) -> None:
    ComfyServer.objects.update(is_draining=True)
    generation = submit()
    ComfyServer.objects.update(is_draining=False, is_enabled=False)
    eventually(lambda: not relay._agents)
    assert Generation.objects.get(pk=generation.pk).status == Status.QUEUED
    eventually(lambda: ComfyServer.objects.get().lease_expires_at is None)
