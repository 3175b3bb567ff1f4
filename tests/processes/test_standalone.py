"""`manage.py standalone`: first start, restart, and kill -9."""

from __future__ import annotations

import json
import re
import signal
import stat
from pathlib import Path

import httpx

from tests.support.processes import Process, Standalone, free_port
from tests.support.waiting import eventually
from tests.support.workflows import newest_object_info

ADMIN, DEMO = "an admin's password", "a demo password"


def job(client: httpx.Client, **inputs: object) -> str:
    body = {"inputs": {"prompt": "a fox", "width": 64, "height": 64, "steps": 2, **inputs}}
    return str(client.post("templates/text-to-image/jobs", json=body).json()["id"])


def status(client: httpx.Client, pk: str) -> str:
    return str(client.get(f"jobs/{pk}").json()["status"])


def test_the_first_start_says_what_one_has_to_know(tmp_path: Path) -> None:
    server = Standalone(tmp_path / "data")
    try:
        assert "SIMULATOR" in server.process.output
        passwords = dict(re.findall(r"(\S+@example\.com)\s+(\S+)", server.process.output))
        assert set(passwords) == {"admin@example.com", "demo@example.com"}
        assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600
        assert httpx.get(f"{server.url}/readyz").json() == {"status": "ok", "failed": []}
        with httpx.Client(base_url=server.url, follow_redirects=True) as visitor:
            token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', visitor.get("/").text)
            assert token is not None
            data = {"login": "demo@example.com", "password": passwords["demo@example.com"]}
            page = visitor.post("/accounts/login/", data={**data, "csrfmiddlewaretoken": token[1]})
            assert "Text to image" in page.text
        taken = Process("manage.py", "standalone", env=server.env)
        assert taken.wait() == 1
        assert "Set PORT to another one" in taken.output
    finally:
        assert server.process.signal(signal.SIGINT) == 0
    assert "go on at the next start" in server.process.output


def test_kill_9_in_the_middle_and_a_second_start_goes_on(tmp_path: Path) -> None:
    server = Standalone(tmp_path, ADMIN_PASSWORD=ADMIN, DEMO_PASSWORD=DEMO)
    assert re.search(r"demo@example.com\s+with the password that DEMO_PASSWORD gives", server.process.output)
    assert DEMO not in server.process.output
    assert ADMIN not in server.process.output
    with server.client("demo@example.com") as client:
        before = job(client)
        eventually(lambda: status(client, before) == "succeeded")
        running = job(client, steps=60)
        eventually(lambda: status(client, running) == "running")
        waiting = [job(client, seed=n) for n in range(3)]
        server.process.kill()
    server.process = Process("manage.py", "standalone", env=server.env)
    try:
        server.process.said("ready at")
        assert "Accounts: admin@example.com, demo@example.com" in server.process.output
        assert "manage.py changepassword admin@example.com" in server.process.output
        assert "DEMO_PASSWORD changes nothing" in server.process.output
        assert "Accounts made" not in server.process.output
        with server.client("demo@example.com") as client:
            assert status(client, before) == "succeeded"
            for pk in (running, *waiting):
                eventually(lambda pk=pk: status(client, pk) == "succeeded", seconds=60)  # type: ignore[misc]
                assert len(client.get(f"jobs/{pk}").json()["outputs"]) == 1
    finally:
        server.stop()


def test_with_a_real_servers_node_types_it_names_the_node_that_it_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "object_info.json").write_text(json.dumps(newest_object_info()))
    server = Standalone(tmp_path / "data", SIMULATOR_OBJECT_INFO=str(tmp_path / "object_info.json"))
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "Canny", "inputs": {"image": ["1", 0], "low_threshold": 0.4, "high_threshold": 0.8}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }
    try:
        assert re.search(r"It has the node types of .*/object_info.json", server.process.output)
        with server.client("admin@example.com") as client:
            pk = client.post("jobs", json={"workflow": graph}).raise_for_status().json()["id"]
            eventually(lambda: status(client, pk) == "failed")
            error = client.get(f"jobs/{pk}").json()["error"]
    finally:
        server.stop()
    assert error["message"] == "The simulator cannot run Canny nodes; it only knows what a real server told about them."
    assert (error["node_id"], error["class_type"]) == ("2", "Canny")


def test_a_wrong_file_of_node_types_is_explained_at_the_start(tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path), "PORT": str(free_port()), "SIMULATOR_OBJECT_INFO": "no-such-file.json"}
    process = Process("manage.py", "standalone", env=env)
    try:
        process.said("CommandError: SIMULATOR_OBJECT_INFO: no-such-file.json cannot be read: No such file or directory")
        assert process.wait() == 1
    finally:
        process.stop()
