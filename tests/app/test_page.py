"""The drawing page in a real browser: whatever is drawn, sent or broken, it answers or says why not."""

import io
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from app.openapi.example_pictures import EXAMPLES
from app.pages.drawing import FOLDER
from tests.app.conftest import OpenPage, Service, StartService
from tests.conftest import encoded, publish_tiny, publish_trusted

Point = tuple[float, float]
Stroke = Sequence[Point]
"""Points on the sheet, which goes from 0 to 1 both ways."""

SEVEN_PNG = EXAMPLES / "seven.png"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def arc(centre: Point, radii: Point, start: float, end: float) -> list[Point]:
    """Points on an ellipse, from one angle to another in degrees; 0 is right, 90 is down."""
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
    """The stroke with three more points between every two."""
    between = [
        (a[0] + (b[0] - a[0]) * step / 4, a[1] + (b[1] - a[1]) * step / 4)
        for a, b in pairwise(stroke)
        for step in range(1, 5)
    ]
    return [stroke[0], *between]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    channels = [int(colour.strip()[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def at(page: Page, point: Point) -> Point:
    """A point on the sheet as one on the page."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def press(page: Page, stroke: Stroke) -> None:
    """Draw a stroke and keep the button down."""
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
    """Choose a file by the button."""
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


def answer_with(**fields: Any) -> Callable[[Route], None]:
    """A reply of the service as it might be."""
    probabilities = [0.0] * 10
    for digit, probability in fields.pop("probabilities").items():
        probabilities[digit] = probability
    digit = int(np.argmax(probabilities))
    reply = {
        "digit": digit,
        "probability": probabilities[digit],
        "probabilities": probabilities,
        "preprocessing": [],
        "pixels": [[0] * 28] * 28,
        "model": {"name": "mnist-dense", "version": 1},
    }
    return lambda route: route.fulfill(status=200, content_type="application/json", body=orjson.dumps(reply | fields))


def hold_questions(page: Page, *, most: int) -> list[Route]:
    """The next questions to the service will lie in this list, unanswered."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/predict*", hold, times=most)
    return held


def wait_for_question(page: Page, held: list[Route]) -> None:
    deadline = time.monotonic() + 10
    while not held and time.monotonic() < deadline:
        page.wait_for_timeout(10)
    assert held


@pytest.fixture
def page(open_page: OpenPage, service: Service) -> Page:
    return open_page(service.url)


@pytest.fixture
def grumbling_page(open_page: OpenPage, service: Service) -> Page:
    """The page in a test that provokes replies that are errors."""
    return open_page(service.url, refusals=True)


# What is drawn


def test_each_digit_drawn_with_the_mouse_is_recognized(page: Page) -> None:
    for digit, strokes in STROKES.items():
        draw(page, *strokes)

        expect(page.locator("#digit")).to_have_text(str(digit))  # without the ? of an answer that is unsure

        button(page, "Clear").click()
        expect_blank(page)


def test_the_answer_comes_with_bars_and_what_was_done(page: Page) -> None:
    draw(page, *STROKES[2])

    expect_digit(page, 2)
    expect_sentence(page, "sure")
    bars = page.get_by_role("list", name="Probability of each digit").get_by_role("listitem")
    expect(bars).to_have_count(10)
    shown = [float(text.split()[1]) for text in bars.all_inner_texts()]
    assert max(range(10), key=shown.__getitem__) == 2
    assert sum(shown) == pytest.approx(100, abs=1)
    expect(page.locator("#facts")).to_have_text(re.compile(r"^[\d.]+\sms there and back, mnist-dense version \d+$"))
    expect(page.locator("#done")).to_have_text(re.compile("^Turned to light ink on dark, cut out.* and centred.$"))


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


def test_what_is_shown_of_the_network_is_what_the_service_says_it_saw(page: Page) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28)).tolist()
    page.route("**/predict*", answer_with(probabilities={7: 1.0}, pixels=pixels))

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


def test_a_pen_is_believed_over_the_hand_that_rests_beside_it(open_page: OpenPage, service: Service) -> None:
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
def test_undo_takes_back_one_stroke_after_the_other(page: Page, how: str) -> None:
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
def test_clear_gives_a_new_sheet_and_can_be_undone(page: Page, how: str) -> None:
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


# What is sent


@pytest.mark.parametrize("way", [choose, drop, paste])
def test_a_picture_can_be_chosen_dropped_or_pasted(page: Page, way: Callable[..., None]) -> None:
    way(page, name="seven.png", content=SEVEN_PNG.read_bytes(), kind="image/png")

    expect_digit(page, 7)
    assert page.locator("#canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(canvas.width / 2, canvas.width / 2, 1, 1).data[3]"
    )
    expect(page.locator("#caption")).to_have_text("image.png" if way is paste else "seven.png")
    if way is not paste:  # which re-encodes it
        expect(page.locator("#done")).to_have_text("Taken as it came, pixel by pixel.")


def test_a_stroke_on_a_picture_starts_a_new_drawing_and_undo_brings_the_picture_back(page: Page) -> None:
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
        button(page, "Photo").click()
    chooser.value.set_files(SEVEN_PNG)

    assert chooser.value.element.get_attribute("capture") == "environment"
    expect_digit(page, 7)


def test_a_large_photo_is_turned_upright_and_reduced_before_it_is_sent(open_page: OpenPage, service: Service) -> None:
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
    exif[0x0112] = 6  # stored lying on its left side
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
        pytest.param("IMG_1.HEIC", "", b"\0\0\0\x18ftypheic" + bytes(64), ["HEIC"], id="a HEIC photo of no type"),
        pytest.param("seven.png", "image/png", b"seven", ["cannot be read"], id="text that calls itself a picture"),
        pytest.param("seven.txt", "text/plain", b"seven", ["seven.txt", "not a picture"], id="text"),
        pytest.param("empty.png", "image/png", b"", ["empty.png", "empty"], id="an empty file"),
        pytest.param(
            "white.png", "image/png", encoded(Image.new("L", (200, 200), 255)), ["no digit"], id="a blank picture"
        ),
    ],
)
def test_what_cannot_be_read_gets_a_sentence_and_the_next_stroke_an_answer(
    grumbling_page: Page, name: str, kind: str, content: bytes, words: list[str]
) -> None:
    page = grumbling_page
    choose(page, name=name, content=content, kind=kind)

    expect(page.locator("#answer")).to_have_attribute("data-state", "problem")
    expect_sentence(page, *words)
    draw(page, *STROKES[7])
    expect_digit(page, 7)


def test_what_is_no_picture_never_leaves_the_browser(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.method))

    drop(page, name="diary.txt", content=b"Dear diary", kind="text/plain")

    expect_sentence(page, "not a picture")
    assert "POST" not in asked


def test_a_paste_without_a_picture_says_so(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('seven')")

    page.keyboard.press("Control+v")

    expect_sentence(page, "clipboard holds no picture")


# What is in the way


def test_a_service_that_is_down_gets_a_sentence_and_its_return_an_answer(
    open_page: OpenPage, start_service: StartService
) -> None:
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
    expect_digit(page, 7)  # by itself


def test_a_service_without_a_model_gets_a_sentence_and_its_model_an_answer(
    open_page: OpenPage, start_service: StartService, bare_checkout: Path, tmp_path: Path
) -> None:
    service = start_service(MNIST_MODEL_DIR=str(tmp_path / "volume"), cwd=str(bare_checkout))
    service.wait_for_status("/livez", 200)
    for path in ("/model/card", "/model/report/README.md"):
        assert service.client.get(path).status_code == 503
    page = open_page(service.url, refusals=True)

    draw(page, *STROKES[7])

    expect_sentence(page, "not ready")
    publish_tiny(tmp_path / "volume")  # knows no digit, but answers; its report has a model card and no figure
    expect(page.locator("#digit")).to_have_text(re.compile(r"^\d\??$"))
    page.get_by_text("How good is it?").click()
    expect(page.locator("#accuracy")).to_contain_text("50.00")
    expect(page.locator("figure:visible")).to_have_count(0)


def test_pictures_over_the_limit_get_a_sentence(open_page: OpenPage, start_service: StartService) -> None:
    service = start_service(MNIST_MAX_IMAGE_PIXELS="100000").wait_until_ready()
    page = open_page(service.url, refusals=True)

    choose(page, name="large.png", content=encoded(Image.new("L", (1000, 1000), 255)), kind="image/png")

    expect_sentence(page, "too large", "100000 pixels")
    draw(page, *STROKES[7])
    expect_digit(page, 7)


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        pytest.param(502, "text/html", "<h1>Bad gateway</h1>", id="a proxy's page"),
        pytest.param(500, "application/problem+json", '{"detail": "a bug of ours"}', id="a bug"),
        pytest.param(200, "text/html", "<h1>Sign in</h1>", id="a sign-in page"),
        pytest.param(200, "application/json", "null", id="null"),
    ],
)
def test_any_other_reply_gets_a_sentence_too(grumbling_page: Page, status: int, kind: str, body: str) -> None:
    grumbling_page.route("**/predict*", lambda route: route.fulfill(status=status, content_type=kind, body=body))

    draw(grumbling_page, *STROKES[7])

    expect_sentence(grumbling_page, "could not answer")
    grumbling_page.unroute("**/predict*")
    draw(grumbling_page, [(0.44, 0.84), (0.43, 0.86)])
    expect_digit(grumbling_page, 7)


def test_an_old_answer_never_takes_the_place_of_a_newer_one(page: Page) -> None:
    held = hold_questions(page, most=1)
    draw(page, *STROKES[1])
    wait_for_question(page, held)

    draw(page, [(0.36, 0.2), (0.3, 0.52), (0.7, 0.52)])

    expect_digit(page, 4)
    answer_with(probabilities={1: 1.0})(held[0])
    page.wait_for_timeout(300)
    expect_digit(page, 4)


def test_an_answer_that_comes_after_clear_is_not_shown(page: Page) -> None:
    held = hold_questions(page, most=100)
    draw(page, *STROKES[1])
    wait_for_question(page, held)

    button(page, "Clear").click()
    for question in held:
        answer_with(probabilities={1: 1.0})(question)
    page.wait_for_timeout(300)

    expect_blank(page)


def test_a_slow_network_is_asked_once_at_a_time(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))

    press(page, arc((0.5, 0.5), (0.2, 0.3), -90, 270))
    page.mouse.up()
    expect_digit(page, 0)

    assert 1 <= len(asked) <= 20  # 48 moves of the mouse


@pytest.mark.parametrize(
    ("probabilities", "state", "sentence"),
    [
        pytest.param({4: 0.451, 9: 0.402}, "unsure", "Not sure: it may be a 4 (45.1 %) or a 9 (40.2 %).", id="unsure"),
        pytest.param({4: 0.8, 9: 0.2}, "answer", "Probably a 4: 80.0 % sure. Next comes 9 with 20.0 %.", id="probable"),
        pytest.param({4: 0.987, 9: 0.013}, "answer", "A 4, 98.7 % sure.", id="sure"),
        pytest.param({4: 0.99996, 9: 0.00004}, "answer", "A 4, over 99.9 % sure.", id="very sure"),
    ],
)
def test_it_says_how_sure_it_is(page: Page, probabilities: dict[int, float], state: str, sentence: str) -> None:
    page.route("**/predict*", answer_with(probabilities=probabilities))

    draw(page, *STROKES[4])

    expect(page.locator("#sentence")).to_have_text(sentence)
    expect(page.locator("#answer")).to_have_attribute("data-state", state)
    expect(page.get_by_role("status")).to_have_text(sentence)  # what a screen reader says


# How far it can be trusted


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose version can tell; it knows no digit, and nothing speaks for what it answers."""
    folder = tmp_path_factory.mktemp("trusting")
    publish_trusted(folder, threshold=0.1)
    service = Service(folder / "service.log", {"MNIST_MODEL_DIR": str(folder)}).wait_until_ready()
    yield service
    service.stop()
    assert "Traceback" not in service.log.read_text()


AT_99 = {"coverage": 0.99, "is_digit": True, "novelty": 0.3}


@pytest.mark.parametrize(
    ("reply", "state", "digit", "sentence", "more"),
    [
        pytest.param(
            {"probabilities": {4: 0.987, 9: 0.013}, "prediction_set": [4], **AT_99},
            *("answer", "4", "A 4, 98.7 % sure.", "No other digit is plausible at 99 %."),
            id="one",
        ),
        pytest.param(
            {"probabilities": {8: 0.99996, 9: 0.00004}, "prediction_set": [8], **AT_99, "coverage": 0.999},
            *("answer", "8", "An 8, over 99.9 % sure.", "No other digit is plausible at 99.9 %."),
            id="one, at another coverage",
        ),
        pytest.param(
            {"probabilities": {4: 0.8, 9: 0.2}, "prediction_set": [4], **AT_99},
            *("answer", "4", "Probably a 4: 80.0 % sure. Next comes 9 with 20.0 %.", ""),
            id="one that is not quite sure: nothing more",
        ),
        pytest.param(
            {"probabilities": {4: 0.95, 9: 0.05}, "prediction_set": [4, 9], **AT_99},
            *("answer", "4", "A 4, 95.0 % sure.", "It may also be 9."),
            id="two, one sure",
        ),
        pytest.param(
            {"probabilities": {4: 0.7, 7: 0.1, 9: 0.2}, "prediction_set": [4, 7, 9], **AT_99},
            *("answer", "4", "Probably a 4: 70.0 % sure.", "It may also be 9 or 7."),
            id="three, one probable",
        ),
        pytest.param(
            {"probabilities": {4: 0.451, 9: 0.402}, "prediction_set": [4, 9], **AT_99},
            *("unsure", "4?", "Not sure: it may be 4 or 9.", ""),
            id="two, none probable",
        ),
        pytest.param(
            {"probabilities": dict.fromkeys(range(10), 0.1), "prediction_set": list(range(10)), **AT_99},
            *("unsure", "0?", "Not sure: it may be any digit.", ""),
            id="all",
        ),
        pytest.param(
            {"probabilities": {4: 0.451, 9: 0.402}, "prediction_set": [], **AT_99},
            *("unsure", "4?", "Not sure enough to name a digit at 99 %.", "The best guess is 4 (45.1 %)."),
            id="none",
        ),
        pytest.param(
            {"probabilities": {4: 0.987, 9: 0.013}, "prediction_set": [4], **AT_99, "is_digit": False},
            *("stranger", "4", "This does not look like a digit.", "As a digit it would be read as 4 (98.7 %)."),
            id="no digit",
        ),
        pytest.param(
            {"probabilities": {4: 0.987, 9: 0.013}, "is_digit": True, "novelty": 0.3},
            *("answer", "4", "A 4, 98.7 % sure.", ""),
            id="a digit, of a version without sets",
        ),
    ],
)
def test_an_answer_is_put_into_words(
    page: Page, reply: dict[str, Any], state: str, digit: str, sentence: str, more: str
) -> None:
    probabilities = [reply["probabilities"].get(each, 0) for each in range(10)]
    answer = {"digit": int(np.argmax(probabilities))} | reply | {"probabilities": probabilities}

    words = page.evaluate("answer => import('/page/verdict.js').then(({ verdict }) => verdict(answer))", answer)

    said = {"state": state, "digit": digit, "sentence": sentence, "more": more}
    assert {name: text.replace("\u00a0", " ") for name, text in words.items()} == said


def test_what_the_service_says_it_may_be_is_marked_and_said(open_page: OpenPage, trusting: Service) -> None:
    page = open_page(trusting.url)

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
    expect(page.locator("#meaning")).to_contain_text("the right one is ringed in 99 % of cases")
    expect_sentence(page, "Not sure: it may be", *map(str, reply["prediction_set"]))
    expect(page.get_by_role("status")).to_contain_text("Not sure: it may be")  # what a screen reader says


def test_what_is_no_digit_is_called_so(open_page: OpenPage, trusting: Service) -> None:
    page = open_page(trusting.url)
    blot = np.full((28, 28), 255, np.uint8)
    blot[4:24, 4:24] = 0

    choose(page, name="blot.png", content=encoded(blot), kind="image/png")

    expect_sentence(page, "does not look like a digit")
    expect(page.locator("#more")).to_contain_text("As a digit it would be read as")
    expect(page.get_by_role("status")).to_have_text(re.compile("not look like a digit. As a digit it would be read as"))
    sizes = page.locator("#digit, #sentence").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert sizes[0] < 3 * sizes[1]
    expect(page.locator("#bars .plausible")).to_have_count(0)
    expect(page.locator("#meaning")).to_be_hidden()


def painted(page: Page) -> Any:
    """The colours over what the network saw, (28, 28, 4)."""
    data = page.locator("#saliency").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data)"
    )
    return np.array(data).reshape(28, 28, 4)


def test_why_shows_what_speaks_against_the_answer_of_a_network_that_nothing_speaks_for(
    open_page: OpenPage, trusting: Service
) -> None:
    page = open_page(trusting.url)
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url.rpartition("/")[2]))
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
    explained = page.get_by_role("img", name=f"Blue speaks for {digit}, nowhere; orange against it, most")
    expect(explained).to_be_visible()
    expect(page.locator("#legend")).to_have_text(re.compile(rf"speaks for {digit}\s*speaks against {digit}"))
    colours = painted(page)
    assert np.abs(colours[..., 3] - 255 * np.abs(saliency) / np.abs(saliency).max()).max() <= 1
    red, _, blue, _ = colours[np.unravel_index(np.abs(saliency).argmax(), (28, 28))]
    assert red > blue + 100  # orange
    page.keyboard.press("Space")
    expect(page.locator("#saliency")).to_be_hidden()
    expect(page.locator("#legend")).to_be_hidden()
    predicted = [url for url in asked if url.startswith("predict")]
    assert predicted == [f"predict?include={fields}" for fields in ("pixels", "pixels,saliency", "pixels")]


def test_why_stays_on_for_the_next_drawing_and_parts_for_from_against(open_page: OpenPage, trusting: Service) -> None:
    page = open_page(trusting.url)
    saliency = np.zeros((28, 28))
    saliency[2, 25], saliency[26, 14] = 0.5, -2
    model = {"name": "mnist-dense", "version": 2}
    page.route("**/predict*", answer_with(probabilities={4: 1.0}, saliency=saliency.tolist(), model=model))
    draw(page, *STROKES[4])

    button(page, "Why?").click()
    button(page, "Clear").click()
    expect_blank(page)
    draw(page, *STROKES[4])

    expect(button(page, "Why?")).to_have_attribute("aria-pressed", "true")
    name = "Blue speaks for 4, most at the upper right; orange against it, most at the bottom."
    expect(page.get_by_role("img", name=name)).to_be_visible()
    colours = painted(page)
    assert colours[2, 25, 3] == pytest.approx(64, abs=1)
    assert colours[26, 14, 3] == 255
    assert (colours[..., 3] > 0).sum() == 2
    red, _, blue = colours[2, 25, :3]
    assert blue > red + 100


def test_why_is_offered_only_by_a_version_that_can_tell(
    open_page: OpenPage, start_service: StartService, tmp_path: Path
) -> None:
    publish_trusted(tmp_path)
    service = start_service(MNIST_MODEL_DIR=str(tmp_path), MNIST_RELOAD_SECONDS="0.1").wait_until_ready()
    page = open_page(service.url, refusals=True)
    draw(page, *STROKES[7])
    button(page, "Why?").click()
    expect(page.locator("#saliency")).to_be_visible()

    version = publish_tiny(tmp_path).manifest.version
    expect(page.locator("#facts")).not_to_contain_text(f"version {version}")
    while service.client.get("/model").json()["version"] != version:
        page.wait_for_timeout(20)
    draw(page, [(0.44, 0.84), (0.43, 0.86)])

    expect(page.locator("#facts")).to_contain_text(f"version {version}")
    expect(page.locator("#digit")).to_have_text(re.compile(r"^\d\??$"))
    expect(page.locator("#why")).to_be_hidden()
    expect(page.locator("#saliency")).to_be_hidden()
    publish_trusted(tmp_path)
    while service.client.get("/model").json()["version"] == version:
        page.wait_for_timeout(20)
    draw(page, [(0.44, 0.84), (0.42, 0.86)])
    expect(button(page, "Why?")).to_have_attribute("aria-pressed", "false")


# How it is to be used


def test_everything_can_be_reached_by_the_keyboard_and_shows_its_focus(page: Page) -> None:
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement;"
            " return [e.getAttribute('aria-label') ?? e.textContent.trim(), getComputedStyle(e).outlineStyle]; }"
        )
        reached.append((name, outline))
        if name == "How good is it?":
            page.keyboard.press("Enter")

    tools = ["Drawing area", "Undo", "Clear", "Picture from a file"]
    names = ["API", "Model card", *tools, "How good is it?", "model card"]
    assert reached == [(name, "solid") for name in names]


def test_everything_has_a_name_for_screen_readers(page: Page) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    page.get_by_text("How good is it?").click()

    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]

    nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    wanted = {"button", "link", "image", "img", "list", "heading", "region", "DisclosureTriangle", "navigation"}
    named = [(role, name) for role, name in nodes if role in wanted]
    assert all(name for _, name in named), named
    assert {"Drawing area", "What the network saw, 28 by 28 pixels"} <= {name for _, name in named}
    assert sum(role == "listitem" for role, _ in nodes) == 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: OpenPage, service: Service, scheme: str) -> None:
    page = open_page(service.url, color_scheme=scheme)

    colours = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`))",
        ["ground", "paper", "text", "quiet", "accent"],
    )

    ground, paper, *texts = [luminance(colour) for colour in colours]
    for text in texts:
        for under in (ground, paper):
            assert (max(text, under) + 0.05) / (min(text, under) + 0.05) >= 4.5  # WCAG 2.2, AA


def test_nothing_scrolls_sideways_from_a_small_phone_to_a_wide_screen(grumbling_page: Page) -> None:
    page = grumbling_page

    def too_wide() -> list[int]:
        widths = []
        for width in (320, 390, 700, 704, 864, 1024, 1920):
            page.set_viewport_size({"width": width, "height": 700})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                widths.append(width)
        return widths

    empty = too_wide()
    draw(page, *STROKES[7])
    expect_digit(page, 7)
    page.get_by_text("How good is it?").click()
    answered = too_wide()
    choose(page, name="a" * 200 + ".png", content=b"no picture", kind="image/png")
    expect(page.locator("#answer")).to_have_attribute("data-state", "problem")

    assert (empty, answered, too_wide()) == ([], [], [])


def test_no_explanation_scrolls_sideways_either(open_page: OpenPage, trusting: Service) -> None:
    page = open_page(trusting.url)
    draw(page, *STROKES[7])
    button(page, "Why?").click()
    expect(page.locator("#legend")).to_be_visible()

    widths = []
    for width in (320, 390, 864, 1920):
        page.set_viewport_size({"width": width, "height": 700})
        widths.append(page.evaluate("document.documentElement.scrollWidth"))

    assert widths == [320, 390, 864, 1920]


def test_the_whole_sheet_is_in_view_on_every_screen(page: Page) -> None:
    too_low = []
    for width, height in ((320, 568), (390, 844), (568, 320), (844, 390), (768, 1024), (1280, 720), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator("#canvas").bounding_box()
        assert box is not None
        if box["y"] + box["height"] > height:
            too_low.append((width, height))

    assert too_low == []


@pytest.mark.parametrize(
    ("options", "is_dark"),
    [
        pytest.param({"viewport": {"width": 1280, "height": 800}}, False, id="light"),
        pytest.param({"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"}, True, id="dark"),
        pytest.param(PHONE, False, id="phone"),
    ],
)
def test_a_screenshot_to_look_at(
    open_page: OpenPage, service: Service, tmp_path: Path, options: dict[str, Any], is_dark: bool
) -> None:
    page = open_page(service.url, **options)
    draw(page, *STROKES[2])
    expect_digit(page, 2)
    page.wait_for_timeout(300)

    page.screenshot(path=tmp_path / "page.png")

    corner = np.asarray(Image.open(tmp_path / "page.png").convert("L"))[2, 2]
    assert bool(corner < 60) is is_dark
    # The answer is in view without scrolling, on a phone too.
    expect(page.locator("#digit")).to_be_in_viewport(ratio=1)
    expect(page.locator("#bars li").first).to_be_in_viewport(ratio=1)


def test_how_good_it_is_is_loaded_when_asked_for(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.wait_for_timeout(200)
    before = [url for url in asked if "/model" in url]

    page.get_by_text("How good is it?").click()

    expect(page.locator("#accuracy")).to_have_text(re.compile(r"Of 10,000 pictures of MNIST's test set.* 9\d\.\d\d.%"))
    for image in page.locator("figure img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 100
        assert len(image.get_attribute("alt") or "") > 20
    assert before == []


def test_nothing_is_kept_in_the_browser(page: Page) -> None:
    draw(page, *STROKES[7])
    expect_digit(page, 7)

    kept = page.evaluate(
        "async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]"
    )

    assert kept == [0, 0, 0]
    assert page.context.cookies() == []
    expect(page.get_by_role("contentinfo")).to_contain_text("Nothing is stored")


# What the server sends


def test_the_page_runs_nothing_but_its_own_files(client: httpx.Client) -> None:
    reply = client.get("/")

    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert re.findall(r'style=|<style|\son\w+=|(?:src|href)="(?:https?:)?/', reply.text) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/", "text/html; charset=utf-8", id="the page"),
        *(
            pytest.param(
                f"/page/{file.name}",
                {
                    ".html": "text/html; charset=utf-8",
                    ".css": "text/css; charset=utf-8",
                    ".js": "text/javascript; charset=utf-8",
                    ".svg": "image/svg+xml",
                }[file.suffix],
                id=file.name,
            )
            for file in sorted(FOLDER.iterdir())
        ),
        pytest.param("/model/card", "text/html; charset=utf-8", id="the model card"),
        pytest.param("/model/report/README.md", "text/plain; charset=utf-8", id="its Markdown"),
        pytest.param("/model/report/history.csv", "text/csv; charset=utf-8", id="a table"),
        pytest.param("/model/report/confusion.png", "image/png", id="a figure"),
    ],
)
def test_files_have_a_type_and_are_sent_again_only_when_they_changed(
    client: httpx.Client, path: str, kind: str
) -> None:
    first = client.get(path)
    again = client.get(path, headers={"if-none-match": f'W/{first.headers["etag"]}, "other"'})
    changed = client.get(path, headers={"if-none-match": '"other"'})

    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)
    assert first.headers["content-type"] == kind
    assert first.headers["cache-control"] == "no-cache"
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


def test_a_head_request_is_answered_without_a_body(client: httpx.Client) -> None:
    reply = client.head("/")

    assert reply.status_code == 200
    assert reply.content == b""
    assert int(reply.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/..%2findex.html",
        "/page/%2e%2e/examples/seven.png",
        "/model/report/",
        "/model/report/nothing.png",
        "/model/report/..%2fmodel.onnx",
        "/model/report/..%2fmanifest.json",
        "/model/report/%2e%2e/model.keras",
        "/model/report/%00",
        "/model/report/" + "x" * 3000,
    ],
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    reply = client.get(path)

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_report_that_was_changed_on_the_disk_is_refused(start_service: StartService, tmp_path: Path) -> None:
    published = publish_tiny(tmp_path / "models")
    service = start_service(MNIST_MODEL_DIR=str(published.root)).wait_until_ready()
    intact = service.client.get("/model/report/README.md")

    (published.folder / "report/README.md").write_text("# Another network\n")

    assert intact.text == "# A tiny network\n"
    refused = service.client.get("/model/report/README.md")
    assert refused.status_code == 503
    assert "expected sha256" in refused.json()["detail"]


def test_the_page_is_no_part_of_the_api_and_the_report_is(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert not [path for path in paths if path == "/" or path.startswith("/page")]
    for path in ("/model/card", "/model/report/{name}"):
        assert set(paths[path]["get"]["responses"]) >= {"200", "304", "404", "503"}
