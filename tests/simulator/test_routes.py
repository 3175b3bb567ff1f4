"""Addresses beside POST /prompt, their aliases, and pages that are kept out."""

from __future__ import annotations

from tests.simulator.driver import Driver
from tests.support.graphs import words
from tests.support.simulator import RunningSimulator


def test_every_route_has_its_alias_under_api(driver: Driver, simulator: RunningSimulator) -> None:
    assert driver.http.post("/api/prompt", json={"prompt": words()}).status_code == 200
    for path in ("prompt", "queue", "history", "object_info", "object_info/KSampler", "system_stats", "features"):
        assert driver.http.get(f"/api/{path}").status_code == driver.http.get(f"/{path}").status_code == 200
    assert driver.http.get("/interrupt").status_code == 404
    assert driver.http.post("/nowhere").status_code == 405


def test_small_endpoints(driver: Driver) -> None:
    assert driver.http.get("/system_stats").json()["system"]["comfyui_version"] == "0.3.64"
    assert driver.http.get("/features").json() == {"supports_preview_metadata": True, "max_upload_size": 104857600}
    assert "checkpoints" in driver.http.get("/models").json()
    assert "tiny-random-sd15.safetensors" in driver.http.get("/models/checkpoints").json()
    assert (
        driver.http.get("/models/loras").json()
        == driver.http.get("/object_info/LoraLoader").json()["LoraLoader"]["input"]["required"]["lora_name"][0]
    )
    assert driver.http.get("/models/unet").status_code == 404
    assert driver.http.get("/embeddings").json() == []
    assert driver.http.get("/object_info/Unknown").json() == {}


def test_page_of_another_origin_is_kept_out(driver: Driver) -> None:
    assert driver.http.get("/prompt", headers={"Origin": "https://evil.example"}).status_code == 403
    assert driver.http.get("/prompt", headers={"Origin": driver.url}).status_code == 200
    assert driver.http.options("/prompt", headers={"Origin": "https://evil.example"}).status_code == 200
