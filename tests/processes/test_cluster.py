"""Web, relay and worker as processes of their own, on PostgreSQL, Redis and S3 over HTTP, with two ComfyUIs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket
from comfy_sdk import Comfy
from PIL import Image

from tests.benchmarks.common import graph, sessions
from tests.support import s3
from tests.support.observing import descendants
from tests.support.processes import Cluster, Process, add_server, answers, free_port, running_cluster
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually, patient

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.s3,
    pytest.mark.xdist_group("cluster"),
]
CREATE_USER = "from accounts.models import User; User.objects.create_user('{0}', 'a long password')"


@pytest.fixture(scope="module")
def simulators() -> Iterator[list[RunningSimulator]]:
    with RunningSimulator(step_seconds=0.02) as one, RunningSimulator(step_seconds=0.02) as two:
        yield [one, two]


@pytest.fixture(scope="module")
def cluster(postgres_url: str, redis_url: str, simulators: list[RunningSimulator]) -> Iterator[Cluster]:
    with running_cluster(postgres_url, redis_url) as running:
        for number, simulator in enumerate(simulators):
            add_server(running.env["DATABASE_URL"], f"server {number}", simulator.url)
        running.start("relay")
        running.start("worker")
        yield running


@pytest.fixture
def api(cluster: Cluster) -> Iterator[Callable[[str], httpx.Client]]:
    """A client with the key of a new user."""
    with ExitStack() as stack:

        def make(email: str) -> httpx.Client:
            cluster.manage("shell", "--verbosity", "0", "-c", CREATE_USER.format(email))
            headers = {"Authorization": f"Bearer {cluster.manage('create_api_key', email)}"}
            return stack.enter_context(
                httpx.Client(base_url=f"{cluster.url}/api/v2/", headers=headers, timeout=patient(20))
            )

        yield make


def run(client: httpx.Client, **inputs: Any) -> str:
    body = {"inputs": {"prompt": "a fox", "width": 64, "height": 64, "steps": 3, **inputs}}
    response = client.post("templates/text-to-image/jobs", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def finished(client: httpx.Client, job: str, *, seconds: float = 60) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = client.get(f"jobs/{job}").json()
        return body if body["status"] in {"succeeded", "failed", "canceled"} else None

    return eventually(look, seconds=seconds, what=f"the end of job {job}")


def pixels(file: Path | io.BytesIO) -> bytes:
    with Image.open(file) as image:
        return image.convert("RGB").tobytes()


def test_a_job_goes_all_the_way_and_only_its_owner_sees_it(
    cluster: Cluster, simulators: list[RunningSimulator], api: Callable[[str], httpx.Client]
) -> None:
    owner, stranger = api("owner@example.com"), api("stranger@example.com")
    jobs = [run(owner, seed=n) for n in range(8)]
    done = [finished(owner, job) for job in jobs]
    assert {job["status"] for job in done} == {"succeeded"}
    assert all(list((Path(each.data_dir) / "output").rglob("*.png")) for each in simulators), "one server did nothing"
    (output,) = done[0]["outputs"]
    link = owner.get(f"assets/{output['id']}/content")
    assert link.status_code == 302
    content = httpx.get(link.headers["Location"]).content
    originals = [path for each in simulators for path in (Path(each.data_dir) / "output").rglob("*.png")]
    assert pixels(io.BytesIO(content)) in {pixels(path) for path in originals}
    assert b"class_type" not in content  # the server's own metadata is not for users
    with closing(s3.client(cluster.env["S3_ENDPOINT_URL"])) as bucket:
        keys = sorted(each["Key"] for each in bucket.list_objects_v2(Bucket=s3.BUCKET, Prefix="outputs/")["Contents"])
    expected = sorted(f"outputs/{job}/1.0{suffix}" for job in jobs for suffix in ("", ".thumb"))
    assert [key for key in keys if key.split("/")[1] in jobs] == expected
    assert stranger.get(f"jobs/{jobs[0]}").status_code == 404
    assert stranger.get(f"assets/{output['id']}").status_code == 404
    assert stranger.get(f"assets/{output['id']}/content").status_code == 404


def test_slots_and_schedule_of_a_worker_are_one_process(cluster: Cluster, api: Callable[[str], httpx.Client]) -> None:
    """Each process more would be as large as the first."""
    client = api("one@example.com")
    finished(client, run(client, seed=1))
    decoders = {}
    for name in ("worker", "relay"):
        pid = cluster.processes[name].pid
        programs = [Path(f"/proc/{each}/cmdline").read_text() for each in descendants(pid) if each != pid]
        assert all("decoder_process" in each for each in programs), programs
        decoders[name] = len(programs)
    assert 0 < decoders["relay"] <= 2  # it stores what is small
    assert decoders["worker"] <= 2


def test_killing_the_relay_and_the_worker_in_the_middle_loses_nothing(
    cluster: Cluster, simulators: list[RunningSimulator], api: Callable[[str], httpx.Client]
) -> None:
    client = api("killer@example.com")
    for each in simulators:
        each.hold()
    jobs = [run(client, seed=n, steps=20) for n in range(4)]
    eventually(lambda: any(client.get(f"jobs/{job}").json()["status"] == "running" for job in jobs))
    cluster.processes["relay"].kill()
    cluster.processes["worker"].kill()
    for each in simulators:
        each.go_on()
    cluster.start("relay2")
    cluster.start("worker2")
    done = [finished(client, job, seconds=90) for job in jobs]
    assert {job["status"] for job in done} == {"succeeded"}
    assert all(len(job["outputs"]) == 1 for job in done)


def test_a_cluster_without_its_secret_does_not_start(postgres_url: str) -> None:
    from tests.support.processes import Process

    process = Process("manage.py", "check", env={"DATABASE_URL": postgres_url, "DATA_DIR": "/nonexistent"})
    assert process.wait() != 0
    assert "SECRET_KEY is required" in process.output


def test_a_browser_that_does_not_answer_is_dropped_and_others_are_not(cluster: Cluster) -> None:
    """It holds its connection open and takes nothing: the web server's pings find out. Others go on hearing."""
    cluster.manage("shell", "--verbosity", "0", "-c", CREATE_USER.format("slow@example.com"))
    (session,) = sessions(cluster, ["slow@example.com"])
    port = free_port()
    options = ["-b", "127.0.0.1", "-p", str(port), "--ping-interval", "1", "--ping-timeout", str(round(patient(1)))]
    web = Process("-m", "daphne", *options, "comfysaas.asgi:application", env=cluster.env)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60, what="web")
        url, cookie = f"ws://127.0.0.1:{port}/ws/generations/", f"sessionid={session}"
        deaf, alive = (
            websocket.create_connection(url, cookie=cookie, origin=cluster.url, timeout=patient(20)) for _ in range(2)
        )
        with closing(deaf), closing(alive):
            alive.settimeout(0.2)
            raw = deaf.sock
            assert raw is not None

            def is_dropped() -> bool:
                with suppress(websocket.WebSocketTimeoutException):
                    alive.recv()  # answers pings on the way
                raw.settimeout(0.1)
                try:
                    return raw.recv(4096) == b""
                except TimeoutError:
                    return False
                except ConnectionResetError:
                    return True

            eventually(is_dropped, seconds=30, what="dropping the deaf browser")
            with pytest.raises(websocket.WebSocketTimeoutException):  # open, and nothing to say
                alive.recv()
    finally:
        web.stop()


def test_streams_webhooks_and_the_sdk_work_over_processes(
    cluster: Cluster,
    simulators: list[RunningSimulator],
    api: Callable[[str], httpx.Client],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events come over Redis, files from S3; a key revoked elsewhere closes its stream; a worker tells the webhook."""
    program = api("sdk@example.com")
    grant = (
        "from django.contrib.auth.models import Permission; from accounts.models import User;"
        "User.objects.get(email='sdk@example.com').user_permissions.add("
        "Permission.objects.get(codename='submit_raw_workflow'))"
    )
    cluster.manage("shell", "--verbosity", "0", "-c", grant)
    monkeypatch.setenv("COMFY_BASE_URL", cluster.url)
    key = program.headers["Authorization"].removeprefix("Bearer ")
    refused = program.post("webhooks", json={"url": "https://127.0.0.1/"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_address")
    hook = program.post("webhooks", json={"url": "https://hook.invalid/"}).json()
    with Comfy(api_key=key) as client:
        workflow = client.workflows.from_json(graph(77))
        workflow.set_input("3", "steps", 40)
        job = client.submit(workflow)
        kinds = [type(event).__name__ for event in job.events()]
        assert "Progress" in kinds
        assert kinds[-1] == "StatusChange"
        (output,) = job.result().outputs
        whole = output.to_bytes()
        assert len(whole) == output.size_bytes
        assert output.to_bytes(range=(2, 9)) == whole[2:10]
        assert output.get_download_url().url.startswith(cluster.env["S3_ENDPOINT_URL"])
        asset = client.assets.from_bytes(whole, filename="again.png", content_type="image/png")
        asset.commit()
        assert asset.created_new is False

        def tried() -> list[Any]:
            rows: list[Any] = program.get(f"webhooks/{hook['id']}/deliveries").json()["deliveries"]
            return [row for row in rows if row["error"]]

        (delivery,) = eventually(tried, seconds=30, what="an attempt to tell the webhook")
        assert (delivery["event"], delivery["state"]) == ("job.succeeded", "waiting")
        assert "could not be reached" in delivery["error"]

    for each in simulators:
        each.hold()
    long = run(program, steps=50)
    with program.stream("GET", f"jobs/{long}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: status"
        revoke = "from accounts.models import ApiKey; ApiKey.objects.filter(user__email='sdk@example.com').revoke()"
        cluster.manage("shell", "--verbosity", "0", "-c", revoke)
        assert not [line for line in lines if "succeeded" in line]
    for each in simulators:
        each.go_on()
    assert program.get("me").status_code == 401
