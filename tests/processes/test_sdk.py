"""The official SDK of the Comfy API v2, as somebody who may send whole workflows and as somebody who may not."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_sdk import (
    AsyncComfy,
    Comfy,
    ComfyError,
    Forbidden,
    IdempotencyKeyReuse,
    InvalidWorkflow,
    JobFailed,
    MissingAsset,
    NotFound,
    OutputReady,
    Preview,
    Progress,
    StatusChange,
    Unauthorized,
    WorkflowFormatUi,
)
from PIL import Image

from tests.support.graphs import inverted
from tests.support.pictures import png
from tests.support.processes import ROOT, Standalone
from tests.support.waiting import eventually, patient
from tests.support.workflows import editor_workflow

GRAPH: dict[str, Any] = json.loads((ROOT / "generations" / "studio" / "starters" / "text-to-image.json").read_text())[
    "graph"
]


@pytest.fixture(scope="module")
def keys(server: Standalone) -> dict[str, str]:
    return {name: server.manage("create_api_key", f"{name}@example.com") for name in ("admin", "demo")}


@pytest.fixture
def client(server: Standalone, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    """Somebody who may submit whole workflows."""
    monkeypatch.setenv("COMFY_BASE_URL", server.url)
    with Comfy(api_key=keys["admin"]) as found:
        yield found


@pytest.fixture
def other(server: Standalone, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    """Somebody who may not."""
    monkeypatch.setenv("COMFY_BASE_URL", server.url)
    with Comfy(api_key=keys["demo"]) as found:
        yield found


def graph(seed: int, *, steps: int = 2) -> dict[str, Any]:
    made = copy.deepcopy(GRAPH)
    made["3"]["inputs"] |= {"seed": seed, "steps": steps}
    made["5"]["inputs"] |= {"width": 64, "height": 64}
    return made


def test_run_and_download(client: Comfy, tmp_path: Path) -> None:
    job = client.run(client.workflows.from_json(graph(1)), timeout=patient(60))
    assert job.status == "succeeded"
    (output,) = job.get_outputs("9")
    assert (output.type, output.content_type, output.job_id) == ("image", "image/png", job.id)
    whole = output.to_bytes()
    assert len(whole) == output.size_bytes
    assert Image.open(io.BytesIO(whole)).size == (64, 64)
    assert output.to_bytes(range=(4, 19)) == whole[4:20]
    assert output.to_file(tmp_path / "out.png").read_bytes() == whole
    assert output.get_download_url().url.endswith(f"/api/v2/assets/{output.id}/content")
    again = client.jobs.get(job.id)
    assert [each.id for each in again.outputs] == [output.id]
    found = again.get_workflow()
    assert (found.format, found.graph) == ("api", graph(1))


def test_events_tell_the_whole_story(client: Comfy) -> None:
    job = client.submit(client.workflows.from_json(graph(2, steps=60)))
    events = list(job.events())
    assert isinstance(events[0], StatusChange)
    statuses = [event.status for event in events if isinstance(event, StatusChange)]
    assert statuses[-1] == "succeeded"
    assert "running" in statuses
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress
    assert all(0 <= event.value <= 1 and event.nodes_total == 7 for event in progress)
    assert [event.value for event in progress] == sorted(event.value for event in progress)
    assert all(event.to_pil().size for event in events if isinstance(event, Preview))
    (output,) = [event.output for event in events if isinstance(event, OutputReady)]
    assert len(output.to_bytes()) == output.size_bytes


def test_events_of_a_finished_job_are_its_end(client: Comfy) -> None:
    job = client.run(client.workflows.from_json(graph(3)), timeout=patient(60))
    assert list(client.jobs.get(job.id).events()) == [StatusChange(status="succeeded", queue_position=None)]


def test_uploads_are_shared_and_reach_the_workflow(client: Comfy) -> None:
    workflow = client.workflows.from_json(inverted())
    asset = client.assets.from_bytes(png("#ff0000"), filename="red.png", content_type="image/png")
    workflow.set_input("1", "image", asset)
    job = client.run(workflow, timeout=patient(60))
    (output,) = job.outputs
    assert Image.open(io.BytesIO(output.to_bytes())).convert("RGB").getpixel((3, 3)) == (0, 255, 255)
    assert asset.created_new is True
    twin = client.assets.from_bytes(png("#ff0000"), filename="twin.png", content_type="image/png")
    twin.commit()
    assert (twin.created_new, twin.hash) == (False, asset.hash)
    assert twin.id != asset.id
    same = client.assets.from_bytes(png("#ff0000"), filename="twin.png", content_type="image/png")
    assert same.commit() == twin.id
    asset.delete()
    third = client.assets.from_bytes(png("#ff0000"), filename="third.png", content_type="image/png")
    third.commit()
    assert third.created_new is False  # its bytes outlive the first that was deleted


def test_a_file_of_somebody_else_is_missing(client: Comfy, other: Comfy) -> None:
    theirs = other.assets.from_bytes(png("#00ff00"), filename="green.png", content_type="image/png")
    workflow = inverted()
    workflow["1"]["inputs"]["image"] = theirs.as_reference()
    with pytest.raises(MissingAsset) as caught:
        client.submit(client.workflows.from_json(workflow))
    assert caught.value.details == {"node_errors": {"1": [{"field": "image", "reason": "missing_asset"}]}}
    mine = client.assets.from_bytes(png("#00ff00"), filename="green.png", content_type="image/png")
    mine.commit()
    assert mine.created_new is True  # that somebody else has the bytes cannot be found out


def test_an_idempotency_key_is_used_once_and_given_back_after_a_refusal(client: Comfy) -> None:
    with pytest.raises(InvalidWorkflow):
        client.submit(
            client.workflows.from_json({"1": {"class_type": "NoSuchNode", "inputs": {}}}), idempotency_key="k1"
        )
    job = client.submit(client.workflows.from_json(graph(4)), idempotency_key="k1")
    with pytest.raises(IdempotencyKeyReuse) as caught:
        client.submit(client.workflows.from_json(graph(4)), idempotency_key="k1")
    assert (caught.value.http_status, caught.value.idempotency_key) == (422, "k1")
    assert job.wait(patient(60)).status == "succeeded"


def test_cancel(client: Comfy) -> None:
    job = client.submit(client.workflows.from_json(graph(5, steps=2000)))
    eventually(lambda: job.refresh().status == "running", seconds=30, what="running")
    assert job.cancel().status in {"canceling", "canceled"}
    assert job.wait(patient(30)).status == "canceled"
    assert job.cancel().status == "canceled"
    with pytest.raises(JobFailed):
        job.result()


def test_errors_are_typed_and_name_the_nodes(client: Comfy) -> None:
    wrong = graph(6)
    del wrong["3"]["inputs"]["model"]
    wrong["9"]["class_type"] = "SaveNothing"
    with pytest.raises(InvalidWorkflow) as caught:
        client.submit(client.workflows.from_json(wrong))
    assert caught.value.details is not None
    assert caught.value.details["node_errors"]["9"][0]["reason"] == "unknown_class"
    wrong["9"]["class_type"] = "SaveImage"
    with pytest.raises(InvalidWorkflow) as caught:
        client.submit(client.workflows.from_json(wrong))
    assert caught.value.details["node_errors"]["3"][0]["field"] == "model"
    assert caught.value.request_id
    with pytest.raises(NotFound):
        client.jobs.get("00000000-0000-0000-0000-000000000000")
    with pytest.raises(WorkflowFormatUi):
        client.submit(client.workflows.from_json(editor_workflow()))
    with pytest.raises(ComfyError) as refused:
        client.submit(client.workflows.from_json(graph(7)), metadata={"0 wrong": "x"})
    assert refused.value.code == "metadata_invalid"


def test_a_failing_node_is_named_in_the_job(client: Comfy) -> None:
    wrong = graph(8)
    wrong["9"]["inputs"]["filename_prefix"] = "../../outside"
    job = client.submit(client.workflows.from_json(wrong))
    with pytest.raises(JobFailed):
        job.result()
    assert (job.status, job.error.node_id, job.error.class_type) == ("failed", "9", "SaveImage")
    assert job.error.message


def test_jobs_are_listed_by_label(client: Comfy, other: Comfy) -> None:
    for number in range(3):
        client.submit(client.workflows.from_json(graph(20 + number)), metadata={"batch": "one", "n": str(number)})
    found = list(client.list_jobs(metadata={"batch": "one"}, limit=2))
    assert [job.metadata["n"] for job in found] == ["2", "1", "0"]
    assert all(job.create_time and job.update_time for job in found)
    assert list(other.list_jobs(metadata={"batch": "one"})) == []
    with pytest.raises(ComfyError) as refused:
        list(client.list_jobs(metadata={"1 2": "x"}))
    assert refused.value.code == "invalid_metadata_filter"


async def test_the_async_client(server: Standalone, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", server.url)
    async with AsyncComfy(api_key=keys["admin"]) as client:
        job = await client.submit(client.workflows.from_json(graph(30)))
        events = [event async for event in job.events()]
        assert isinstance(events[-1], StatusChange)
        assert events[-1].status == "succeeded"
        await job.result()
        data = await job.outputs[0].to_bytes()
        assert Image.open(io.BytesIO(data)).size == (64, 64)


def test_whoever_may_not_is_told_so(other: Comfy) -> None:
    with pytest.raises(Forbidden) as caught:
        other.submit(other.workflows.from_json(graph(40)))
    assert caught.value.http_status == 403
    asset = other.assets.from_bytes(png("blue"), filename="blue.png", content_type="image/png")
    assert asset.commit()


def test_a_wrong_key_is_told_so(server: Standalone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", server.url)
    with Comfy(api_key="csk_wrong_wrong") as client, pytest.raises(Unauthorized):
        client.submit(client.workflows.from_json(graph(50)))


def test_a_revoked_key_closes_its_streams_at_once(
    server: Standalone, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    monkeypatch.setenv("COMFY_BASE_URL", server.url)
    headers = {"Authorization": f"Bearer {keys['admin']}"}
    with httpx.Client(base_url=f"{server.url}/api/v2/", headers=headers, timeout=patient(30)) as owner:
        made = owner.post("keys", json={"name": "short", "scopes": ["read", "raw", "run"]}).json()
        with Comfy(api_key=made["secret"]) as client:
            job = client.submit(client.workflows.from_json(graph(60, steps=3000)))
            stream = httpx.Client(headers={"Authorization": f"Bearer {made['secret']}"}, timeout=patient(30))
            with stream, stream.stream("GET", f"{server.url}/api/v2/jobs/{job.id}/events") as lines:
                iterator = lines.iter_lines()
                assert next(iterator).startswith("event: status")
                assert owner.delete(f"keys/{made['id']}").status_code == 204
                for _line in iterator:
                    pass
            with pytest.raises(Unauthorized):
                job.refresh()
        # The streams ended long before the job would have.
        assert owner.get(f"jobs/{job.id}").json()["status"] in {"queued", "running"}
        assert owner.post(f"jobs/{job.id}/cancel").status_code == 200
