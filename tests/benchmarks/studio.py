"""From dropping a workflow of 200 or 500 nodes to the proposed form: in a browser, with a real server's node types.

The clock starts with the drop and stops when the form that users will see can be filled in.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.benchmarks.common import Result, milliseconds
from tests.support.processes import Standalone
from tests.support.workflows import OBJECT_INFO, editor_workflow

NODES = (200, 500)
TIMES = 7
TYPES = 2500  # what ComfyUI with the usual custom nodes tells
SMALL = {"NODES": (20,), "TIMES": 1, "TYPES": len(OBJECT_INFO) + 1}
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
DROP = """([text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], "many.json", { type: "application/json" }));
    const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer });
    document.querySelector(".studio-drop").dispatchEvent(event);
}"""


def workflow(nodes: int) -> dict[str, Any]:
    """Text to picture as the editor saves it, and a long chain of image nodes behind it: so many in all."""
    made = editor_workflow()
    save = next(node for node in made["nodes"] if node["type"] == "SaveImage")
    last, number = save["inputs"][0]["link"], 1000
    kinds = (("ImageScale", ["area", 512, 512, "disabled"]), ("ImageBlur", [1, 1.0]), ("ImageInvert", []))
    while len(made["nodes"]) < nodes:
        kind, values = kinds[number % len(kinds)]
        node = {
            "id": number, "type": kind, "mode": 0, "widgets_values": values,
            "inputs": [{"name": "image", "type": "IMAGE", "link": last}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [number]}],
        }  # fmt: skip
        made["nodes"].append(node)
        made["links"].append([number, number, 0, 0, 0, "IMAGE"])
        last, number = number, number + 1
    save["inputs"][0]["link"] = last
    return made


def measure() -> list[Result]:
    """The medians of a few drops; each makes a template of its own."""
    with tempfile.TemporaryDirectory() as folder:
        server = Standalone(Path(folder), ADMIN_PASSWORD="the bench's password")
        try:
            _add_types(server, Path(folder))
            return [milliseconds(f"studio_drop_{nodes}_nodes", _drops(server, nodes)) for nodes in NODES]
        finally:
            server.stop()


def _add_types(server: Standalone, folder: Path) -> None:
    info = dict(OBJECT_INFO)
    for number in range(TYPES - len(info)):
        info[f"Other{number}"] = OBJECT_INFO["KSampler"]
    path = folder / "object_info.json"
    path.write_text(json.dumps(info))
    server.manage(
        "shell",
        "-c",
        "import json; from generations.models import ComfyServer;"
        "server = ComfyServer.objects.create(name='many', url='http://127.0.0.1:9');"
        f"ComfyServer.objects.saw_nodes(server.pk, object_info=json.load(open({str(path)!r})))",
    )


def _drops(server: Standalone, nodes: int) -> float:
    text = json.dumps(workflow(nodes))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(base_url=server.url)
        page.goto("/accounts/login/?next=/admin/generations/workflowtemplate/import/")
        page.get_by_label("E-mail address").fill("admin@example.com")
        page.get_by_label("Password").fill("the bench's password")
        page.get_by_role("button", name="Sign in", exact=True).click()
        times = [_drop(page, text) for _ in range(TIMES)]
        browser.close()
    return statistics.median(times)


def _drop(page: Page, text: str) -> float:
    page.goto("/admin/generations/workflowtemplate/import/", wait_until="networkidle")
    started = time.perf_counter()
    page.evaluate(DROP, [text])
    page.frame_locator("iframe").get_by_label("Prompt", exact=True).wait_for()
    return time.perf_counter() - started
