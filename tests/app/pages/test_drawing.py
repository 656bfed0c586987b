"""The drawing page in a real browser: it answers whatever is drawn or sent, or explains why it cannot."""

import base64
import io
import math
import re
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Request, Route, expect

from app.openapi.example_pictures import EXAMPLES
from app.pages.drawing import FOLDER
from digits.model.artifact import FIRST_OWN_VERSION
from tests.app.conftest import SHAPES, Reloading, Service
from tests.app.pages.conftest import OpenPage
from tests.conftest import SHIPPED_VERSION, amount, encoded, needs, publish_classes, publish_tiny, publish_trusted

Point = tuple[float, float]
Stroke = Sequence[Point]
"""Points in the largest square in the middle of the drawing area, whose coordinates go from 0 to 1."""

SEVEN_PNG = EXAMPLES / "seven.png"
ANSWERS = re.compile(r"/(read|predict)\?")
"""The URLs that the page asks for answers."""

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 720}}
"""Options of a new browser context, for a test that must not share one, such as one that changes the clock."""

PHONE: dict[str, Any] = {
    **{"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3},
    **{"has_touch": True, "is_mobile": True},
}


def arc(centre: Point, radii: Point, start: float, end: float) -> list[Point]:
    """Return points on an ellipse between two angles in degrees. 0 is right, 90 is down."""
    angles = [math.radians(start + (end - start) * step / 8) for step in range(9)]
    return [(centre[0] + radii[0] * math.cos(angle), centre[1] + radii[1] * math.sin(angle)) for angle in angles]


STROKES: dict[int, list[Stroke]] = {
    0: [arc((0.5, 0.5), (0.2, 0.3), -90, 270)],
    1: [[(0.52, 0.2), (0.48, 0.8)]],
    2: [[*arc((0.5, 0.35), (0.19, 0.16), -170, 40), (0.3, 0.8), (0.72, 0.79)]],
    3: [[*arc((0.47, 0.34), (0.18, 0.15), -150, 90), *arc((0.47, 0.65), (0.2, 0.17), -90, 150)]],
    4: [[(0.36, 0.2), (0.3, 0.52), (0.7, 0.52)], [(0.66, 0.2), (0.62, 0.82)]],
    5: [[(0.68, 0.2), (0.4, 0.2), (0.37, 0.46), *arc((0.48, 0.62), (0.19, 0.18), -120, 140)]],
    6: [[(0.62, 0.18), (0.45, 0.32), (0.36, 0.55), *arc((0.5, 0.65), (0.15, 0.15), -180, 170)]],
    7: [[(0.3, 0.22), (0.7, 0.2), (0.45, 0.82)]],
    8: [[*arc((0.5, 0.35), (0.14, 0.15), 90, -270), *arc((0.5, 0.66), (0.17, 0.16), -90, 270)]],
    9: [[*arc((0.48, 0.36), (0.15, 0.16), -20, -340), (0.64, 0.3), (0.58, 0.82)]],
}


def at(page: Page, *points: Point) -> list[Point]:
    """Return the page coordinates of points in the largest square in the middle of the drawing area."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    side = box["height"]
    return [(box["x"] + box["width"] / 2 + (x - 0.5) * side, box["y"] + y * side) for x, y in points]


def press(page: Page, stroke: Stroke) -> None:
    """Draw a stroke and keep the mouse button down."""
    first, *others = at(page, *stroke)
    page.mouse.move(*first)
    page.mouse.down()
    for x, y in others:
        page.mouse.move(x, y, steps=2)


def draw(page: Page, *strokes: Stroke) -> None:
    for stroke in strokes:
        press(page, stroke)
        page.mouse.up()


def expect_digit(page: Page, digit: int) -> None:
    expect(page.locator("#digit")).to_have_text(re.compile(rf"^{digit}\??$"))


def expect_problem(page: Page, words: str) -> None:
    expect(page.locator("#sentence")).to_contain_text(words)
    expect(page.locator("#answer")).to_have_attribute("data-state", "problem")


def expect_blank(page: Page) -> None:
    expect(page.locator("#answer")).to_have_attribute("data-state", "empty")
    expect(page.locator("#digit")).to_have_text("")
    expect(page.locator("#seen, #whole").filter(visible=True)).to_have_count(0)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def selected(page: Page) -> Locator:
    return page.get_by_role("radio", checked=True)


def choose(page: Page, *, name: str, content: bytes, kind: str = "image/png") -> None:
    with page.expect_file_chooser() as chooser:
        button(page, "Open file").click()
    chooser.value.set_files({"name": name, "mimeType": kind, "buffer": content})


def drop(page: Page, *, name: str, content: bytes, kind: str = "image/png") -> None:
    transfer = page.evaluate_handle(
        """([bytes, name, type]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return transfer;
        }""",
        [list(content), name, kind],
    )
    for event in ("dragenter", "dragover", "drop"):
        expect(page.get_by_text("Drop the picture")).to_be_visible(visible=event != "dragenter")
        page.locator("footer").dispatch_event(event, {"dataTransfer": transfer})
    expect(page.get_by_text("Drop the picture")).to_be_hidden()


def paste(page: Page, *, name: str, content: bytes, kind: str = "image/png") -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """([bytes, type]) => navigator.clipboard.write(
            [new ClipboardItem({ [type]: new Blob([new Uint8Array(bytes)], { type }) })]
        )""",
        [list(content), kind],
    )
    page.keyboard.press("Control+v")


def answer_with(
    *lines: str,
    unsure: Sequence[int] = (),
    strangers: Sequence[int] = (),
    left_out: int = 0,
    **fields: Any,
) -> Callable[[Route], None]:
    """Return a route handler for ANSWERS. Each digit is 30 pixels wide and 40 high, in a grid of 50.

    What is left out is far from the digits, at the lower right.
    """
    digits: list[dict[str, Any]] = []
    for line, text in enumerate(lines):
        for column, digit in enumerate(map(int, text)):
            certain = {
                "digit": digit,
                "probability": 1.0,
                "probabilities": [float(each == digit) for each in range(10)],
                "prediction_set": [digit, digit + 1] if len(digits) in unsure else [digit],
                **{"coverage": 0.99, "calibration": "normalized", "novelty": 0.0},
                "is_digit": len(digits) not in strangers,
                "accept": len(digits) not in [*unsure, *strangers],
                "line": line,
                "box": {"x": 50 * column + 10, "y": 50 * line + 5, "width": 30, "height": 40},
                "pixels": [[len(digits) % 256] * 28] * 28,
            }
            digits.append(certain | fields)
    model = {"name": "mnist-dense", "version": SHIPPED_VERSION}
    box = {"x": 300, "y": 200, "width": 20, "height": 10}
    mark = {"kind": "other", "box": box, "line": len(lines) - 1, "after": len(lines[-1])}
    accept = not left_out and all(digit["accept"] for digit in digits)
    reading = {
        "text": "\n".join(lines),
        "lines": lines,
        "digits": digits,
        "marks": [mark] * left_out,
        "left_out": left_out,
        "doubts": [],
        "accept": accept,
        "model": model,
    }
    prediction = digits[0] | {"preprocessing": [], "model": model, "doubts": []}
    return lambda route: route.fulfill(json=reading if "/read" in route.request.url else prediction)


def record_posts(page: Page) -> list[str]:
    """Collect the path of each POST request that the page sends from now on."""
    posts: list[str] = []

    def record(request: Request) -> None:
        if request.method == "POST":
            posts.append(request.url.rpartition("/")[2])

    page.on("request", record)
    return posts


def next_frame(page: Page) -> None:
    """Wait until the page has drawn what it draws in the next frame."""
    page.evaluate("() => new Promise(requestAnimationFrame)")


def colours(canvas: Locator, area: str = "0, 0, c.width, c.height") -> Any:
    """Return the colours in an area of a canvas `c` as RGBA, (height, width, 4)."""
    next_frame(canvas.page)
    data, width = canvas.evaluate(
        f"c => {{ const {{ data, width }} = c.getContext('2d').getImageData({area});"
        " return [btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join('')), width]; }"
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).astype(int).reshape(-1, width, 4)


def test_the_logic_of_the_page_is_right_without_a_browser() -> None:
    needs("node")
    scripts = sorted((Path(__file__).parent / "static").glob("*.test.mjs"))
    assert scripts

    result = subprocess.run(["node", "--test", *scripts], capture_output=True, text=True, timeout=120, check=False)

    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_the_scripts_of_the_page_have_the_types_that_their_comments_say() -> None:
    needs("tsc")
    options = "--noEmit --allowJs --checkJs --target esnext --module esnext --moduleResolution node"
    libraries = ["--lib", "esnext,dom,dom.iterable"]
    scripts = sorted(FOLDER.glob("*.js"))

    result = subprocess.run(
        ["tsc", *options.split(), *libraries, *scripts], capture_output=True, text=True, timeout=240, check=False
    )

    assert (result.returncode, result.stdout) == (0, "")


def test_each_digit_drawn_with_the_mouse_is_recognized(page: Page) -> None:
    for digit, strokes in STROKES.items():
        draw(page, *strokes)

        expect(page.locator("#digit")).to_have_text(str(digit))  # an unsure answer has a question mark

        button(page, "Clear").click()
        expect_blank(page)


def test_an_answer_has_bars_and_facts_and_the_browser_stores_nothing(page: Page) -> None:
    draw(page, *STROKES[2])

    expect(page.locator("#done")).to_have_text(re.compile("^Inverted to light ink on dark, cropped.* and centred.$"))
    expect_digit(page, 2)
    expect(page.locator("#model")).to_be_hidden()
    page.get_by_text("Details").click()
    expect(page.locator("#meaning")).to_contain_text(
        "right digit of 99 % of distorted copies of MNIST's pictures has a ring"
    )
    facts = re.compile(r"^mnist-dense version \d+\s784\s→\s512\s→\s10\s[\d.]+\sms round trip$")
    expect(page.locator("#facts p").last).to_have_text(facts)
    bars = page.get_by_role("list", name="Probabilities").get_by_role("listitem").all_inner_texts()
    shown = [float(text.split()[1].lstrip(">")) for text in bars]
    assert (len(shown), int(np.argmax(shown))) == (10, 2)
    assert sum(shown) == pytest.approx(100, abs=1)
    stores = "async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]"
    assert page.evaluate(stores) == [0, 0, 0]
    assert page.context.cookies() == []


def test_a_digit_draws_itself_once_with_live_bars_until_the_first_stroke(open_page: OpenPage, service: Service) -> None:
    posts: list[str] = []
    page = open_page("about:blank", **DESKTOP, reduced_motion="no-preference")
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    drawn, examples = page.locator("#welcome"), page.get_by_role("group", name="Or try an example")

    page.goto(service.url)

    expect(drawn).to_be_visible()
    expect(examples).to_have_css("opacity", "0")
    expect(page.locator("#bars .best .name")).to_have_text("3")
    expect(page.locator("#digit")).to_have_text("3")
    expect(examples).to_have_css("opacity", "1")
    expect(page.locator("#bars")).to_be_hidden()
    assert posts == []  # nobody has sent a picture
    draw(page, *STROKES[7])
    expect(drawn).to_be_hidden()
    expect_digit(page, 7)
    button(page, "Clear").click()
    expect_blank(page)
    expect(drawn).to_have_count(0)


def test_nothing_draws_itself_where_it_would_disturb(open_page: OpenPage, service: Service, shapes: Service) -> None:
    moving = DESKTOP | {"reduced_motion": "no-preference"}
    cases = [
        (service.url, DESKTOP),
        (shapes.url, moving),
        (f"{service.url}/#strokes=rAIDABCD", moving),
    ]
    for url, options in cases:
        page = open_page(url, **options)

        page.wait_for_timeout(500)

        expect(page.locator("#welcome")).to_have_count(0)


def test_a_drawing_survives_a_reload_and_the_way_back_to_the_page(page: Page, service: Service) -> None:
    for stroke in STROKES[4]:
        draw(page, stroke)
    expect_digit(page, 4)

    page.reload()

    expect_digit(page, 4)
    expect(page).to_have_url(f"{service.url}/")
    page.goto("about:blank")
    page.go_back()
    expect_digit(page, 4)
    for _ in range(2):  # two strokes, as before
        page.keyboard.press("Control+z")
    expect_blank(page)
    page.reload()
    expect_blank(page)


def test_the_answer_changes_while_the_pen_is_down_but_a_dot_waits(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **DESKTOP)
    page.clock.install()
    posts = record_posts(page)

    press(page, [(0.5, 0.2), (0.5, 0.25)])
    page.clock.run_for(1000)
    assert posts == []
    page.mouse.move(*at(page, (0.5, 0.8))[0], steps=8)
    expect_digit(page, 1)
    assert {post.partition("?")[0] for post in posts} == {"predict"}  # half a digit is not cut into several
    with page.expect_response("**/read?*"):
        page.mouse.up()


def test_undo_redo_and_clear_have_buttons_and_keys(page: Page) -> None:
    expect(button(page, "Redo")).to_be_disabled()
    draw(page, *STROKES[4])
    for again in ("Control+Shift+z", "Control+y", None):
        page.keyboard.press("Control+z")
        button(page, "Undo").click()
        expect_blank(page)
        for _ in range(2):
            page.keyboard.press(again) if again else button(page, "Redo").click()
        expect_digit(page, 4)
    for clear in ("Escape", "Delete", "Backspace"):
        page.locator("#canvas").press(clear)
        expect_blank(page)
        page.keyboard.press("Control+z")
        expect_digit(page, 4)


def test_a_finger_draws_on_a_phone_and_drawing_and_answer_are_in_view(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **PHONE)
    devtools = page.context.new_cdp_session(page)
    first, corner, last = at(page, *STROKES[7][0])
    middle = (corner[0] + last[0]) / 2, (corner[1] + last[1]) / 2

    for kind, (x, y) in (("Start", first), ("Move", corner), ("Move", middle), ("Move", last)):
        devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": [{"x": x, "y": y}]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    expect_digit(page, 7)
    assert page.evaluate("scrollY") == 0
    expect(page.locator("#digit")).to_be_in_viewport(ratio=1)
    expect(page.locator("#bars li").first).to_be_in_viewport(ratio=1)
    expect(page.get_by_text("drop a picture here")).to_be_hidden()
    assert page.locator("#canvas").evaluate("canvas => canvas.width / canvas.clientWidth") == 3


@pytest.mark.parametrize(("width", "height"), [(740, 360), (844, 390), (932, 430)])
def test_a_phone_that_lies_shows_the_whole_paper_and_five_tools(
    open_page: OpenPage, service: Service, width: int, height: int
) -> None:
    page = open_page(service.url, **PHONE | {"viewport": {"width": width, "height": height}})

    tools = page.locator("#tools").get_by_role("button")

    expect(tools).to_have_count(5)
    for part in [page.locator("#paper"), *tools.all()]:
        expect(part).to_be_in_viewport(ratio=1)
        assert part.evaluate("part => part.scrollWidth <= part.clientWidth")


def test_a_phone_offers_its_camera_and_the_area_grows_for_a_high_photo(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **PHONE)
    area = "paper => [paper.clientWidth, paper.clientHeight]"
    width, height = page.locator("#paper").evaluate(area)

    with page.expect_file_chooser() as chooser:
        button(page, "Camera").click()
    chooser.value.set_files(EXAMPLES / "drawing-3.png")

    assert chooser.value.element.get_attribute("capture") == "environment"
    expect_digit(page, 3)
    assert page.locator("#paper").evaluate(area)[1] > height
    button(page, "Clear").click()
    assert page.locator("#paper").evaluate(area) == [width, height]


@pytest.mark.parametrize("way", [choose, drop, paste])
def test_a_picture_can_be_chosen_dropped_or_pasted_and_drawn_over(page: Page, way: Callable[..., None]) -> None:
    way(page, name="seven.png", content=SEVEN_PNG.read_bytes())

    expect_digit(page, 7)
    assert colours(page.locator("#canvas"), "c.width / 2, c.height / 2, 1, 1")[0, 0, 3] > 0
    caption = "image.png" if way is paste else "seven.png"
    expect(page.locator("#caption")).to_have_text(caption)
    if way is not paste:  # the clipboard re-encodes the picture
        expect(page.locator("#done")).to_have_text("Used unchanged.")
    draw(page, *STROKES[1])
    expect_digit(page, 1)
    expect(page.locator("#caption")).to_be_hidden()
    button(page, "Undo").click()
    expect_digit(page, 7)
    expect(page.locator("#caption")).to_have_text(caption)


def test_a_large_photo_is_rotated_and_reduced_before_it_is_sent(page: Page) -> None:
    page.evaluate(
        """() => {
            const send = fetch;
            window.sent = [];
            window.fetch = (url, options) => { window.sent.push(options.body); return send(url, options); };
        }"""
    )
    seven = 255 - np.asarray(Image.open(SEVEN_PNG))
    upright = Image.fromarray(seven).resize((2400, 2400), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its left side
    photo = encoded(upright.transpose(Image.Transpose.ROTATE_90), format="JPEG", exif=exif)

    choose(page, name="IMG_0007.JPG", content=photo, kind="image/jpeg")

    expect_digit(page, 7)
    sent = page.evaluate("sent[0].arrayBuffer().then(buffer => [sent[0].type, Array.from(new Uint8Array(buffer))])")
    assert sent[0] == "image/jpeg"
    assert Image.open(io.BytesIO(bytes(sent[1]))).size == (1600, 1600)


def test_what_cannot_be_answered_is_explained_and_the_next_stroke_answered(
    open_page: OpenPage, service: Service, modelless: Service
) -> None:
    page = open_page(modelless.url, refusals=True)
    expect(page.locator("#sentence")).to_have_text(
        re.compile("^The service has no model: no usable version of mnist-dense")
    )
    draw(page, *STROKES[7])
    expect_problem(page, "The service is not ready yet: no usable version of mnist-dense")
    page.goto(service.url)

    posts = record_posts(page)
    drop(page, name="diary.txt", content=b"Dear diary", kind="text/plain")
    expect_problem(page, "“diary.txt” is not a picture")
    paste(page, name="", content=b"seven", kind="text/plain")
    expect_problem(page, "clipboard contains no picture")
    assert posts == []
    choose(page, name="IMG_1.HEIC", content=b"\0\0\0\x18ftypheic" + bytes(64), kind="image/heic")
    expect_problem(page, "This picture cannot be read")
    choose(page, name="white.png", content=encoded(Image.new("L", (200, 200), 255)))
    expect_problem(page, "shows no digit")
    page.route(ANSWERS, lambda route: route.fulfill(status=500, json={"detail": "a bug"}))
    draw(page, *STROKES[7])
    expect_problem(page, "The service could not answer (status 500): a bug.")
    page.unroute(ANSWERS)
    draw(page, [(0.44, 0.84), (0.43, 0.86)])

    expect_digit(page, 7)


def test_each_example_shows_what_its_name_says(page: Page) -> None:
    examples = page.get_by_role("group", name="Or try an example")
    ink = page.get_by_role("img", name="Where the service saw ink in the picture")

    shown = {"Photo of a 3": ("answer", "^3$"), "4 or 9?": ("unsure", r"^[49]\?$"), "A letter": ("stranger", r"^□\?$")}
    for name, (state, digit) in shown.items():
        examples.get_by_role("button", name=name).click()

        expect(page.locator("#caption")).to_have_text(name)
        expect(page.locator("#answer")).to_have_attribute("data-state", state)
        expect(page.locator("#digit")).to_have_text(re.compile(digit))
        expect(ink).to_be_visible(visible=name == "Photo of a 3")  # the others are on even paper
        expect(examples).to_be_hidden()
        expect(page.locator("#canvas")).to_be_focused()
        if state != "stranger":
            button(page, "Clear").click()
    stranger = "This does not look like a digit. The nearest is"
    expect(page.locator("#announcement")).to_contain_text(stranger)
    expect(page.locator("#digit")).to_be_hidden()
    assert (colours(page.locator("#stranger")) == colours(page.locator("#pixels"))).all()
    expect(page.locator("#bars .plausible")).to_have_count(0)
    button(page, "Clear").click()
    examples.get_by_role("button", name="A number").click()
    expect(page.locator("#number")).to_have_text("2048")


def test_drawn_digits_are_a_number_that_stays_while_the_next_is_drawn(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **DESKTOP)
    half = {digit: [[(x / 2, y / 2 + 0.25) for x, y in stroke] for stroke in STROKES[digit]] for digit in (4, 2, 1)}
    draw(page, *half[4], *([(x + 0.4, y) for x, y in stroke] for stroke in half[2]))

    expect(page.locator("#number")).to_have_text("42")
    expect(page.locator("#announcement")).to_have_text("42. 2 digits, none of them unsure.")
    expect_digit(page, 2)  # the details are those of the digit that was drawn last
    expect(page.locator("#place")).to_have_text("Digit 2 of 2")
    middle = (page.locator("#boxes"), "0, c.height / 2, c.width, 1")
    assert sum(after > 200 >= before for before, after in pairwise(colours(*middle)[0, :, 3])) == 4  # sides of boxes
    button(page, "Why?").click()
    expect(page.locator("#for")).to_have_text("supports 2")
    selected(page).press("ArrowLeft")
    expect(page.locator("#for")).to_have_text("supports 4")
    page.clock.install()
    press(page, [(0.9, 0.35), (0.9, 0.5)])
    page.clock.run_for(1000)
    expect(page.locator("#number")).to_have_text("42")
    page.mouse.move(*at(page, (0.9, 0.65))[0])
    page.mouse.up()
    expect(page.locator("#number")).to_have_text("421")
    button(page, "Clear").click()
    expect_blank(page)
    assert colours(*middle).sum() == 0


def test_a_separator_is_shown_between_its_digits_and_the_switch_decides_if_it_matters(page: Page) -> None:
    switch = page.get_by_role("switch", name="Ignore separators")
    expect(switch).not_to_be_checked()
    with page.expect_response("**/read?*") as counted:
        choose(page, name="amount.png", content=amount())
    expect(page.locator("#summary")).to_have_text("5 digits, none of them unsure. 1 separator was not read.")
    expect(page.locator("#number .separator + [role=radio]")).to_have_text(["5"])
    expect(page.get_by_role("radio")).to_have_text([*"40752"])

    with page.expect_response("**/read?*") as ignored:
        switch.check()

    expect(page.locator("#summary")).to_have_text("5 digits, none of them unsure. 1 separator was ignored.")
    expect(page.locator("#number .separator")).to_have_count(1)
    assert (counted.value.json()["accept"], ignored.value.json()["accept"]) == (False, True)
    page.reload()
    expect(switch).to_be_checked()
    with page.expect_request("**/read?*marks=ignore"):
        choose(page, name="amount.png", content=amount())


def test_a_mark_has_a_grey_box_on_the_paper(page: Page) -> None:
    choose(page, name="amount.png", content=amount())
    expect(page.locator("#number .separator")).to_have_count(1)

    shown = colours(page.locator("#boxes"))

    quiet = np.all(np.abs(shown[..., :3] - (91, 96, 104)) < 8, axis=-1) & (shown[..., 3] > 128)
    rows, columns = np.nonzero(quiet)
    assert len(rows) > 20
    assert max(np.ptp(rows), np.ptp(columns)) < 0.1 * len(shown)


def test_a_digit_of_a_sheet_of_500_is_selected_with_keys_and_pointer(page: Page) -> None:
    page.route(ANSWERS, answer_with(*["0123456780123456780123456"] * 20, unsure=[1, 3], left_out=2))

    drop(page, name="sheet.png", content=encoded(Image.new("L", (1500, 1000), 255)))

    digits = page.get_by_role("radiogroup", name="The digits that were read").get_by_role("radio")
    expect(digits).to_have_count(500)
    words = "500 digits in 20 lines. 2 of them are unsure, marked with “?”. 2 marks were not read."
    expect(page.locator("#summary")).to_have_text(words)
    expect(page.locator("#announcement")).to_contain_text(f"6, 0123456780123456780123456. {words}")
    assert digits.all_text_contents()[:5] == ["0", "1?", "2", "3?", "4"]
    expect(page.locator("#place")).to_have_text("Line 1, digit 2")  # the first unsure digit
    expect(selected(page)).to_have_accessible_name(re.compile("^1\\?: Not sure: .* cannot rule out a 2.$"))
    selected(page).press("End")
    expect(selected(page)).to_be_focused()
    expect(selected(page)).to_be_in_viewport()
    expect(page.locator("#place")).to_have_text("Line 20, digit 25")
    assert set(colours(page.locator("#pixels"))[..., 0].flat) == {499 % 256}
    digits.first.click()
    expect_digit(page, 0)
    width = page.locator("#canvas").evaluate("canvas => canvas.clientWidth")
    page.locator("#canvas").click(position={"x": 125 / 1500 * width, "y": 25 / 1500 * width})
    expect_digit(page, 2)
    expect(page.locator("#caption")).to_have_text("sheet.png")  # the click has drawn nothing


def test_plausible_digits_are_marked_and_explained(open_page: OpenPage, trusted: Service) -> None:
    page = open_page(trusted.url)

    with page.expect_response("**/predict*") as answered:
        choose(page, name="seven.png", content=SEVEN_PNG.read_bytes())

    plausible = answered.value.json()["prediction_set"]
    assert 1 < len(plausible) < 9
    expect(page.locator("#announcement")).to_contain_text("Not sure: it looks most like")
    expect(page.locator("#sentence")).to_contain_text("this model's calibration cannot rule out")
    marked = page.get_by_role("listitem").filter(has_text="plausible")
    assert [int(text.split()[0]) for text in marked.all_inner_texts()] == plausible
    expect(page.locator("#bars .plausible")).to_have_count(len(plausible))
    page.get_by_text("Details").press("Enter")
    expect(page.locator("#meaning")).to_contain_text("right digit of 99 % of pictures like MNIST's has a ring")


def test_an_answer_is_announced_with_what_the_network_saw_and_why_stays_on(page: Page) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28))
    saliency = np.zeros((28, 28))
    saliency[2, 25], saliency[26, 14] = 0.5, -2
    page.route(ANSWERS, answer_with("4", left_out=1, pixels=pixels.tolist(), saliency=saliency.tolist()))
    draw(page, *STROKES[4])

    words = "Not sure: it looks most like a 4 (>99.9 %), but the picture shows more than that. 1 mark was not read."
    expect(page.locator("#announcement")).to_have_text(words)
    expect(page.locator("#bars .zero")).to_have_count(9)
    seen = colours(page.locator("#pixels"))
    assert (seen == np.dstack([pixels] * 3 + [np.full((28, 28), 255)])).all()
    why = button(page, "Why?")
    with page.expect_request("**/predict?normalize=never&include=saliency") as asked:
        why.press("Space")
    assert asked.value.post_data_json == {"pixels": pixels.tolist()}
    expect(why).to_be_focused()
    button(page, "Clear").click()
    expect_blank(page)
    draw(page, *STROKES[4])

    expect(why).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#legend")).to_have_text(re.compile(r"supports 4\s*speaks against 4\s*outline of the ink"))
    name = "Blue supports 4, mostly at the upper right. Orange speaks against 4, mostly at the bottom."
    expect(page.get_by_role("img", name=name)).to_be_visible()
    shown = colours(page.locator("#saliency"))[4::8, 4::8]  # the middle of each pixel, without the outline
    (support_red, _, support_blue, support), (red, _, blue, opposition) = shown[2, 25], shown[26, 14]
    assert (abs(support - 128) <= 1, opposition, (shown[..., 3] > 0).sum()) == (True, 255, 2)
    assert support_blue > support_red + 100
    assert red > blue + 100  # orange
    why.press("Space")
    expect(page.locator("#saliency, #legend").filter(visible=True)).to_have_count(0)


# Accessibility, layout and colours


def test_every_control_is_reached_by_the_keyboard_and_shows_its_focus(page: Page) -> None:
    reached = []
    for _ in range(15):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement;"
            " const words = e.labels?.[0] ?? e;"
            " return [e.getAttribute('aria-label') ?? words.textContent.trim(), getComputedStyle(e).outlineStyle]; }"
        )
        reached.append((name, outline))
        if name.endswith("how good is it?"):
            page.keyboard.press("Enter")

    tools = ["Undo", "Redo", "Clear", "Open file", "Drawing area"]
    examples = ["Photo of a 3", "A number", "4 or 9?", "A letter"]
    switch = "Ignore separators, as in 12/05/26"
    names = ["API", "Model card", "Look inside", *tools, switch, *examples]
    names += ["How does it work, and how good is it?", "model card"]
    assert reached == [(name, "solid") for name in names]


def test_without_javascript_the_page_says_so_and_offers_no_controls(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **DESKTOP, java_script_enabled=False)

    notice = page.locator("noscript p")  # Playwright finds no text in <noscript>
    expect(notice).to_be_in_viewport()
    expect(notice).to_contain_text("Drawing needs JavaScript.")
    expect(page.get_by_role("button")).to_have_count(0)


def printed_pages(page: Page) -> int:
    return int(re.findall(rb"/Count (\d+)", page.pdf(format="A4"))[0])


def test_a_digit_and_a_stack_are_printed_black_on_white_on_pages_of_their_own(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(service.url, **DESKTOP, color_scheme="dark")
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    page.emulate_media(media="print")
    with Image.open(io.BytesIO(page.locator("#paper").screenshot())) as shot:
        paper = np.asarray(shot.convert("L"))
    assert (np.median(paper), paper.min()) == (255, 0)
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.locator("#bars .track").first).to_have_css("outline-style", "solid")
    assert printed_pages(page) == 1

    page.locator("#file").set_input_files([SEVEN_PNG, EXAMPLES / "drawing-8.png"])

    expect(page.locator("#stack-state")).to_have_text("2 pictures: 2 sure, 0 to check.")
    expect(page.get_by_role("button").filter(visible=True)).to_have_count(2)  # the names of the pictures
    assert printed_pages(page) == 1
    page.emulate_media(media="screen")
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    assert printed_pages(page) == 2


def test_the_page_follows_the_preferred_colours(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, color_scheme="light")
    for scheme, background, preparation in (
        ("light", "rgb(245, 243, 238)", "^Inverted to light ink on dark, cropped"),
        ("dark", "rgb(21, 24, 26)", "^Cropped"),
    ):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        draw(page, *STROKES[7])

        expect(page.locator("#done")).to_have_text(re.compile(preparation))
        expect_digit(page, 7)
        expect(page.locator("body")).to_have_css("background-color", background)
        button(page, "Clear").click()


def too_wide(page: Page) -> list[int]:
    """Return the widths at which the page scrolls sideways."""
    widths = []
    for width in (320, 360, 390, 700, 704, 864, 1024, 1920):
        page.set_viewport_size({"width": width, "height": 700})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            widths.append(width)
    return widths


def test_nothing_scrolls_sideways_from_a_small_phone_to_a_wide_screen(open_page: OpenPage, trusted: Service) -> None:
    page = open_page(trusted.url, refusals=True)

    empty = too_wide(page)
    draw(page, *STROKES[7])
    button(page, "Why?").click()
    expect(page.locator("#legend")).to_be_visible()
    page.get_by_text("how good is it?").click()
    explained = too_wide(page)
    page.route(ANSWERS, answer_with("0123456780" * 3, "0123456780", unsure=range(30), left_out=3))
    choose(page, name="long.png", content=encoded(Image.new("L", (300, 200), 255)))
    expect(page.get_by_role("radio")).to_have_count(40)
    number = too_wide(page)
    page.unroute(ANSWERS)
    choose(page, name="a" * 200 + ".png", content=b"no picture")
    expect_problem(page, "cannot be read")

    assert (empty, explained, number, too_wide(page)) == ([], [], [], [])


def test_an_open_page_follows_the_served_version_from_shapes_to_digits_with_and_without_saliency(
    open_page: OpenPage, reloading: Reloading
) -> None:
    publish_classes(reloading.root, SHAPES)
    reloading.wait_for_version(FIRST_OWN_VERSION + 1)
    page = open_page(reloading.service.url, refusals=True)  # of `POST /read`, of figures and of saliency
    expect(page.locator("#bars .name")).to_have_text(list(SHAPES))
    expect(page.locator("#sentence")).to_have_text("Draw, or open a picture. The answer appears here.")
    expect(page.get_by_role("heading", level=1)).to_have_text("circle, square or five-pointed ★?")
    expect(page.get_by_role("switch")).to_be_hidden()
    page.get_by_text("how good is it?").click()

    draw(page, *STROKES[7])
    a_shape = re.compile("|".join(SHAPES))
    expect(page.locator("#digit")).to_have_text(a_shape)
    expect(page.locator("#sentence")).to_contain_text(a_shape)
    words = page.title() + page.locator("body").inner_text()
    assert re.findall(r".*(?:digit|number).*", words) == []

    publish_trusted(reloading.root)
    reloading.wait_for_version(FIRST_OWN_VERSION + 2)
    draw(page, [(0.44, 0.84), (0.43, 0.86)])
    expect(page.locator("#bars .name")).to_have_text(list("0123456789"))
    expect(page.locator("#hint")).to_have_text("Draw a digit or a number")
    expect(page.get_by_role("heading", level=1)).to_have_text("Digits")
    button(page, "Why?").click()
    expect(page.locator("#saliency")).to_be_visible()

    publish_tiny(reloading.root)
    reloading.wait_for_version(FIRST_OWN_VERSION + 3)
    draw(page, [(0.44, 0.84), (0.42, 0.86)])
    expect(page.locator("#model")).to_contain_text(f"version {FIRST_OWN_VERSION + 3}")
    expect(page.locator("#digit")).to_have_text(re.compile(r"^\d\??$"))
    expect(page.locator("#why, #saliency").filter(visible=True)).to_have_count(0)
    publish_trusted(reloading.root)
    reloading.wait_for_version(FIRST_OWN_VERSION + 4)
    draw(page, [(0.44, 0.84), (0.41, 0.86)])
    expect(button(page, "Why?")).to_have_attribute("aria-pressed", "false")
