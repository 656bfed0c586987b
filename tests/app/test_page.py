"""The drawing page in a real browser: it answers whatever is drawn or sent, or explains why it cannot."""

import io
import math
import re
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from tests.app.conftest import SHAPES, OpenPage, Reloading, Service, StartService
from tests.conftest import SHIPPED_VERSION, encoded, publish_tiny, publish_trusted

Point = tuple[float, float]
Stroke = Sequence[Point]
"""Points in the largest square in the middle of the drawing area, whose coordinates go from 0 to 1."""

SEVEN_PNG = EXAMPLES / "seven.png"
ANSWERS = re.compile(r"/(read|predict)\?")
"""The URLs that the page asks for answers."""

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def arc(centre: Point, radii: Point, start: float, end: float) -> list[Point]:
    """Return points on an ellipse between two angles in degrees. 0 is right, 90 is down."""
    angles = [math.radians(start + (end - start) * step / 16) for step in range(17)]
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


def dense(stroke: Stroke) -> list[Point]:
    """Return the stroke with three more points between any two."""
    between = [
        (a[0] + (b[0] - a[0]) * step / 4, a[1] + (b[1] - a[1]) * step / 4)
        for a, b in pairwise(stroke)
        for step in range(1, 5)
    ]
    return [stroke[0], *between]


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour as WCAG defines it."""
    channels = [int(colour.strip()[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def at(page: Page, point: Point) -> Point:
    """Return the page coordinates of a point in the largest square in the middle of the drawing area."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    side = box["height"]
    return box["x"] + box["width"] / 2 + (point[0] - 0.5) * side, box["y"] + point[1] * side


def press(page: Page, stroke: Stroke) -> None:
    """Draw a stroke and keep the mouse button down."""
    page.mouse.move(*at(page, stroke[0]))
    page.mouse.down()
    for before, point in pairwise(stroke):
        page.mouse.move(*at(page, point), steps=math.ceil(8 * math.dist(before, point)))


def draw(page: Page, *strokes: Stroke) -> None:
    for stroke in strokes:
        press(page, stroke)
        page.mouse.up()


def expect_digit(page: Page, digit: int) -> None:
    expect(page.locator("#digit")).to_have_text(re.compile(rf"^{digit}\??$"))


def expect_sentence(page: Page, *words: str) -> None:
    for word in words:
        expect(page.locator("#sentence")).to_contain_text(word)


def expect_blank(page: Page) -> None:
    expect(page.locator("#answer")).to_have_attribute("data-state", "empty")
    expect(page.locator("#digit")).to_have_text("")
    expect(page.locator("#seen")).to_be_hidden()


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def choose(page: Page, *, name: str, content: bytes, kind: str) -> None:
    """Choose a file with the button."""
    with page.expect_file_chooser() as chooser:
        button(page, "Picture").click()
    chooser.value.set_files({"name": name, "mimeType": kind, "buffer": content})


def drop(page: Page, *, name: str, content: bytes, kind: str) -> None:
    transfer = page.evaluate_handle(
        """([bytes, name, type]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return transfer;
        }""",
        [list(content), name, kind],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.locator("footer").dispatch_event(event, {"dataTransfer": transfer})


def paste(page: Page, *, name: str, content: bytes, kind: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """([bytes, type]) => navigator.clipboard.write(
            [new ClipboardItem({ [type]: new Blob([new Uint8Array(bytes)], { type }) })]
        )""",
        [list(content), kind],
    )
    page.keyboard.press("Control+v")


def answer_with(*, left_out: int = 0, **fields: Any) -> Callable[[Route], None]:
    """Return a route handler for ANSWERS that replies with one digit."""
    probabilities = [0.0] * 10
    for digit, probability in fields.pop("probabilities").items():
        probabilities[digit] = probability
    digit = int(np.argmax(probabilities))
    model = {"name": "mnist-dense", "version": 1}
    prediction = {
        "digit": digit,
        "probability": probabilities[digit],
        "probabilities": probabilities,
        "preprocessing": [],
        "pixels": [[0] * 28] * 28,
        "model": model,
        **fields,
    }
    found = {**prediction, "line": 0, "box": {"x": 0, "y": 0, "width": 20, "height": 20}}
    reading = {"text": str(digit), "lines": [str(digit)], "digits": [found], "left_out": left_out, "model": model}

    def answer(route: Route) -> None:
        reply = reading if "/read" in route.request.url else prediction
        route.fulfill(status=200, content_type="application/json", body=orjson.dumps(reply))

    return answer


def read_with(*lines: str, unsure: Sequence[int] = (), left_out: int = 0, **fields: Any) -> Callable[[Route], None]:
    """Return a route handler that replies with a number. Each digit is 30 pixels wide and 40 high, in a grid of 50."""
    digits: list[dict[str, Any]] = []
    for line, text in enumerate(lines):
        for column, digit in enumerate(map(int, text)):
            probabilities = [0.0] * 10
            probabilities[digit] = 1.0
            plausible = [digit, (digit + 1) % 10] if len(digits) in unsure else [digit]
            digits.append(
                {
                    "digit": digit,
                    "probability": 1.0,
                    "probabilities": probabilities,
                    "prediction_set": sorted(plausible),
                    "coverage": 0.99,
                    "calibration": "normalized",
                    "is_digit": True,
                    "novelty": 0.0,
                    "line": line,
                    "box": {"x": 50 * column + 10, "y": 50 * line + 5, "width": 30, "height": 40},
                    "pixels": [[len(digits) % 256] * 28] * 28,
                    **fields,
                }
            )
    model = {"name": "mnist-dense", "version": SHIPPED_VERSION}
    reply = {"text": "\n".join(lines), "lines": lines, "digits": digits, "left_out": left_out, "model": model}
    return lambda route: route.fulfill(status=200, content_type="application/json", body=orjson.dumps(reply))


def blank_png(width: int, height: int) -> bytes:
    return encoded(Image.new("L", (width, height), 255))


def overlay_alpha(page: Page, x: float, y: float) -> int:
    """Return how much the boxes cover a point, 0 to 255. Coordinates are fractions of the area's width and height."""
    alpha: int = page.locator("#boxes").evaluate(
        """(canvas, [x, y]) => canvas.getContext('2d')
            .getImageData(Math.round(x * canvas.width), Math.round(y * canvas.height), 1, 1).data[3]""",
        [x, y],
    )
    return alpha


def draw_number(page: Page, text: str) -> None:
    """Draw the digits side by side."""
    for index, digit in enumerate(text):
        left = (index - len(text) / 2) * 1.3 / len(text) + 0.5
        scale = 1.5 / (len(text) + 0.5)
        strokes = STROKES[int(digit)]
        draw(page, *([(left + scale * x, 0.5 + scale * (y - 0.5)) for x, y in stroke] for stroke in strokes))


def selected(page: Page) -> Locator:
    return page.get_by_role("radio", checked=True)


def hold_requests(page: Page, *, most: int) -> list[Route]:
    """Collect the next requests for an answer in a list instead of answering them."""
    held: list[Route] = []
    page.route(ANSWERS, lambda route: held.append(route), times=most)  # noqa: PLW0108 - a builtin has no signature
    return held


def wait_for_request(page: Page, held: list[Route]) -> None:
    deadline = time.monotonic() + 10
    while not held and time.monotonic() < deadline:
        page.wait_for_timeout(10)
    assert held


def record_requests(page: Page) -> list[str]:
    """Collect the method and URL of every request that the page sends from now on."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(f"{request.method} {request.url}"))
    return requests


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    return open_page(service.url)


@pytest.fixture
def page_with_errors(open_page: OpenPage, service: Service) -> Page:
    """The page for a test that provokes error replies."""
    return open_page(service.url, refusals=True)


# Drawing


def test_each_digit_drawn_with_the_mouse_is_recognized(page: Page) -> None:
    for digit, strokes in STROKES.items():
        draw(page, *strokes)

        expect(page.locator("#digit")).to_have_text(str(digit))  # an unsure answer has a question mark

        button(page, "Clear").click()
        expect_blank(page)


def test_the_answer_shows_bars_time_and_preprocessing(page: Page) -> None:
    draw(page, *STROKES[2])

    expect_digit(page, 2)
    expect_sentence(page, "sure")
    bars = page.get_by_role("list", name="Probabilities").get_by_role("listitem")
    expect(bars).to_have_count(10)
    shown = [float(text.split()[1].lstrip(">")) for text in bars.all_inner_texts()]
    assert max(range(10), key=shown.__getitem__) == 2
    assert sum(shown) == pytest.approx(100, abs=1)
    expect(page.locator("#facts")).to_have_text(
        re.compile(r"^mnist-dense version \d+\s784\s→\s512\s→\s10\s[\d.]+\sms round trip$")
    )
    expect(page.locator("#done")).to_have_text(re.compile("^Inverted to light ink on dark, cropped.* and centred.$"))


def test_light_ink_in_dark_mode_is_not_inverted(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, color_scheme="dark")

    draw(page, *STROKES[7])

    expect_digit(page, 7)
    expect(page.locator("#done")).to_have_text(re.compile("^Cropped.* and centred.$"))


def test_the_answer_changes_while_the_pen_is_down(page: Page) -> None:
    press(page, STROKES[7][0])

    expect_digit(page, 7)


def test_a_finger_draws_and_does_not_scroll(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **PHONE)
    devtools = page.context.new_cdp_session(page)

    for index, point in enumerate(dense(STROKES[7][0])):
        x, y = at(page, point)
        kind = "touchMove" if index else "touchStart"
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    expect_digit(page, 7)
    assert page.evaluate("scrollY") == 0


def test_the_picture_shown_is_the_one_that_the_network_saw(page: Page) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28)).tolist()
    page.route(ANSWERS, answer_with(probabilities={7: 1.0}, pixels=pixels))

    draw(page, *STROKES[7])
    expect_digit(page, 7)

    shown = page.locator("#pixels").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data)"
    )
    rgba = np.array(shown).reshape(28, 28, 4)
    assert (rgba[..., :3] == np.array(pixels)[..., None]).all()
    assert (rgba[..., 3] == 255).all()


def test_strokes_are_sharp_on_a_dense_screen(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, device_scale_factor=3, viewport={"width": 390, "height": 844})

    sides = page.locator("#canvas").evaluate("canvas => [canvas.width, canvas.clientWidth]")

    assert sides[0] == 3 * sides[1]


def test_a_pen_replaces_the_touch_of_the_hand_that_holds_it(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **PHONE)
    devtools = page.context.new_cdp_session(page)
    x, y = at(page, (0.8, 0.9))
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})

    for index, point in enumerate(dense(STROKES[7][0])):
        x, y = at(page, point)
        kind = "mouseMoved" if index else "mousePressed"
        pen = {"pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1, "force": 0.5}
        devtools.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pen})

    expect_digit(page, 7)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    button(page, "Undo").click()
    expect_blank(page)


@pytest.mark.parametrize("how", ["button", "Control+z"])
def test_undo_removes_one_stroke_at_a_time(page: Page, how: str) -> None:
    def undo() -> None:
        if how == "button":
            button(page, "Undo").click()
        else:
            page.keyboard.press(how)

    draw(page, *STROKES[7], [(0.2, 0.5), (0.8, 0.5)], [(0.2, 0.6), (0.8, 0.6)], [(0.3, 0.9), (0.9, 0.3)])

    for _ in range(3):
        undo()
    expect_digit(page, 7)
    undo()
    expect_blank(page)
    expect(button(page, "Undo")).to_be_disabled()


@pytest.mark.parametrize("how", ["button", "Escape", "Delete"])
def test_clear_empties_the_drawing_and_can_be_undone(page: Page, how: str) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)

    if how == "button":
        button(page, "Clear").click()
    else:
        page.locator("#canvas").focus()
        page.keyboard.press(how)

    expect_blank(page)
    button(page, "Undo").click()
    expect_digit(page, 7)


# Picture files


@pytest.mark.parametrize("way", [choose, drop, paste])
def test_a_picture_can_be_chosen_dropped_or_pasted(page: Page, way: Callable[..., None]) -> None:
    way(page, name="seven.png", content=SEVEN_PNG.read_bytes(), kind="image/png")

    expect_digit(page, 7)
    assert page.locator("#canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[3]"
    )
    expect(page.locator("#caption")).to_have_text("image.png" if way is paste else "seven.png")
    if way is not paste:  # the clipboard re-encodes the picture
        expect(page.locator("#done")).to_have_text("Used unchanged.")


def test_a_stroke_on_a_picture_starts_a_new_drawing_and_undo_restores_the_picture(page: Page) -> None:
    choose(page, name="seven.png", content=SEVEN_PNG.read_bytes(), kind="image/png")
    expect_digit(page, 7)

    draw(page, *STROKES[0])

    expect_digit(page, 0)
    expect(page.locator("#caption")).to_be_hidden()
    button(page, "Undo").click()
    expect_digit(page, 7)
    expect(page.locator("#caption")).to_have_text("seven.png")


def test_a_phone_offers_its_camera(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **PHONE)

    with page.expect_file_chooser() as chooser:
        button(page, "Photo with the camera").click()
    chooser.value.set_files(SEVEN_PNG)

    assert chooser.value.element.get_attribute("capture") == "environment"
    expect_digit(page, 7)


def test_a_large_photo_is_rotated_and_reduced_before_it_is_sent(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url)
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


@pytest.mark.parametrize(
    ("name", "kind", "content", "words"),
    [
        pytest.param("IMG_1.HEIC", "image/heic", b"\0\0\0\x18ftypheic" + bytes(64), ["HEIC"], id="a HEIC photo"),
        pytest.param("IMG_1.HEIC", "", b"\0\0\0\x18ftypheic" + bytes(64), ["HEIC"], id="a HEIC photo without a type"),
        pytest.param("seven.png", "image/png", b"seven", ["cannot be read"], id="text with a picture's name"),
        pytest.param("empty.png", "image/png", b"", ["empty.png", "empty"], id="an empty file"),
        pytest.param(
            "white.png", "image/png", encoded(Image.new("L", (200, 200), 255)), ["shows no digit"], id="a blank picture"
        ),
    ],
)
def test_an_unreadable_file_is_explained_and_the_next_stroke_is_answered(
    page_with_errors: Page, name: str, kind: str, content: bytes, words: list[str]
) -> None:
    page = page_with_errors
    choose(page, name=name, content=content, kind=kind)

    expect(page.locator("#answer")).to_have_attribute("data-state", "problem")
    expect_sentence(page, *words)
    draw(page, *STROKES[7])
    expect_digit(page, 7)


def test_a_file_that_is_not_a_picture_never_leaves_the_browser(page: Page) -> None:
    requests = record_requests(page)

    drop(page, name="diary.txt", content=b"Dear diary", kind="text/plain")

    expect_sentence(page, "diary.txt", "not a picture")
    assert not [request for request in requests if request.startswith("POST")]


def test_pasting_text_is_explained(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('seven')")

    page.keyboard.press("Control+v")

    expect_sentence(page, "clipboard contains no picture")


def test_a_refused_file_replaces_the_drawing_and_undo_restores_it(page: Page) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)

    drop(page, name="diary.txt", content=b"Dear diary", kind="text/plain")

    expect_sentence(page, "not a picture")
    expect(page.locator("#hint")).to_have_css("opacity", "1")
    button(page, "Undo").click()
    expect_digit(page, 7)


# Examples


def test_each_example_shows_what_its_name_says(page: Page) -> None:
    examples = page.get_by_role("group", name="Examples")

    for name, state, digit in (
        ("A photo", "answer", "3"),
        ("4 or 9?", "unsure", "[49]"),
        ("A letter", "stranger", "4"),
    ):
        examples.get_by_role("button", name=name).click()

        expect(page.locator("#caption")).to_have_text(name)
        expect(page.locator("#answer")).to_have_attribute("data-state", state)
        expect(page.locator("#digit")).to_have_text(re.compile(digit))
    examples.get_by_role("button", name="A number").click()
    expect(page.locator("#number")).to_have_text("2048")
    button(page, "Clear").click()
    expect_blank(page)


@pytest.mark.parametrize(
    ("options", "is_offered"),
    [pytest.param({}, True, id="with a mouse"), pytest.param(PHONE, False, id="not on a phone")],
)
def test_dropping_a_picture_is_offered(
    open_page: OpenPage, service: Service, options: dict[str, Any], is_offered: bool
) -> None:
    page = open_page(service.url, **options)

    expect(page.get_by_text("drop a picture here")).to_be_visible(visible=is_offered)


# Numbers


def test_two_drawn_digits_are_a_number_with_a_box_for_each(page: Page) -> None:
    draw_number(page, "42")

    expect(page.locator("#number")).to_have_text("42")
    expect(page.locator("#summary")).to_have_text("2 digits, none of them unsure.")
    expect(page.get_by_role("status")).to_have_text("42. 2 digits, none of them unsure.")
    expect_digit(page, 2)  # the details are those of the digit that was drawn last
    expect(page.locator("#place")).to_have_text("Digit 2 of 2")
    row = "canvas => Array.from(canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1).data)"
    alpha = page.locator("#boxes").evaluate(row)[3::4]
    lines = [x for x, (before, after) in enumerate(pairwise(alpha)) if after > 200 > before]
    assert len(lines) == 4  # a row through the middle crosses the left and right side of two boxes
    button(page, "Clear").click()
    expect_blank(page)
    expect(page.locator("#whole")).to_be_hidden()
    assert sum(page.locator("#boxes").evaluate(row)) == 0


def test_a_number_in_a_picture_shows_the_details_of_its_first_digit(page: Page) -> None:
    drop(page, name="number.jpg", content=(EXAMPLES / "number.jpg").read_bytes(), kind="image/jpeg")

    expect(page.locator("#number")).to_have_text("4071")
    expect(page.get_by_role("radio")).to_have_count(4)
    expect_digit(page, 4)
    expect_sentence(page, "A 4", "sure")
    expect(page.locator("#more")).to_have_text("Only 4 is plausible (99 % coverage).")
    expect(page.locator("#bars .best .name")).to_have_text("4")
    expect(page.locator("#pixels")).to_be_visible()


def test_a_box_lies_where_the_digit_is_in_the_picture(page: Page) -> None:
    page.route(ANSWERS, read_with("42"))

    drop(page, name="wide.png", content=blank_png(300, 100), kind="image/png")

    expect(page.locator("#number")).to_have_text("42")
    top = 0.25  # the picture is twice as wide as the area, so a quarter of the area is blank above it
    for left in (10, 60):
        assert overlay_alpha(page, (left + 15) / 300, top + 0.5 * 25 / 100) < 100  # the selected box is tinted
        for x, y in ((left - 2, 25), (left + 32, 25), (left + 15, 47)):
            near = [overlay_alpha(page, (x + d) / 300, top + 0.5 * (y + d) / 100) for d in (-1, 0, 1)]
            assert max(near) > 200


def test_the_arrow_keys_select_a_digit_and_show_its_details(page: Page) -> None:
    page.route(ANSWERS, read_with("407", "52"))
    drop(page, name="lines.png", content=blank_png(300, 200), kind="image/png")
    expect(page.locator("#number")).to_have_text("407\n52", use_inner_text=True)
    selected(page).focus()
    shown = []

    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp", "End", "ArrowRight", "Home", "ArrowLeft"):
        page.keyboard.press(key)
        expect(selected(page)).to_be_focused()
        digit, place = page.locator("#digit").text_content(), page.locator("#place").text_content()
        pixel = page.locator("#pixels").evaluate("canvas => canvas.getContext('2d').getImageData(0, 0, 1, 1).data[0]")
        shown.append((key, digit, place, pixel))

    assert shown == [
        ("ArrowRight", "0", "Line 1, digit 2", 1),
        ("ArrowDown", "2", "Line 2, digit 2", 4),
        ("ArrowRight", "2", "Line 2, digit 2", 4),
        ("ArrowUp", "0", "Line 1, digit 2", 1),
        ("End", "2", "Line 2, digit 2", 4),
        ("ArrowRight", "2", "Line 2, digit 2", 4),
        ("Home", "4", "Line 1, digit 1", 0),
        ("ArrowLeft", "4", "Line 1, digit 1", 0),
    ]
    expect(page.get_by_role("radiogroup", name="The digits that were read")).to_be_visible()
    name = "4. A 4, >99.9 % sure. Only 4 is plausible (99 % coverage)."
    expect(selected(page)).to_have_accessible_name(name)


def test_a_digit_is_selected_by_a_tap_in_its_box_which_draws_nothing(open_page: OpenPage, service: Service) -> None:
    page = open_page(service.url, **PHONE)
    page.route(ANSWERS, read_with("42"))
    drop(page, name="wide.png", content=blank_png(300, 200), kind="image/png")
    expect_digit(page, 4)
    requests = record_requests(page)
    box = page.locator("#canvas").bounding_box()
    assert box is not None

    page.touchscreen.tap(box["x"] + 75 / 300 * box["width"], box["y"] + 25 / 200 * box["height"])

    expect_digit(page, 2)
    expect(page.locator("#place")).to_have_text("Digit 2 of 2")
    page.get_by_role("radio").first.tap()
    expect_digit(page, 4)
    page.wait_for_timeout(300)
    assert not [request for request in requests if request.startswith("POST")]


def test_a_stroke_that_starts_in_a_box_draws(page: Page) -> None:
    page.route(ANSWERS, read_with("42"))
    drop(page, name="wide.png", content=blank_png(300, 200), kind="image/png")
    expect_digit(page, 4)
    page.unroute(ANSWERS)

    draw(page, *STROKES[7])

    expect_digit(page, 7)
    expect(page.locator("#whole")).to_be_hidden()


def test_unsure_digits_are_marked_and_the_first_is_shown(page: Page) -> None:
    page.route(ANSWERS, read_with("4071", unsure=[1, 3], left_out=2))

    drop(page, name="wide.png", content=blank_png(300, 200), kind="image/png")

    words = "4 digits. 2 of them are unsure, marked with “?”. 2 marks were not read."
    expect(page.locator("#summary")).to_have_text(words)
    expect(page.get_by_role("status")).to_have_text(f"4071. {words}")
    expect(page.locator("#number .unsure")).to_have_text(["0", "1"])
    marks = page.get_by_role("radio").evaluate_all("all => all.map(e => getComputedStyle(e, '::after').content)")
    assert marks == ["none", '"?"', "none", '"?"']
    expect(page.locator("#place")).to_have_text("Digit 2 of 4")
    expect(page.locator("#more")).to_have_text("0 and 1 are plausible (99 % coverage).")
    name = "0, unsure. A 0, >99.9 % sure. 0 and 1 are plausible (99 % coverage)."
    expect(selected(page)).to_have_accessible_name(name)


@pytest.mark.parametrize(("left_out", "words"), [(0, ""), (1, "1 mark was not read."), (2, "2 marks were not read.")])
def test_marks_beside_one_digit_are_counted(page: Page, left_out: int, words: str) -> None:
    answer = answer_with(probabilities={7: 1.0}, left_out=left_out)
    page.route(ANSWERS, answer)

    choose(page, name="seven.png", content=SEVEN_PNG.read_bytes(), kind="image/png")

    expect_digit(page, 7)
    expect(page.locator("#left-out")).to_have_text(words)
    expect(page.get_by_role("status")).to_have_text(f"A 7, >99.9 % sure. {words}".strip())


def test_an_unfinished_digit_is_not_cut_into_several(page: Page) -> None:
    requests = record_requests(page)

    press(page, STROKES[7][0])
    expect_digit(page, 7)
    while_down = [request for request in requests if "/read" in request]
    page.mouse.up()
    with page.expect_response("**/read?*"):
        pass

    assert while_down == []
    expect_digit(page, 7)


def test_a_dot_waits_for_the_rest_of_its_stroke(page: Page) -> None:
    requests = record_requests(page)

    press(page, [(0.5, 0.2), (0.5, 0.25)])
    page.wait_for_timeout(400)
    before = [request for request in requests if request.startswith("POST")]
    page.mouse.move(*at(page, (0.5, 0.8)), steps=8)

    expect_digit(page, 1)
    assert before == []


def test_a_number_stays_while_its_next_digit_is_drawn(page: Page) -> None:
    draw_number(page, "42")
    expect(page.locator("#number")).to_have_text("42")

    press(page, [(1.1, 0.2), (1.1, 0.5)])
    page.wait_for_timeout(400)

    expect(page.locator("#number")).to_have_text("42")
    page.mouse.move(*at(page, (1.1, 0.8)))
    page.mouse.up()
    expect(page.locator("#number")).to_have_text("421")


def test_a_sheet_of_500_digits_is_shown_and_selectable(page: Page) -> None:
    page.route(ANSWERS, read_with(*["0123456789012345678901234"] * 20))

    drop(page, name="sheet.png", content=blank_png(1300, 1000), kind="image/png")

    expect(page.get_by_role("radio")).to_have_count(500)
    expect(page.locator("#summary")).to_have_text("500 digits in 20 lines, none of them unsure.")
    selected(page).press("End")
    expect_digit(page, 4)
    expect(page.locator("#place")).to_have_text("Line 20, digit 25")
    expect(selected(page)).to_be_in_viewport()


def test_why_explains_each_digit_of_a_number(page: Page) -> None:
    draw_number(page, "42")
    expect(page.locator("#number")).to_have_text("42")

    button(page, "Why?").click()

    expect(page.locator("#for")).to_have_text("supports 2")
    selected(page).press("ArrowLeft")
    expect(page.locator("#for")).to_have_text("supports 4")
    expect(page.get_by_role("img", name=re.compile("Blue supports 4"))).to_be_visible()


# Errors and slow networks


def test_a_service_that_is_down_is_explained_and_asked_again(open_page: OpenPage, start_service: StartService) -> None:
    service = start_service().wait_until_ready()
    page = open_page(service.url, refusals=True)
    draw(page, *STROKES[0])
    expect_digit(page, 0)
    service.stop()

    draw(page, [(0.5, 0.4), (0.5, 0.6)])

    expect_sentence(page, "cannot be reached")
    expect_sentence(page, "next stroke")
    button(page, "Clear").click()
    draw(page, *STROKES[7])
    expect_sentence(page, "cannot be reached")
    start_service(MNIST_PORT=service.url.rsplit(":", 1)[1]).wait_until_ready()
    expect_digit(page, 7)  # without another stroke


def test_a_service_without_a_model_is_explained_and_asked_again(
    open_page: OpenPage, start_service: StartService, bare_checkout: Path, tmp_path: Path
) -> None:
    service = start_service(MNIST_MODEL_DIR=str(tmp_path / "volume"), cwd=str(bare_checkout))
    service.wait_for_status("/livez", 200)
    for path in ("/model/card", "/model/report/README.md"):
        assert service.client.get(path).status_code == 503
    page = open_page(service.url, refusals=True)

    draw(page, *STROKES[7])

    expect_sentence(page, "not ready")
    publish_tiny(tmp_path / "volume")  # this model answers at random, and its report has no figures
    expect(page.locator("#digit")).to_have_text(re.compile(r"^\d\??$"))
    page.get_by_text("how good is it?").click()
    expect(page.locator("#accuracy")).to_contain_text("50.00")
    expect(page.locator("figure:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        pytest.param(502, "text/html", "<h1>Bad gateway</h1>", "could not answer", id="a proxy's page"),
        pytest.param(500, "application/problem+json", '{"detail": "a bug"}', "could not answer", id="a bug"),
        pytest.param(413, "application/problem+json", '{"detail": "at most 9 pixels"}', "too large: at most", id="413"),
        pytest.param(
            *(413, "application/problem+json", '{"detail": "expected at most 9 digits"}'),
            *("too many digits: expected at most 9 digits",),
            id="too many digits",
        ),
        pytest.param(200, "text/html", "<h1>Sign in</h1>", "could not answer", id="a sign-in page"),
        pytest.param(200, "application/json", "null", "could not answer", id="null"),
    ],
)
def test_any_other_reply_is_explained_and_the_next_stroke_is_answered(
    page_with_errors: Page, status: int, kind: str, body: str, words: str
) -> None:
    page = page_with_errors
    page.route(ANSWERS, lambda route: route.fulfill(status=status, content_type=kind, body=body))

    draw(page, *STROKES[7])

    expect_sentence(page, words)
    page.unroute(ANSWERS)
    draw(page, [(0.44, 0.84), (0.43, 0.86)])
    expect_digit(page, 7)


def test_an_old_answer_never_replaces_a_newer_one(page: Page) -> None:
    held = hold_requests(page, most=1)
    draw(page, *STROKES[1])
    wait_for_request(page, held)

    draw(page, [(0.36, 0.2), (0.3, 0.52), (0.7, 0.52)])

    expect_digit(page, 4)
    answer_with(probabilities={1: 1.0})(held[0])
    page.wait_for_timeout(300)
    expect_digit(page, 4)


def test_an_answer_that_arrives_after_clear_is_not_shown(page: Page) -> None:
    held = hold_requests(page, most=100)
    draw(page, *STROKES[1])
    wait_for_request(page, held)

    button(page, "Clear").click()
    for request in held:
        answer_with(probabilities={1: 1.0})(request)
    page.wait_for_timeout(300)

    expect_blank(page)


def test_a_long_stroke_sends_few_requests(page: Page) -> None:
    requests = record_requests(page)

    press(page, arc((0.5, 0.5), (0.2, 0.3), -90, 270))
    page.mouse.up()
    expect_digit(page, 0)

    assert 1 <= len(requests) <= 20  # the mouse moves 48 times


# The words of an answer

AT_99 = {"coverage": 0.99, "is_digit": True, "novelty": 0.3}
VERDICTS: dict[str, tuple[dict[str, Any], tuple[str, str, str, str]]] = {
    "unsure": (
        {"probabilities": {4: 0.451, 9: 0.402}},
        ("unsure", "4?", "Not sure: it may be a 4 (45.1 %) or a 9 (40.2 %).", ""),
    ),
    "probable": (
        {"probabilities": {4: 0.8, 9: 0.2}},
        ("answer", "4", "Probably a 4: 80.0 % sure. Next comes 9 with 20.0 %.", ""),
    ),
    "sure": (
        {"probabilities": {4: 0.987, 9: 0.013}},
        ("answer", "4", "A 4, 98.7 % sure.", ""),
    ),
    "very sure, and one digit is plausible": (
        {"probabilities": {8: 0.99996, 9: 0.00004}, "prediction_set": [8], **AT_99, "coverage": 0.999},
        ("answer", "8", "An 8, >99.9 % sure.", "Only 8 is plausible (99.9 % coverage)."),
    ),
    "probable, and one digit is plausible": (
        {"probabilities": {4: 0.8, 9: 0.2}, "prediction_set": [4], **AT_99},
        (
            *("answer", "4", "Probably a 4: 80.0 % sure. Next comes 9 with 20.0 %."),
            "Only 4 is plausible (99 % coverage).",
        ),
    ),
    "sure, and two digits are plausible": (
        {"probabilities": {4: 0.95, 9: 0.05}, "prediction_set": [4, 9], **AT_99},
        ("answer", "4", "A 4, 95.0 % sure.", "4 and 9 are plausible (99 % coverage)."),
    ),
    "probable, and three digits are plausible": (
        {"probabilities": {4: 0.7, 7: 0.1, 9: 0.2}, "prediction_set": [4, 7, 9], **AT_99},
        (
            *("answer", "4", "Probably a 4: 70.0 % sure. Next comes 9 with 20.0 %."),
            "4, 9 and 7 are plausible (99 % coverage).",
        ),
    ),
    "unsure, and two digits are plausible": (
        {"probabilities": {4: 0.451, 9: 0.402}, "prediction_set": [4, 9], **AT_99},
        (
            *("unsure", "4?", "Not sure: it may be a 4 (45.1 %) or a 9 (40.2 %)."),
            "4 and 9 are plausible (99 % coverage).",
        ),
    ),
    "every digit is plausible": (
        {"probabilities": dict.fromkeys(range(10), 0.1), "prediction_set": list(range(10)), **AT_99},
        ("unsure", "0?", "Not sure: it may be any digit.", "Every digit is plausible (99 % coverage)."),
    ),
    "no digit is plausible": (
        {"probabilities": {4: 0.651, 9: 0.302}, "prediction_set": [], **AT_99},
        (
            *("unsure", "4?", "Not sure: it may be a 4 (65.1 %) or a 9 (30.2 %)."),
            "No digit is probable enough (99 % coverage).",
        ),
    ),
    "not a digit": (
        {"probabilities": {4: 0.987, 9: 0.013}, "prediction_set": [4], **AT_99, "is_digit": False},
        ("stranger", "4", "This does not look like a digit.", "If it is one, the best guess is 4 (98.7 %)."),
    ),
    "a digit, from a version without prediction sets": (
        {"probabilities": {4: 0.987, 9: 0.013}, "is_digit": True, "novelty": 0.3},
        ("answer", "4", "A 4, 98.7 % sure.", ""),
    ),
}


def test_an_answer_is_put_into_words(page: Page) -> None:
    replies = []
    for reply, _ in VERDICTS.values():
        probabilities = [reply["probabilities"].get(digit, 0) for digit in range(10)]
        replies.append({"digit": int(np.argmax(probabilities))} | reply | {"probabilities": probabilities})

    verdicts = page.evaluate(
        "replies => import('/page/verdict.js').then(({ verdict }) => replies.map(verdict))", replies
    )

    fields = ("state", "digit", "sentence", "more")
    words = [tuple(verdict[field].replace("\u00a0", " ") for field in fields) for verdict in verdicts]
    assert dict(zip(VERDICTS, words, strict=True)) == {name: expected for name, (_, expected) in VERDICTS.items()}


def test_an_answer_is_shown_and_announced_to_screen_readers(page: Page) -> None:
    page.route(ANSWERS, answer_with(probabilities={4: 0.99996, 9: 0.00004}))

    draw(page, *STROKES[4])

    expect(page.locator("#answer")).to_have_attribute("data-state", "answer")
    expect(page.locator("#sentence")).to_have_text("A 4, >99.9 % sure.")
    expect(page.get_by_role("status")).to_have_text("A 4, >99.9 % sure.")
    bars = page.locator("#bars li")
    assert [" ".join(text.split()) for text in bars.all_inner_texts()][4] == "4 >99.9 %"
    expect(bars.and_(page.locator(".zero"))).to_have_count(9)


# Prediction sets, novelty and saliency


def test_plausible_digits_are_marked_and_named(open_page: OpenPage, trusted: Service) -> None:
    page = open_page(trusted.url)

    with page.expect_response("**/predict*") as answered:
        choose(page, name="seven.png", content=SEVEN_PNG.read_bytes(), kind="image/png")

    reply = answered.value.json()
    assert (reply["coverage"], reply["is_digit"]) == (0.99, True)
    assert 1 < len(reply["prediction_set"]) < 9
    expect_digit(page, reply["digit"])
    marked = page.get_by_role("listitem").filter(has_text="plausible")
    expect(marked).to_have_count(len(reply["prediction_set"]))
    assert [int(text.split()[0]) for text in marked.all_inner_texts()] == reply["prediction_set"]
    assert page.locator("#bars .plausible").count() == len(reply["prediction_set"])
    expect_sentence(page, "Not sure: it may be")
    more = page.locator("#more")
    for digit in reply["prediction_set"]:
        expect(more).to_contain_text(str(digit))
    expect(more).to_contain_text("are plausible (99 % coverage)")
    expect(page.get_by_role("status")).to_contain_text("Not sure: it may be")


@pytest.mark.parametrize(
    ("pixels", "pictures"),
    [
        pytest.param(np.copy, "pictures like MNIST's", id="in MNIST form"),
        pytest.param(lambda seven: np.pad(seven, 10), "distorted copies of MNIST's pictures", id="normalized"),
    ],
)
def test_a_question_mark_explains_what_plausible_means(
    open_page: OpenPage, trusted: Service, pixels: Callable[[Grey], Grey], pictures: str
) -> None:
    page = open_page(trusted.url)
    seven = pixels(np.asarray(Image.open(SEVEN_PNG)))
    choose(page, name="seven.png", content=encoded(seven), kind="image/png")
    help_ = button(page, "What does plausible mean")
    expect(help_).to_have_attribute("aria-expanded", "false")

    help_.press("Enter")

    expect(help_).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#meaning")).to_contain_text(f"the right digit of 99 % of {pictures} has a ring")
    help_.press("Enter")
    expect(page.locator("#meaning")).to_be_hidden()
    button(page, "Clear").click()
    expect(help_).to_be_hidden()


def test_a_picture_without_a_digit_is_called_so(open_page: OpenPage, trusted: Service) -> None:
    page = open_page(trusted.url)
    blot = np.full((28, 28), 255, np.uint8)
    blot[4:24, 4:24] = 0

    choose(page, name="blot.png", content=encoded(blot), kind="image/png")

    expect_sentence(page, "does not look like a digit")
    expect(page.locator("#more")).to_contain_text("If it is one, the best guess is")
    expect(page.get_by_role("status")).to_have_text(re.compile("not look like a digit. If it is one, the best guess"))
    sizes = page.locator("#digit, #sentence").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert sizes[0] < 3 * sizes[1]
    expect(page.locator("#bars .plausible")).to_have_count(0)
    expect(page.locator("#meaning")).to_be_hidden()


def saliency_colours(page: Page) -> Any:
    """Return the saliency's colours as RGBA, (28, 28, 4)."""
    data = page.locator("#saliency").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data)"
    )
    return np.array(data).reshape(28, 28, 4)


def test_why_shows_the_saliency_that_the_service_replies(open_page: OpenPage, trusted: Service) -> None:
    page = open_page(trusted.url)
    requests = record_requests(page)
    choose(page, name="seven.png", content=SEVEN_PNG.read_bytes(), kind="image/png")
    why = button(page, "Why?")
    expect(why).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#saliency")).to_be_hidden()

    why.focus()
    with page.expect_response("**/predict*") as answered:
        page.keyboard.press("Space")

    expect(why).to_have_attribute("aria-pressed", "true")
    expect(why).to_be_focused()
    digit, saliency = answered.value.json()["digit"], np.array(answered.value.json()["saliency"])
    explained = page.get_by_role("img", name=f"Nothing supports {digit}. Orange speaks against {digit}, mostly")
    expect(explained).to_be_visible()
    expect(page.locator("#legend")).to_have_text(re.compile(rf"supports {digit}\s*speaks against {digit}"))
    colours = saliency_colours(page)
    assert np.abs(colours[..., 3] - 255 * np.abs(saliency) / np.abs(saliency).max()).max() <= 1
    red, _, blue, _ = colours[np.unravel_index(np.abs(saliency).argmax(), (28, 28))]
    assert red > blue + 100  # orange
    page.keyboard.press("Space")
    expect(page.locator("#saliency")).to_be_hidden()
    expect(page.locator("#legend")).to_be_hidden()
    queries = [request.partition("/predict?")[2] for request in requests if "/predict" in request]
    assert queries == ["include=pixels", "normalize=never&include=saliency"]


def test_why_stays_on_for_the_next_drawing_and_tells_support_from_opposition(
    open_page: OpenPage, trusted: Service
) -> None:
    page = open_page(trusted.url)
    saliency = np.zeros((28, 28))
    saliency[2, 25], saliency[26, 14] = 0.5, -2
    model = {"name": "mnist-dense", "version": 2}
    page.route(ANSWERS, answer_with(probabilities={4: 1.0}, saliency=saliency.tolist(), model=model))
    draw(page, *STROKES[4])

    button(page, "Why?").click()
    button(page, "Clear").click()
    expect_blank(page)
    draw(page, *STROKES[4])

    expect(button(page, "Why?")).to_have_attribute("aria-pressed", "true")
    name = "Blue supports 4, mostly at the upper right. Orange speaks against 4, mostly at the bottom."
    expect(page.get_by_role("img", name=name)).to_be_visible()
    colours = saliency_colours(page)
    assert colours[2, 25, 3] == pytest.approx(64, abs=1)
    assert colours[26, 14, 3] == 255
    assert (colours[..., 3] > 0).sum() == 2
    red, _, blue = colours[2, 25, :3]
    assert blue > red + 100


def test_why_is_offered_only_for_a_version_with_saliency(open_page: OpenPage, reloading: Reloading) -> None:
    publish_trusted(reloading.root)
    reloading.wait_for_version(SHIPPED_VERSION + 2)
    page = open_page(reloading.service.url, refusals=True)
    draw(page, *STROKES[7])
    button(page, "Why?").click()
    expect(page.locator("#saliency")).to_be_visible()

    publish_tiny(reloading.root)
    reloading.wait_for_version(SHIPPED_VERSION + 3)
    draw(page, [(0.44, 0.84), (0.43, 0.86)])

    expect(page.locator("#facts")).to_contain_text(f"version {SHIPPED_VERSION + 3}")
    expect(page.locator("#digit")).to_have_text(re.compile(r"^\d\??$"))
    expect(page.locator("#why")).to_be_hidden()
    expect(page.locator("#saliency")).to_be_hidden()
    publish_trusted(reloading.root)
    reloading.wait_for_version(SHIPPED_VERSION + 4)
    draw(page, [(0.44, 0.84), (0.42, 0.86)])
    expect(button(page, "Why?")).to_have_attribute("aria-pressed", "false")


# Accessibility and layout


def test_every_control_is_reached_by_the_keyboard_and_shows_its_focus(page: Page) -> None:
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement;"
            " return [e.getAttribute('aria-label') ?? e.textContent.trim(), getComputedStyle(e).outlineStyle]; }"
        )
        reached.append((name, outline))
        if name.endswith("how good is it?"):
            page.keyboard.press("Enter")

    tools = ["Drawing area", "Undo", "Clear", "Picture from a file"]
    examples = ["A photo", "A number", "4 or 9?", "A letter"]
    names = ["API", "Model card", *tools, *examples, "How does it work, and how good is it?", "model card"]
    assert reached == [(name, "solid") for name in names]


def test_every_element_has_a_name_for_screen_readers(page: Page) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    page.get_by_text("how good is it?").click()

    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]

    nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    wanted = {"button", "link", "image", "img", "list", "heading", "region", "DisclosureTriangle", "navigation"}
    named = [(role, name) for role, name in nodes if role in wanted]
    assert all(name for _, name in named), named
    assert {"Drawing area", "What the network saw, 28 by 28 pixels"} <= {name for _, name in named}
    assert sum(role == "listitem" for role, _ in nodes) == 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_page: OpenPage, service: Service, scheme: str) -> None:
    page = open_page(service.url, color_scheme=scheme)

    colours = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`))",
        ["ground", "paper", "text", "quiet", "accent"],
    )

    ground, paper, *texts = [luminance(colour) for colour in colours]
    for text in texts:
        for under in (ground, paper):
            assert (max(text, under) + 0.05) / (min(text, under) + 0.05) >= 4.5  # WCAG 2.2, AA


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
    page.route(ANSWERS, read_with("0123456789" * 3, "0123456789", unsure=range(30), left_out=3))
    choose(page, name="long.png", content=blank_png(300, 200), kind="image/png")
    expect(page.get_by_role("radio")).to_have_count(40)
    number = too_wide(page)
    page.unroute(ANSWERS)
    choose(page, name="a" * 200 + ".png", content=b"no picture", kind="image/png")
    expect(page.locator("#answer")).to_have_attribute("data-state", "problem")

    assert (empty, explained, number, too_wide(page)) == ([], [], [], [])


def test_the_drawing_area_of_a_phone_is_as_wide_as_before_after_a_high_picture(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page(service.url, **PHONE)
    paper = page.locator("#paper")
    before = paper.bounding_box()
    choose(page, name="high.png", content=(EXAMPLES / "drawing-3.png").read_bytes(), kind="image/png")
    expect_digit(page, 3)
    high = paper.bounding_box()

    button(page, "Clear").click()

    assert before is not None
    assert high is not None
    assert high["height"] > before["height"]
    assert paper.bounding_box() == before


def test_the_whole_drawing_area_is_in_view_on_every_screen(page: Page) -> None:
    too_low = []
    for width, height in ((320, 568), (390, 844), (568, 320), (844, 390), (768, 1024), (1280, 720), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator("#canvas").bounding_box()
        assert box is not None
        if box["y"] + box["height"] > height:
            too_low.append((width, height))

    assert too_low == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_answer_is_in_view_without_scrolling_on_a_phone(
    open_page: OpenPage, service: Service, tmp_path: Path, scheme: str
) -> None:
    page = open_page(service.url, **PHONE, color_scheme=scheme)
    draw(page, *STROKES[2])
    expect_digit(page, 2)

    page.screenshot(path=tmp_path / "page.png")

    expect(page.locator("#digit")).to_be_in_viewport(ratio=1)
    expect(page.locator("#bars li").first).to_be_in_viewport(ratio=1)
    corner = np.asarray(Image.open(tmp_path / "page.png").convert("L"))[2, 2]
    assert bool(corner < 60) is (scheme == "dark")


def test_the_accuracy_and_figures_are_loaded_on_demand(page: Page) -> None:
    requests = record_requests(page)
    page.wait_for_timeout(200)
    before = [request for request in requests if "/model" in request]

    page.get_by_text("how good is it?").click()

    expect(page.locator("#accuracy")).to_have_text(re.compile(r" 9\d\.\d\d.% of 10,000 pictures in MNIST's test set"))
    for image in page.locator("figure img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100
        assert len(image.get_attribute("alt") or "") > 20
    assert before == []


def test_the_browser_stores_nothing(page: Page) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)

    kept = page.evaluate(
        "async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]"
    )

    assert kept == [0, 0, 0]
    assert page.context.cookies() == []
    expect(page.get_by_role("contentinfo")).to_contain_text("Nothing is stored")


def test_a_model_of_other_classes_shows_their_names(open_page: OpenPage, shapes: Service) -> None:
    page = open_page(shapes.url, refusals=True)  # of `POST /read`, once
    named = page.locator("#bars .name")
    expect(named).to_have_text(list(SHAPES))

    draw(page, *STROKES[7])

    expect(named).to_have_text(list(SHAPES))
    expect(page.locator("#digit")).to_have_text(re.compile("|".join(SHAPES)))
    expect(page.locator("#sentence")).to_contain_text(re.compile("|".join(SHAPES)))
    expect(page.locator("#layers-of-model")).to_contain_text("784")


def test_the_page_of_other_classes_does_not_speak_of_digits(open_page: OpenPage, shapes: Service) -> None:
    page = open_page(shapes.url, refusals=True)  # of the figures, which this model does not have

    page.get_by_text("how good is it?").click()

    expect(page.locator("#sentence")).to_have_text("Draw, or choose a picture. The answer appears here.")
    assert "digit" not in page.title()
    words = page.locator("body").inner_text().replace("Digits", "", 1)  # the project's name
    assert re.findall(r".*(?:digit|number).*", words) == []


def test_an_open_page_follows_a_change_to_digits(open_page: OpenPage, shapes: Service, service: Service) -> None:
    page = open_page(shapes.url)
    expect(page.locator("#hint")).to_have_text("Draw, or choose a picture")
    page.route("**/*", lambda route: route.continue_(url=route.request.url.replace(shapes.url, service.url)))

    draw(page, *STROKES[7])

    expect_digit(page, 7)
    expect(page.locator("#hint")).to_have_text("Draw a digit or a number")
    expect(page.get_by_role("group", name="Examples")).to_be_visible()
