"""/view and the uploads: status codes, kinds of replies, names."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.simulator.driver import Driver
from tests.support.pictures import picture, png, png_with
from tests.support.simulator import RunningSimulator


@pytest.fixture
def output(simulator: RunningSimulator) -> Path:
    """The output folder, with a picture, a page, and a picture further down."""
    folder = simulator.data_dir / "output"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(picture(mode="RGBA", color=(255, 0, 0, 128)))
    (folder / "sub" / "b.png").write_bytes(png())
    (folder / "page.html").write_text("<p>")
    (simulator.data_dir / "input" / "in.png").write_bytes(png("blue"))
    return folder


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 404),
        ({"filename": ""}, 400),
        ({"filename": "/a.png"}, 400),
        ({"filename": "a..b.png"}, 400),
        ({"filename": "a.png"}, 200),
        ({"filename": "a.png", "type": "elsewhere"}, 400),
        ({"filename": "a.png", "type": "input"}, 404),
        ({"filename": "in.png [input]"}, 200),
        ({"filename": "in.png [input]", "type": "elsewhere"}, 200),
        ({"filename": "b.png", "subfolder": "sub"}, 200),
        ({"filename": "sub/b.png"}, 404),
        ({"filename": "sub/a.png"}, 200),
        ({"filename": "a.png", "subfolder": ".."}, 403),
        ({"filename": "a.png", "subfolder": "/etc"}, 403),
        ({"filename": "sub"}, 404),
        ({"filename": "none.png"}, 404),
        ({"filename": "page.html", "preview": "webp"}, 500),
    ],
)
def test_status_of_view(driver: Driver, output: Path, query: dict[str, str], status: int) -> None:
    assert driver.http.get("/view", params=query).status_code == status


def test_file_is_served_byte_for_byte_with_its_name(driver: Driver, output: Path) -> None:
    response = driver.http.get("/view", params={"filename": "a.png", "rand": "1"})
    assert response.content == (output / "a.png").read_bytes()
    assert response.headers["content-disposition"] == 'filename="a.png"'
    assert response.headers["content-type"] == "image/png"
    assert response.headers["accept-ranges"] == "bytes"


def test_pages_are_never_served_as_such(driver: Driver, output: Path) -> None:
    response = driver.http.get("/view", params={"filename": "page.html"})
    assert response.headers["content-type"] == "application/octet-stream"


def test_ranges_conditions_and_head(driver: Driver, output: Path) -> None:
    def get(**headers: str) -> httpx.Response:
        return driver.http.get("/view", params={"filename": "a.png"}, headers=headers)

    whole = get()
    part = get(Range="bytes=2-5")
    assert (part.status_code, part.content) == (206, whole.content[2:6])
    assert get(Range="bytes=999999-").status_code == 416
    assert get(**{"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = driver.http.head("/view", params={"filename": "a.png"})
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(whole.content))


@pytest.mark.parametrize(
    ("query", "kind", "mode"),
    [
        ({"preview": "webp;50"}, "WEBP", "RGBA"),
        ({"preview": "jpeg"}, "JPEG", "RGB"),
        ({"preview": "gif"}, "WEBP", "RGBA"),
        ({"preview": "jpeg", "channel": "a"}, "WEBP", "RGBA"),
        ({"preview": "webp", "channel": "rgb"}, "WEBP", "RGB"),
        ({"channel": "rgb"}, "PNG", "RGB"),
        ({"channel": "a"}, "PNG", "RGBA"),
    ],
)
def test_converted_pictures(driver: Driver, output: Path, query: dict[str, str], kind: str, mode: str) -> None:
    response = driver.http.get("/view", params={"filename": "a.png", **query})
    assert response.headers["content-type"] == f"image/{kind.lower()}"
    with Image.open(io.BytesIO(response.content)) as image:
        assert (image.format, image.mode) == (kind, mode)


def upload(driver: Driver, name: str, content: bytes, route: str = "image", **fields: str) -> httpx.Response:
    return driver.http.post(f"/upload/{route}", files={"image": (name, content)}, data=fields)


def test_same_content_keeps_its_name_and_other_content_gets_a_number(
    driver: Driver, simulator: RunningSimulator
) -> None:
    one, two, three = png("red"), png("green"), png("blue")
    names = [upload(driver, "doc.png", content).json()["name"] for content in (one, two, one, two, three)]
    assert names == ["doc.png", "doc (1).png", "doc.png", "doc (1).png", "doc (2).png"]
    folder = simulator.data_dir / "input"
    assert sorted(path.name for path in folder.iterdir()) == ["doc (1).png", "doc (2).png", "doc.png"]
    assert upload(driver, "doc.png", three, overwrite="true").json()["name"] == "doc.png"
    assert (folder / "doc.png").read_bytes() == three


def test_same_content_is_not_written_again(driver: Driver, simulator: RunningSimulator) -> None:
    upload(driver, "doc.png", png())
    stored = simulator.data_dir / "input" / "doc.png"
    os.utime(stored, (1, 1))
    upload(driver, "doc.png", png())
    assert stored.stat().st_mtime == 1
    upload(driver, "doc.png", png(), overwrite="true")
    assert stored.stat().st_mtime > 1


def test_upload_goes_where_it_is_told(driver: Driver, simulator: RunningSimulator) -> None:
    reply = upload(driver, "a.png", png(), type="temp", subfolder="x/y").json()
    assert reply == {"name": "a.png", "subfolder": "x/y", "type": "temp"}
    assert (simulator.data_dir / "temp" / "x" / "y" / "a.png").is_file()
    assert upload(driver, "a.txt", b"any file").json() == {"name": "a.txt", "subfolder": "", "type": "input"}


def test_uploaded_file_is_offered_by_load_image(driver: Driver) -> None:
    upload(driver, "fresh.png", png())
    info = driver.http.get("/object_info/LoadImage").json()["LoadImage"]
    assert "fresh.png" in info["input"]["required"]["image"][0]


@pytest.mark.parametrize(
    ("files", "fields", "status"),
    [
        ({}, {"subfolder": "x"}, 400),
        ({}, {"image": "text"}, 500),
        ({"image": ("a.png", b"x")}, {"type": "elsewhere"}, 500),
        ({"image": ("a.png", b"x")}, {"subfolder": "../x"}, 400),
        ({"image": ("../../a.png", b"x")}, {}, 400),
        ({"image": ("none/a.png", b"x")}, {}, 500),
    ],
)
def test_refused_uploads(
    driver: Driver, files: dict[str, tuple[str, bytes]], fields: dict[str, str], status: int
) -> None:
    files = files or {"other": ("b.png", b"x")}
    assert driver.http.post("/upload/image", files=files, data=fields).status_code == status


@pytest.mark.slow
def test_too_large_an_upload_is_refused(driver: Driver) -> None:
    response = upload(driver, "a.bin", bytes(105 * 1024 * 1024))
    assert response.status_code == 413
    assert response.text.startswith("Maximum request body size 104857600 exceeded")


def test_mask_replaces_the_alpha_channel_and_keeps_texts(driver: Driver, simulator: RunningSimulator) -> None:
    upload(driver, "a.png", png_with({"prompt": "{}"}))
    reference = json.dumps({"filename": "a.png", "type": "input"})
    mask = picture(mode="RGBA", color=(0, 0, 0, 77), size=(16, 16))
    reply = upload(driver, "masked.png", mask, route="mask", original_ref=reference)
    assert reply.json() == {"name": "masked.png", "subfolder": "", "type": "input"}
    with Image.open(simulator.data_dir / "input" / "masked.png") as image:
        assert image.getpixel((0, 0)) == (255, 0, 0, 77)
        assert image.info["prompt"] == "{}"


def test_mask_without_its_original_is_no_error_and_no_file(driver: Driver, simulator: RunningSimulator) -> None:
    reference = json.dumps({"filename": "none.png"})
    assert upload(driver, "m.png", png(), route="mask", original_ref=reference).status_code == 200
    assert not (simulator.data_dir / "input" / "m.png").exists()
    assert upload(driver, "m.png", png(), route="mask").status_code == 500
