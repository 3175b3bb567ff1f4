"""Websockets: who hears what, negotiation, and the registry's flaws."""

from __future__ import annotations

import json
import struct

import httpx

from tests.simulator.driver import Driver, kind_of
from tests.support.graphs import node, plain, text_to_image, words
from tests.support.simulator import RunningSimulator
from tests.support.waiting import patient


def test_first_message_has_the_session_id(driver: Driver) -> None:
    (first,) = driver.socket.frames
    assert first == {
        "type": "status",
        "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": driver.socket.client_id},
    }


def test_without_an_id_the_server_invents_one(driver: Driver) -> None:
    socket = driver.connect(client_id="&x")
    sid = socket.data("status")[0]["sid"]
    assert len(sid) == 32
    assert int(sid, 16)


def test_plain_http_on_the_socket_route_is_refused(driver: Driver) -> None:
    assert driver.http.get("/ws").status_code == 400


def test_first_flags_are_answered_and_later_ones_ignored(driver: Driver) -> None:
    socket = driver.connect(flags={"supports_preview_metadata": True})
    assert socket.frames[1] == {
        "type": "feature_flags",
        "data": {"supports_preview_metadata": True, "max_upload_size": 104857600},
    }
    socket.raw.send(json.dumps({"type": "feature_flags", "data": {}}))
    assert socket.is_silent()


def test_broken_messages_do_not_use_up_the_negotiation(driver: Driver) -> None:
    socket = driver.connect()
    for text in ("{not json", "[]", "5"):
        socket.raw.send(text)
    socket.raw.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
    assert kind_of(socket.read()) == "feature_flags"


def test_message_of_another_type_uses_it_up(driver: Driver) -> None:
    socket = driver.connect()
    socket.raw.send(json.dumps({"type": "hello"}))
    socket.raw.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
    assert socket.is_silent()


def test_only_true_switches_metadata_on(driver: Driver) -> None:
    socket = driver.connect(flags={"supports_preview_metadata": 1})
    driver.submit(text_to_image(), client_id=socket.client_id)
    socket.read_until("executing", node=None)
    assert {kind for kind in socket.kinds() if kind.startswith("binary")} == {"binary 1"}


def test_previews_with_metadata_name_their_node(driver: Driver) -> None:
    socket = driver.connect(flags={"supports_preview_metadata": True})
    prompt_id = driver.submit(text_to_image(), client_id=socket.client_id)
    socket.read_until("executing", node=None)
    frame = next(frame for frame in socket.frames if isinstance(frame, bytes))
    kind, length = struct.unpack(">II", frame[:8])
    assert kind == 4
    assert json.loads(frame[8 : 8 + length]) == {
        "node_id": "3",
        "prompt_id": prompt_id,
        "display_node_id": "3",
        "parent_node_id": None,
        "real_node_id": "3",
        "image_type": "image/jpeg",
    }
    assert frame[8 + length :].startswith(b"\xff\xd8")


def test_others_hear_only_the_queue(driver: Driver) -> None:
    other = driver.connect()
    driver.run(text_to_image())
    driver.http.post("/queue", json={"clear": True})  # a last broadcast
    driver.socket.read_until("status")
    while len(other.data("status")) < len(driver.socket.data("status")):
        other.read()
    assert set(other.kinds()) == {"status"}


def test_prompt_without_client_id_is_heard_by_all_and_incompletely(driver: Driver) -> None:
    driver.http.post("/prompt", json={"prompt": text_to_image()})
    driver.socket.read_until("status", status={"exec_info": {"queue_remaining": 0}})
    assert set(driver.socket.kinds()) == {"status", "progress_state", "progress", "binary 1"}


def test_prompt_with_an_empty_client_id_is_heard_by_nobody(driver: Driver) -> None:
    driver.http.post("/prompt", json={"prompt": text_to_image(), "client_id": ""})
    driver.socket.read_until("status", status={"exec_info": {"queue_remaining": 0}})
    assert set(driver.socket.kinds()) == {"status"}


def test_interrupt_of_a_prompt_without_client_id_is_told_to_all(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.simulator.environment.step_seconds = 0.05
    driver.http.post("/prompt", json={"prompt": text_to_image(steps=1000)})
    driver.socket.read_until("progress")
    driver.http.post("/interrupt")
    driver.socket.read_until("execution_interrupted")


def test_second_socket_with_the_same_id_silences_the_first(driver: Driver) -> None:
    second = driver.connect(driver.socket.client_id)
    driver.submit(words())
    second.read_until("executing", node=None)
    assert driver.socket.is_silent()


def test_late_end_of_the_first_socket_makes_the_second_deaf(driver: Driver) -> None:
    second = driver.connect(driver.socket.client_id)
    driver.socket.close()
    witness = driver.connect()
    driver.submit(words(), client_id=driver.socket.client_id)
    witness.read_until("status", status={"exec_info": {"queue_remaining": 0}})
    assert second.is_silent()


def test_socket_that_connects_during_a_run_hears_the_active_node(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.simulator.environment.step_seconds = 0.05
    driver.submit(text_to_image(steps=1000))
    driver.socket.read_until("progress")
    again = driver.connect(driver.socket.client_id)
    while again.read() != {"type": "executing", "data": {"node": "3"}}:
        assert len(again.frames) < 50
    stranger = driver.connect()
    assert stranger.is_silent(0.1)


def test_pictures_over_the_socket_are_whole_pngs(driver: Driver) -> None:
    graph = {
        "1": node("EmptyImage", width=33, height=20, batch_size=2, color=255),
        "9": node("SaveImageWebsocket", images=["1", 0]),
    }
    for _ in range(2):  # never from the cache
        entry = driver.run(graph)
        assert entry["outputs"] == {}
    pictures = [frame for frame in driver.socket.frames if isinstance(frame, bytes)]
    assert len(pictures) == 4
    assert all(frame[:8] == struct.pack(">II", 1, 2) and frame[8:].startswith(b"\x89PNG") for frame in pictures)


def test_events_can_come_before_the_reply(driver: Driver, simulator: RunningSimulator) -> None:
    simulator.faults.events_before_reply = 5.0
    try:
        body = {"prompt": plain(), "client_id": driver.socket.client_id}
        driver.http.post("/prompt", json=body, timeout=httpx.Timeout(patient(10), read=0.1))
    except httpx.TimeoutException:
        pass
    else:
        raise AssertionError("the reply came before its time")
    driver.socket.read_until("executing", node=None)
