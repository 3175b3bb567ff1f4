"""`manage.py standalone`: first start, restart, kill -9, and a browser that goes the whole way."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, expect, sync_playwright

from generations.studio.starters import starters
from tests.generations.studio.test_archives import zipped
from tests.support.processes import Process, Standalone, free_port
from tests.support.waiting import eventually, patient
from tests.support.workflows import editor_workflow, newest_object_info

ADMIN, DEMO = "an admin's password", "a demo password"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSER_MS = patient(30_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    running = Standalone(tmp_path_factory.mktemp("standalone"), ADMIN_PASSWORD=ADMIN, DEMO_PASSWORD=DEMO)
    yield running
    running.stop()


def job(client: httpx.Client, **inputs: object) -> str:
    body = {"inputs": {"prompt": "a fox", "width": 64, "height": 64, "steps": 2, **inputs}}
    return str(client.post("templates/text-to-image/jobs", json=body).json()["id"])


def status(client: httpx.Client, pk: str) -> str:
    return str(client.get(f"jobs/{pk}").json()["status"])


def client_of(server: Standalone) -> httpx.Client:
    key = server.manage("create_api_key", "demo@example.com")
    return httpx.Client(
        base_url=f"{server.url}/api/v2/", headers={"Authorization": f"Bearer {key}"}, timeout=patient(20)
    )


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
    with client_of(server) as client:
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
        with client_of(server) as client:
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
        key = server.manage("create_api_key", "admin@example.com")
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{server.url}/api/v2/", headers=headers, timeout=patient(20)) as client:
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


# ------------------------------------------------------------------------------------------ the browser
@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    expect.set_options(timeout=BROWSER_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield running
        running.close()


def is_problem(message: ConsoleMessage) -> bool:
    """True for errors, but for the note that Chromium makes of a refused form."""
    return message.type == "error" and "status of 422" not in message.text


@pytest.fixture
def page(browser: Browser, server: Standalone) -> Iterator[Page]:
    """A page that fails the test on any script error or breach of the content security policy."""
    context = browser.new_context(base_url=server.url)
    context.set_default_timeout(BROWSER_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if is_problem(message) else None)
    yield page
    context.close()
    assert not problems


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/")
    sign_in_here(page, email, password)
    expect(page.get_by_role("heading", name="What do you want to make?")).to_be_visible()


def sign_in_here(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.browser
def test_the_whole_path_in_a_browser(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.get_by_role("link", name="Text to image").click()
    page.get_by_label("Prompt", exact=True).fill("a violet forest at night")
    page.get_by_text("Advanced").click()
    page.get_by_label("Seed").fill("12345678901234567890")
    page.get_by_label("Steps").last.fill("60")
    page.get_by_role("button", name="Generate").click()
    # Live: the node, a step, a preview, without a reload.
    panel = page.locator(".panel").first
    expect(panel.locator("[data-now]")).to_have_text("KSampler")
    expect(panel.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    expect(panel.locator("[data-preview]")).to_be_visible()
    expect(panel.locator(".badge")).to_have_text("Done")
    image = panel.locator(".output img")
    expect(image).to_be_visible()
    assert image.evaluate("async (img) => { await img.decode(); return img.naturalWidth; }") == 512
    # After a reload, on its own page, in the history.
    panel.locator(".panel-head a").click()
    expect(page.get_by_text("12345678901234567890")).to_be_visible()
    expect(page.get_by_text("a violet forest at night")).to_be_visible()
    page.reload()
    expect(page.locator(".panel .output img")).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.locator(".gallery .tile img").first).to_be_visible()
    expect(page.locator(".gallery .badge").first).to_have_text("Done")


@pytest.mark.browser
def test_a_running_generation_is_right_after_a_reload_and_can_be_canceled(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/text-to-image/")
    page.get_by_text("Advanced").click()
    page.get_by_label("Steps").last.fill("60")
    page.get_by_role("button", name="Generate").click()
    page.locator(".panel-head a").first.click()
    expect(page.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    page.reload()
    expect(page.locator("[data-step]")).to_have_text(re.compile(r"\d+ / 60"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge")).to_have_text("Canceled")


@pytest.mark.browser
def test_a_wrong_value_is_shown_at_its_field_without_losing_the_rest(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/text-to-image/")
    page.get_by_label("Prompt", exact=True).fill("kept")
    page.locator("input[name=width]").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".type-integer.invalid .errorlist")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("kept")
    expect(page.locator(".panel")).to_have_count(0)


@pytest.mark.browser
def test_a_picture_stays_chosen_when_another_field_is_wrong(page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "#4080c0").save(photo)
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/image-to-image/")
    page.locator("input[type=file]").first.set_input_files(photo)
    page.locator("input[name=width]").fill("5")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".type-integer.invalid .errorlist")).to_be_visible()
    expect(page.locator("img.chosen")).to_have_attribute("src", re.compile("^/assets/.*/thumbnail/$"))
    page.locator("input[name=width]").fill("64")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel").first).to_be_visible()


@pytest.fixture
def failing_page(browser: Browser, server: Standalone) -> Iterator[Page]:
    """A page whose requests may fail, which Chromium notes; breaches of the content security policy fail the test."""
    context = browser.new_context(base_url=server.url)
    context.set_default_timeout(BROWSER_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Policy" in message.text else None)
    yield page
    context.close()
    assert not problems


@pytest.mark.browser
def test_a_form_of_somebody_who_is_signed_out_says_so_or_leads_to_the_sign_in(
    failing_page: Page, tmp_path: Path
) -> None:
    page = failing_page
    photo = tmp_path / "photo.png"
    Image.effect_noise((1024, 1024), 90).save(photo)  # more than anybody may send who is not signed in
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/image-to-image/")
    page.locator("input[type=file]").first.set_input_files(photo)
    page.context.clear_cookies()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#notices")).to_contain_text("You are signed out.")
    page.get_by_role("link", name="Sign in again").click()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=%2Ftemplates%2Fimage-to-image%2F$"))
    sign_in_here(page, "demo@example.com", DEMO)
    expect(page).to_have_url(re.compile("/templates/image-to-image/$"))
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Generate").click()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=%2Ftemplates%2Fimage-to-image%2F$"))


@pytest.mark.browser
def test_whatever_goes_wrong_with_a_form_is_said_in_words(failing_page: Page) -> None:
    page = failing_page
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/text-to-image/")
    page.get_by_label("Prompt", exact=True).fill("kept")
    notices = page.locator("#notices")
    for status, words in (
        (500, "Something went wrong on our side, nothing was changed."),
        (413, "too large"),
        (404, "not here any more"),
    ):
        page.route(
            "**/templates/text-to-image/",
            lambda route, _request, status=status: route.fulfill(status=status, body="<html><h1>a proxy</h1></html>"),
        )
        page.get_by_role("button", name="Generate").click()
        expect(notices).to_contain_text(words)
        page.unroute("**/templates/text-to-image/")
    page.context.set_offline(True)
    page.get_by_role("button", name="Generate").click()
    expect(notices).to_contain_text("The server cannot be reached.")
    page.context.set_offline(False)
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Generate").click()
    expect(notices).to_contain_text("This page was open too long")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("kept")
    page.reload()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel").first).to_be_visible()
    expect(notices).to_be_empty()


@pytest.mark.browser
def test_the_admin_drops_a_picture_publishes_it_and_a_user_runs_it(
    page: Page, browser: Browser, server: Standalone, tmp_path: Path
) -> None:
    """Drop a PNG, toggle three parameters, look at the form, try it, publish it; then somebody else runs it."""
    with client_of(server) as client:
        pk = job(client, prompt="a violet fox")
        eventually(lambda: status(client, pk) == "succeeded")
    plain = from_elsewhere(server.data_dir / "simulator", "a violet fox")
    to_the_import(page)
    drop(page, ".studio-drop", ("violet-fox.png", plain))
    expect(page.get_by_role("heading", name="Violet fox").first).to_be_visible(timeout=BROWSER_MS)
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
    expect(form.locator("input[name=batch_size]")).to_have_count(0)
    expect(form.locator("input[name=steps]")).to_have_attribute("max", "5")

    expect(page.locator("iframe[aria-busy]")).to_have_count(0)  # else the form is replaced under the click
    form.get_by_role("button", name="Generate").click()
    expect(form.locator(".panel .badge")).to_have_text("Done")
    page.get_by_role("button", name="Cover …").click()
    page.locator(".studio-covers button").first.click()
    expect(page.get_by_text("This result is the cover now.")).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()

    context = browser.new_context(base_url=server.url)
    user = context.new_page()
    sign_in(user, "demo@example.com", DEMO)
    user.get_by_role("link", name="Violet fox").click()
    expect(user.locator("input[name=batch_size]")).to_have_count(0)
    user.get_by_label("Prompt", exact=True).fill("a green fox")
    user.get_by_role("button", name="Generate").click()
    expect(user.locator(".panel .badge")).to_have_text("Done")
    # The result leads back to the form that made it.
    with user.expect_download() as download:
        user.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "result.png")
    user.goto("/")
    user.get_by_label("Go on from a result of yours").set_input_files(tmp_path / "result.png")
    expect(user.get_by_label("Prompt", exact=True)).to_have_value("a green fox")
    context.close()


def from_elsewhere(folder: Path, prompt: str) -> bytes:
    """A result as a ComfyUI that is not ours makes it: with the graph that ran, and without a word of where."""
    pictures = [Image.open(path) for path in folder.rglob("*.png")]
    (image,) = [each for each in pictures if prompt in str(each.info.get("prompt", ""))]
    info = PngInfo()
    info.add_text("prompt", str(image.info["prompt"]))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    for each in pictures:
        each.close()
    return buffer.getvalue()


def drop(page: Page, selector: str, *files: tuple[str, bytes]) -> None:
    """What a browser does when files are dropped: their names and bytes."""
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, text] of files) {
                const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
                transfer.items.add(new File([bytes], name));
            }
            return transfer;
        }""",
        [[name, base64.b64encode(content).decode()] for name, content in files],
    )
    page.dispatch_event(selector, "drop", {"dataTransfer": transfer})


def to_the_import(page: Page) -> None:
    """An admin, where new templates are made."""
    page.goto("/accounts/login/?next=/admin/generations/workflowtemplate/add/")
    page.get_by_label("E-mail address").fill("admin@example.com")
    page.get_by_label("Password").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".studio-drop")).to_be_visible()
    page.wait_for_load_state("networkidle")


def workflow(text: str) -> bytes:
    """One of its own for each text."""
    graph = starters()[0]["graph"]
    return json.dumps({**graph, "note": {"class_type": "CLIPTextEncode", "inputs": {"text": text}}}).encode()


@pytest.mark.browser
def test_several_files_are_dropped_and_a_bad_one_stops_none(page: Page) -> None:
    to_the_import(page)
    archive = zipped({"dogs.json": workflow("dogs"), "README.md": b"hello", "again.json": workflow("cats")})
    drop(page, ".studio-drop", ("cats.json", workflow("cats")), ("broken.json", b'{"1": '), ("more.zip", archive))
    title = page.locator("[data-report-title]")
    expect(title).to_have_text("2 made, 1 already here, 1 skipped, 1 refused.")
    expect(title).to_be_focused()
    lines = page.locator(".studio-line")
    expect(lines.locator("strong")).to_have_text(
        ["cats.json", "broken.json", "more.zip/dogs.json", "more.zip/README.md", "more.zip/again.json"]
    )
    expect(lines.nth(1)).to_contain_text("It may be cut off")
    lines.nth(2).get_by_role("link", name="Dogs").click()
    expect(page.get_by_role("heading", name="Dogs").first).to_be_visible()
    # A template that exists takes one, and says so before anything is sent.
    page.get_by_role("button", name="Other workflow …").click()
    drop(page, "dialog .studio-drop", ("a.json", b"{}"), ("b.json", b"{}"))
    expect(page.locator("dialog [data-drop-name]")).to_have_text("Choose one: a template has a single workflow.")


@pytest.mark.browser
def test_what_an_import_flags_is_ticked_off_and_leads_to_its_node(page: Page) -> None:
    flow = editor_workflow()
    entries = [["3", "steps"], ["3", "gone"], ["6", "lost"], ["99", "text"]]
    flow.setdefault("extra", {})["linearData"] = {"inputs": entries, "outputs": []}
    to_the_import(page)
    drop(page, ".studio-drop", ("flagged.json", json.dumps(flow).encode()))
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
    page.get_by_role("button", name="Tick all off").click()
    expect(title).to_have_text("Everything is checked in this workflow")
    expect(page.get_by_label("not checked")).to_have_count(0)


@pytest.mark.browser
def test_tick_that_did_not_get_through_goes_back(failing_page: Page) -> None:
    page, flow = failing_page, editor_workflow()
    flow.setdefault("extra", {})["linearData"] = {"inputs": [["3", "cfg"], ["3", "gone"]], "outputs": []}
    to_the_import(page)
    drop(page, ".studio-drop", ("flagged too.json", json.dumps(flow).encode()))
    page.route("**/studio/flags/", lambda route: route.fulfill(status=500, body="no"))
    page.locator("[data-flag]").click()
    expect(page.locator("#notices")).to_contain_text("Something went wrong on our side")
    expect(page.locator("[data-flag]")).not_to_be_checked()
    expect(page.locator("#flags-title")).to_have_text("1 thing to check in this workflow")


@pytest.mark.browser
def test_several_files_are_chosen_with_the_keyboard_and_reading_them_is_stopped(page: Page) -> None:
    to_the_import(page)
    files = [
        {"name": f"birds {number}.json", "mimeType": "application/json", "buffer": workflow(f"birds {number}")}
        for number in range(3)
    ]
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/import/", hold)
    page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    page.get_by_role("button", name="Make a template").press("Enter")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    expect(page.locator("[data-report-title]")).to_have_text("Reading 1 of 3: birds 0.json …")
    stop.press("Enter")
    held.pop().continue_()
    expect(page.locator("[data-report-title]")).to_have_text("Stopped. 1 made.")


@pytest.mark.browser
def test_file_that_does_not_get_through_is_named_and_the_next_one_is_tried(failing_page: Page) -> None:
    page = failing_page
    to_the_import(page)
    answers: list[Callable[[Route], None]] = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503),
        lambda route: route.fulfill(status=200, body="<html>Sign in</html>"),
        lambda route: route.continue_(),
    ]

    def answer(route: Route) -> None:
        answers.pop(0)(route)

    page.route("**/import/", answer)
    drop(page, ".studio-drop", *((f"fish {number}.json", workflow(f"fish {number}")) for number in range(4)))
    expect(page.locator("[data-report-title]")).to_have_text("1 made, 3 refused.")
    expect(page.locator(".studio-line")).to_contain_text(
        ["The server cannot be reached", "Something went wrong on our side", "That did not work", "Fish 3"]
    )
    # Too much is not sent at all: no route answers any more.
    form = page.locator("[data-several]")
    form.evaluate("(form) => (form.dataset.mostBytes = 100)")
    drop(page, ".studio-drop", ("big.json", workflow("big")), ("large.json", workflow("large")))
    expect(page.locator("[data-report-title]")).to_have_text("2 refused.")
    expect(page.locator(".studio-line").first).to_contain_text("This is too large for the server.")
    form.evaluate("(form) => (form.dataset.mostFiles = 1)")
    drop(page, ".studio-drop", ("a.json", b"{}"), ("b.json", b"{}"))
    expect(page.locator(".studio-line")).to_have_text(re.compile("These are 2 files; 1 are read at a time."))


@pytest.mark.browser
def test_a_mask_is_drawn_and_only_that_part_is_made_anew(page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (256, 192), "#4080c0").save(photo)
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/templates/inpaint/")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".type-mask .errorlist")).to_be_visible()  # nothing was chosen or painted
    page.get_by_label("Your picture").set_input_files(photo)
    canvas = page.locator(".mask-stage canvas")
    expect(canvas).to_be_visible()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5, steps=6)
    page.mouse.up()
    canvas.press("Space")  # the middle, by keyboard
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".panel .badge")).to_have_text("Done")
    result = page.locator(".panel .output img")
    assert pixel(result, 0.15, 0.5) != [64, 128, 192]
    assert pixel(result, 0.8, 0.5) == [64, 128, 192]
    assert pixel(result, 0.5, 0.5) == [64, 128, 192]  # taken back


def pixel(image: Locator, x: float, y: float) -> list[int]:
    """Red, green and blue at that part of its width and height."""
    found: list[int] = image.evaluate(
        """async (img, [x, y]) => {
            await img.decode();
            const size = { width: img.naturalWidth, height: img.naturalHeight };
            const canvas = Object.assign(document.createElement("canvas"), size);
            const context = canvas.getContext("2d");
            context.drawImage(img, 0, 0);
            return [...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data].slice(0, 3);
        }""",
        [x, y],
    )
    return found


@pytest.mark.browser
def test_the_api_documentation_works_in_a_browser(page: Page) -> None:
    sign_in(page, "demo@example.com", DEMO)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/api/v2/templates/{slug}/jobs")).to_be_visible()
    page.get_by_text("/api/v2/templates", exact=True).first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tr.response .response-col_status").first).to_contain_text("200")


@pytest.mark.browser
def test_a_key_is_made_on_a_page_opens_the_documentation_and_is_revoked(page: Page, browser: Browser) -> None:
    """The whole way of a developer: key, typed operation, a job, and the end of the key."""
    sign_in(page, "demo@example.com", DEMO)
    page.goto("/account/keys/")
    page.get_by_label("Name").fill("From a test")
    page.get_by_role("button", name="Make the key").click()
    secret = page.get_by_label("The key").input_value()

    stranger = browser.new_context(base_url=page.url.partition("/account")[0]).new_page()
    problems: list[str] = []
    stranger.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    stranger.goto("/api/docs")
    typed = stranger.locator("[id*=run_text_to_image]").first
    expect(stranger.locator(".opblock").first).to_be_visible(timeout=BROWSER_MS)
    expect(typed).to_have_count(0)
    stranger.locator("button.authorize").first.click()
    stranger.locator(".auth-container").filter(has_text="ApiKeyAuth").locator("input").fill(secret)
    stranger.locator(".modal-ux button[type=submit]").first.click()
    stranger.locator(".modal-ux .btn-done").first.click()
    expect(typed).to_be_visible(timeout=BROWSER_MS)
    typed.click()
    typed.locator(".try-out__btn").click()
    typed.locator(".execute").click()
    expect(typed.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    assert problems == []
    stranger.context.close()

    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/account/keys/")
    page.locator("article").filter(has_text="From a test").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("is revoked")).to_be_visible()
    answer = httpx.get(page.url.replace("/account/keys/", "/api/v2/me"), headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 401
