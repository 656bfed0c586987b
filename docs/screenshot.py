"""Draw on the page and save what the browser shows, in docs/images: five pictures.

python docs/screenshot.py

Run it whenever the page changes, after `make check`. It needs Chromium (`apt-get install chromium`),
and a served version that has its layers (`GET /model/layers`).
"""

import math
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
from playwright.sync_api import Error, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/images"

Stroke = list[tuple[float, float]]
"""The points of a stroke. The drawing area is 1.5 wide and 1 high."""

SEVEN: list[Stroke] = [[(0.55, 0.24), (0.75, 0.22), (0.95, 0.21), (0.87, 0.38), (0.78, 0.58), (0.71, 0.82)]]

NUMBER: list[Stroke] = [
    [(0.29, 0.30), (0.22, 0.45), (0.17, 0.57), (0.28, 0.57), (0.38, 0.56)],
    [(0.34, 0.42), (0.32, 0.57), (0.30, 0.74)],
    [(0.6 + 0.1 * math.sin(turn), 0.5 - 0.2 * math.cos(turn)) for turn in np.linspace(0, 2 * np.pi, 20).tolist()],
    [(0.84, 0.32), (0.94, 0.30), (1.04, 0.29), (0.99, 0.43), (0.94, 0.57), (0.90, 0.73)],
    [(1.25, 0.33), (1.29, 0.29), (1.28, 0.42), (1.27, 0.57), (1.26, 0.72)],
]
"""4071."""


def main() -> None:
    """Start the service on a free port, and save the screenshots."""
    environment = os.environ | {"MNIST_PORT": "0", "MNIST_LOG_FORMAT": "text"}
    service = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert service.stderr is not None
        address = re.search(r"http://\S+", service.stderr.readline())
        assert address is not None, "the service did not say where it listens"
        save_screenshots(address[0])
    finally:
        service.terminate()
        service.wait()
    for image in IMAGES.glob("*.png"):
        print(f"{image.relative_to(ROOT)}: {image.stat().st_size:,} bytes")


def save_screenshots(url: str) -> None:
    """Draw on the page at `url` and write the pictures."""
    chromium = shutil.which("chromium") or sys.exit("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 740}, color_scheme="light")
        for _ in range(100):  # the service says its address before it listens
            with suppress(Error):
                page.goto(url)
                break
            page.wait_for_timeout(100)
        draw(page, SEVEN)
        expect(page.locator("#digit")).to_have_text("7")
        page.get_by_role("button", name="Why?").click()
        expect(page.locator("#saliency")).to_be_visible()
        save(page, "page.png")
        page.get_by_role("button", name="Why?").click()
        page.get_by_role("button", name="Look inside").click()
        expect(page.locator("#arithmetic-steps li")).to_have_count(6)
        save(page, "inside.png")
        page.get_by_role("button", name="Side by side").click()
        expect(page.locator("#beside-state")).to_have_text("Both say 7.")
        page.get_by_role("slider", name="Turn").fill("40")
        save(page, "beside.png")
        page.get_by_role("button", name="Start over").click()
        page.get_by_role("button", name="Train it here").click()
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#training-state")).to_have_text(re.compile("^Epoch [2-9]"), timeout=120_000)
        save(page, "training.png")
        page.get_by_role("button", name="Look inside").click()
        page.get_by_role("button", name="Clear").click()
        draw(page, NUMBER)
        expect(page.locator("#number")).to_have_text("4071")
        page.get_by_role("radio").first.click()
        save(page, "number.png")
        browser.close()


def draw(page: Page, strokes: list[Stroke]) -> None:
    """Draw the strokes with the mouse."""
    area = page.locator("#canvas").bounding_box()
    assert area is not None
    for stroke in strokes:
        points = [(area["x"] + x * area["height"], area["y"] + y * area["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=12)
        page.mouse.up()


def save(page: Page, name: str) -> None:
    """Write a screenshot of the page."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # the bars grow with a transition
    IMAGES.mkdir(exist_ok=True)
    page.screenshot(path=IMAGES / name, full_page=True)


if __name__ == "__main__":
    main()
