"""Draw a digit on the page and save what the browser shows as docs/images/page.png.

python docs/screenshot.py

Run it whenever the page changes, after `make check`. It needs Chromium (`apt-get install chromium`).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "docs/images/page.png"

SEVEN = [(0.30, 0.24), (0.50, 0.22), (0.70, 0.21), (0.62, 0.38), (0.53, 0.58), (0.46, 0.82)]
"""The points of one stroke, as shares of the drawing area's width and height."""


def main() -> None:
    """Start the service on a free port, draw a seven, and save the screenshot."""
    environment = os.environ | {"MNIST_PORT": "0"}
    service = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert service.stderr is not None
        address = re.search(r"http://\S+", service.stderr.readline())
        assert address is not None, "the service did not say where it listens"
        save_screenshot(address[0])
    finally:
        service.terminate()
        service.wait()
    print(f"{IMAGE.relative_to(ROOT)}: {IMAGE.stat().st_size:,} bytes")


def save_screenshot(url: str) -> None:
    """Draw on the page at `url` and write the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1060, "height": 820}, color_scheme="light")
        page.goto(url)
        area = page.locator("#canvas").bounding_box()
        assert area is not None
        points = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in SEVEN]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=12)
        page.mouse.up()
        expect(page.locator("#digit")).to_have_text("7")
        page.get_by_role("button", name="Why?").click()
        expect(page.locator("#saliency")).to_be_visible()
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)  # the bars grow with a transition
        IMAGE.parent.mkdir(exist_ok=True)
        page.screenshot(path=IMAGE)
        browser.close()


if __name__ == "__main__":
    main()
