"""Files of one user on the ComfyUI that all share: no name, however it gets into a graph, reads somebody else's."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.security.conftest import Api, MakeKey
from tests.support.pictures import png
from tests.support.processes import Standalone
from tests.support.waiting import eventually

Graph = dict[str, Any]
FINISHED = {"succeeded", "failed", "canceled"}
SECRET, OWN = (200, 10, 10), (10, 10, 200)


def upload(client: httpx.Client, name: str, color: tuple[int, int, int]) -> None:
    files = {"file": (name, png(color), "image/png")}
    client.post("assets", files=files, data={"file_path": name}).raise_for_status()


def loading(value: object, **others: Any) -> Graph:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": value}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "got"}},
        **others,
    }


def finished(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"jobs/{job['id']}").raise_for_status().json()
        return found if found["status"] in FINISHED else None

    return eventually(look, what=f"the end of {job['id']}")


def color_of(client: httpx.Client, job: dict[str, Any]) -> tuple[int, ...]:
    done = finished(client, job)
    assert done["status"] == "succeeded", done
    (output,) = done["outputs"]
    content = client.get(f"assets/{output['id']}/content", follow_redirects=True).raise_for_status().content
    with Image.open(io.BytesIO(content)) as image:
        found = image.convert("RGB").getpixel((8, 8))
    assert isinstance(found, tuple)
    return tuple(int(part) for part in found)


@pytest.fixture
def victim(api: Api, make_key: MakeKey) -> httpx.Client:
    """Somebody with an upload and a result, both on the server's disk under names that can be guessed."""
    client = api(make_key(user={"is_superuser": True}, plan={"requests_per_minute": 100_000}))
    upload(client, "secret.png", SECRET)
    job = client.post("jobs", json={"workflow": loading("secret.png")}).raise_for_status().json()
    assert color_of(client, job) == SECRET
    return client


@pytest.fixture
def attacker(api: Api, make_key: MakeKey) -> httpx.Client:
    """Somebody else, who may send whole workflows, too."""
    return api(make_key(user={"is_superuser": True}, plan={"requests_per_minute": 100_000}))


@pytest.fixture
def names(victim: httpx.Client, running_server: Standalone) -> list[str]:
    """Every name that leads to the victim's files on that server."""
    folder = Path(running_server.env["DATA_DIR"]) / "simulator"
    results = sorted(path.relative_to(folder / "output").as_posix() for path in (folder / "output").rglob("*.png"))
    uploads = sorted(path.relative_to(folder / "input").as_posix() for path in (folder / "input/comfysaas").iterdir())
    assert results
    assert uploads
    return [
        "secret.png", "secret.png [input]", "comfysaas", "comfysaas/", "",
        *(f"{name} [output]" for name in results),
        *(f"{name}[output]" for name in results),
        *(f'"{name} [output]"' for name in results),
        *(f"../output/{name}" for name in results),
        *(str(folder / "output" / name) for name in results),
        *uploads,
        *(f"{name} [input]" for name in uploads),
        *(f"./{name}" for name in uploads),
        *(name.replace("/", "//") for name in uploads),
        *(f"../input/{name}" for name in uploads),
        *(name.upper() for name in uploads),
    ]  # fmt: skip


def through_a_text_node(name: str) -> Graph:
    return loading(["3", 0], **{"3": {"class_type": "PrimitiveString", "inputs": {"value": name}}})


def put_together(name: str) -> Graph:
    inputs = {"string_a": name[:3], "string_b": name[3:], "delimiter": ""}
    return loading(["3", 0], **{"3": {"class_type": "StringConcatenate", "inputs": inputs}})


WAYS: list[Callable[[str], Graph]] = [
    loading,
    lambda name: loading({"__value__": name}),
    lambda name: loading({"__value__": [name]}),
    through_a_text_node,
    put_together,
]


def test_no_name_reads_what_belongs_to_somebody_else(attacker: httpx.Client, names: list[str]) -> None:
    for way in WAYS:
        for name in names:
            response = attacker.post("jobs", json={"workflow": way(name)})
            assert response.status_code == 422, (name, response.text)
            error = response.json()["error"]
            assert error["code"] == "missing_asset", (name, error)
            assert [each["field"] for each in error["details"]["node_errors"]["1"]] == ["image"]
    assert attacker.get("jobs").json()["jobs"] == []


def test_my_own_file_is_read_under_a_name_that_others_have_too(victim: httpx.Client, attacker: httpx.Client) -> None:
    upload(attacker, "secret.png", OWN)
    for graph in (loading("secret.png"), loading("secret.png [input]"), through_a_text_node("secret.png")):
        job = attacker.post("jobs", json={"workflow": graph}).raise_for_status().json()
        assert color_of(attacker, job) == OWN
    (output,) = finished(attacker, job)["outputs"]
    name = attacker.get(f"assets/{output['id']}").raise_for_status().json()["file_path"]
    again = attacker.post("jobs", json={"workflow": loading(f"{name} [output]")}).raise_for_status().json()
    assert color_of(attacker, again) == OWN


@pytest.mark.parametrize("kind", ["string", "text"])
def test_no_text_of_a_template_is_published_where_it_would_name_a_file(api: Api, make_key: MakeKey, kind: str) -> None:
    author = api(make_key(user={"is_superuser": True, "is_staff": True}))
    bindings = [{"node_id": "1", "input_name": "image"}]
    package = {
        "format": "comfysaas-template", "revision": 1, "slug": "leak", "title": f"Leak by {kind}",
        "graph": loading("example.png"), "parameters": [{"name": "file", "type": kind, "bindings": bindings}],
    }  # fmt: skip
    files = {"file": ("leak.json", json.dumps(package).encode(), "application/json")}
    response = author.post("templates", files=files, data={"publish": "true"})
    assert response.status_code == 409
    assert "names a file on the server" in response.text
