"""The studio: from a dropped picture to a published template, and the things to check of an import."""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, Page, expect

from tests.browser.steps import follow, open_in_studio, sign_in, to_the_import
from tests.support.processes import Standalone
from tests.support.waiting import eventually
from tests.support.workflows import editor_workflow


def from_elsewhere(folder: Path, prompt: str) -> bytes:
    """The result for this prompt as a foreign ComfyUI makes it: it holds the graph that ran, but not our mark."""
    pictures = [Image.open(path) for path in folder.rglob("*.png")]
    (image,) = [each for each in pictures if prompt in str(each.info.get("prompt", ""))]
    info = PngInfo()
    info.add_text("prompt", str(image.info["prompt"]))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    for each in pictures:
        each.close()
    return buffer.getvalue()


def test_the_admin_drops_a_picture_publishes_it_and_a_user_runs_it(
    page: Page, browser: Browser, server: Standalone, tmp_path: Path
) -> None:
    """Drop a PNG, toggle three parameters, look at the form, try it, publish it; then somebody else runs it."""
    with server.client("demo@example.com") as client:
        inputs = {"prompt": "a violet fox", "width": 64, "height": 64, "steps": 2}
        pk = client.post("templates/text-to-image/jobs", json={"inputs": inputs}).json()["id"]
        eventually(lambda: client.get(f"jobs/{pk}").json()["status"] == "succeeded")
    plain = from_elsewhere(server.data_dir / "simulator", "a violet fox")
    to_the_import(page)
    open_in_studio(page, "violet-fox.png", plain)
    expect(page.get_by_role("heading", name="Violet fox").first).to_be_visible()
    form = page.frame_locator("iframe")
    expect(form.get_by_label("Prompt", exact=True)).to_have_value("a violet fox")

    # Two go, one comes: the form beside it follows.
    for name in ("cfg", "batch_size"):
        page.locator(f"[data-input={name}]").uncheck()
    page.get_by_placeholder("Search nodes and inputs").fill("save")
    page.locator("[data-input=filename_prefix]").check()
    page.get_by_placeholder("Search nodes and inputs").fill("")
    expect(page.locator(".studio-parameter summary strong")).to_have_text(
        [
            *("Prompt", "Negative prompt", "Width", "Height", "Seed", "Checkpoint", "Steps"),
            *("Sampler", "Scheduler", "Denoise", "File name prefix"),
        ]
    )
    steps = page.locator("[data-parameter=steps]")
    steps.locator("summary").first.click()
    steps.get_by_label("Minimum").fill("9")
    steps.get_by_label("Maximum").fill("5")
    steps.get_by_label("Maximum").press("Tab")
    expect(steps.locator("[data-field=minimum] .studio-fault p")).to_contain_text("greater than the maximum")
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()
    steps.get_by_label("Minimum").fill("1")
    steps.get_by_label("Minimum").press("Tab")
    expect(page.get_by_role("button", name="Publish")).to_be_enabled()
    # What the server refuses is in no draft: another change does not hide that it is wrong.
    count = page.locator("[data-fault-count]")
    steps.get_by_label("Minimum").fill("abc")
    steps.get_by_label("Minimum").press("Tab")
    expect(count).to_have_text("1 setting needs fixing below.")
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()
    seed = page.locator("[data-parameter=seed]")
    seed.locator("summary").first.click()
    seed.get_by_label("Help").fill("Another number makes another picture.")
    with page.expect_response("**/studio/parameters/**"):
        seed.get_by_label("Help").press("Tab")
    expect(form.get_by_text("Another number makes another picture.")).to_be_attached()  # in what is folded
    expect(count).to_be_visible()
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()
    steps.get_by_label("Minimum").fill("1")
    steps.get_by_label("Minimum").press("Tab")
    expect(count).to_be_hidden()
    expect(page.get_by_role("button", name="Publish")).to_be_enabled()
    expect(form.locator("input[name=batch_size]")).to_have_count(0)
    expect(form.locator("input[name=steps]")).to_have_attribute("max", "5")

    expect(page.locator("iframe[aria-busy]")).to_have_count(0)  # else the form is replaced under the click
    form.get_by_role("button", name="Generate").click()
    expect(form.locator(".panel .badge")).to_have_text("Done")
    page.get_by_role("button", name="Cover …").click()
    page.locator(".studio-covers button").first.click()
    expect(page.get_by_text("This result is now the cover.")).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()

    context = browser.new_context(base_url=server.url)
    user = context.new_page()
    sign_in(user)
    follow(user.get_by_role("link", name="Violet fox"))
    expect(user.locator("input[name=batch_size]")).to_have_count(0)
    user.get_by_label("Prompt", exact=True).fill("a green fox")
    user.get_by_role("button", name="Generate").click()
    expect(user.locator(".panel .badge")).to_have_text("Done")
    # The result leads back to the form that made it.
    with user.expect_download() as download:
        user.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "result.png")
    user.goto("/")
    user.get_by_label("Continue from one of your results").set_input_files(tmp_path / "result.png")
    expect(user.get_by_label("Prompt", exact=True)).to_have_value("a green fox")
    context.close()


def test_what_an_import_flags_is_ticked_off_and_leads_to_its_node(page: Page) -> None:
    flow = editor_workflow()
    entries = [["3", "steps"], ["3", "gone"], ["6", "lost"], ["99", "text"]]
    flow.setdefault("extra", {})["linearData"] = {"inputs": entries, "outputs": []}
    to_the_import(page)
    open_in_studio(page, "flagged.json", json.dumps(flow).encode())
    title, ticks = page.locator("#flags-title"), page.locator("[data-flag]")
    expect(title).to_have_text("3 things to check in this workflow")
    ticks.nth(1).check()
    expect(title).to_have_text("2 things to check in this workflow")
    expect(page.get_by_label("Publish anyway: 2 things are not checked")).to_be_visible()
    page.reload()
    expect(title).to_have_text("2 things to check in this workflow")
    expect(ticks.nth(1)).to_be_checked()
    # The link opens its node, whatever was searched for.
    page.get_by_placeholder("Search nodes and inputs").fill("save")
    page.get_by_role("link", name="Show node 3").click()
    expect(page.locator("#node-3")).to_have_attribute("open", "")
    expect(page.locator("#node-3 summary")).to_be_focused()
    expect(page.locator("#node-3")).to_be_in_viewport()
    page.get_by_role("button", name="Tick all").click()
    expect(title).to_have_text("Everything is checked in this workflow")
    expect(page.get_by_label("not checked")).to_have_count(0)


def test_tick_that_did_not_get_through_goes_back(failing_page: Page) -> None:
    page, flow = failing_page, editor_workflow()
    flow.setdefault("extra", {})["linearData"] = {"inputs": [["3", "cfg"], ["3", "gone"]], "outputs": []}
    to_the_import(page)
    open_in_studio(page, "flagged too.json", json.dumps(flow).encode())
    page.route("**/studio/flags/", lambda route: route.fulfill(status=500, body="no"))
    page.locator("[data-flag]").click()
    expect(page.locator("#notices")).to_contain_text("Something went wrong on our side")
    expect(page.locator("[data-flag]")).not_to_be_checked()
    expect(page.locator("#flags-title")).to_have_text("1 thing to check in this workflow")
