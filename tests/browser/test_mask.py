"""Painting a mask on a picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.steps import sign_in
from tests.support.waiting import eventually


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


def is_painted(canvas: Locator, x: float, y: float) -> bool:
    """Whether the drawing covers that part of its width and height."""
    return bool(
        canvas.evaluate(
            """(canvas, [x, y]) =>
                canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3] > 0""",
            [x, y],
        )
    )


def test_a_mask_is_drawn_and_only_that_part_is_made_anew(page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (256, 192), "#4080c0").save(photo)
    sign_in(page)
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

    # Whoever edits the inputs of that run goes on from its mask; Undo takes back a line drawn by keyboard.
    page.locator(".panel-head a").click()
    page.get_by_role("link", name="Edit inputs").click()
    expect(canvas).to_be_visible()
    eventually(lambda: is_painted(canvas, 0.15, 0.5), what="the mask of the earlier run")
    assert not is_painted(canvas, 0.5, 0.5)
    canvas.press("Shift+ArrowUp")
    assert is_painted(canvas, 0.5, 0.5)
    page.get_by_role("button", name="Undo").click()
    assert not is_painted(canvas, 0.5, 0.5)
    assert is_painted(canvas, 0.15, 0.5)
