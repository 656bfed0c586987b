"""Numbers are read digit by digit, in reading order, and whatever is no digit is left out."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from benchmarks.quality.families import cut, enlarged, on_paper
from benchmarks.quality.number_pictures import numbers
from benchmarks.quality.strangers import STRANGERS
from digits.errors import NoInk, TooManyDigits
from digits.features import Grey
from digits.finder.network import FinderNetwork, Maps, shipped
from digits.finder.read import Number, prepare, read_number
from digits.finder.views import SIDES, Eye, look
from digits.model.classifier import Classifier
from digits.picture import Picture
from tests.conftest import Mnist, encoded

HEIGHT = 60
"""Of the digits that `page` writes, in pixels."""


@pytest.fixture(scope="module")
def written(mnist: Mnist) -> list[Grey]:
    return [mnist.pixels[mnist.labels == digit][3] for digit in range(10)]


def page(written: list[Grey], *lines: str, gap: int = 20) -> Grey:
    """Write lines of digits in black on white."""
    paper = np.full((len(lines) * 2 * HEIGHT + 40, max(map(len, lines)) * (HEIGHT + gap) + 80), 255, dtype=np.float32)
    for row, line in enumerate(lines):
        left = 40
        for digit in line:
            ink = on_paper(cut(enlarged(written[int(digit)], HEIGHT * 28 // 20)))
            top = 40 + row * 2 * HEIGHT
            part = paper[top : top + len(ink), left : left + ink.shape[1]]
            np.minimum(part, ink, out=part)
            left += ink.shape[1] + gap
    return paper.astype(np.uint8)


def read(classifier: Classifier, picture: Grey | Image.Image, **options: Any) -> Number:
    return read_number(classifier, Picture(encoded(picture, **options)))


@pytest.mark.parametrize("lines", [("42",), ("407126",), ("31", "58042"), ("7",), ("12", "3", "4567")])
def test_digits_are_read_from_left_to_right_and_lines_from_top_to_bottom(
    classifier: Classifier, written: list[Grey], lines: tuple[str, ...]
) -> None:
    answer = read(classifier, page(written, *lines))

    assert tuple(answer["lines"]) == lines
    assert [digit["line"] for digit in answer["digits"]] == [row for row, line in enumerate(lines) for _ in line]
    assert answer["left_out"] == 0


def test_a_box_is_around_its_digit_in_the_picture_as_displayed(classifier: Classifier, written: list[Grey]) -> None:
    upright = Image.fromarray(page(written, "27"))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me by 90 degrees clockwise"

    answer = read(classifier, upright.rotate(90, expand=True), exif=exif)

    assert answer["text"] == "27"
    dark = np.asarray(upright) < 128
    for digit in answer["digits"]:
        box = digit["box"]
        rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
        assert dark[rows, columns].any(axis=1).mean() > 0.9
        assert dark[rows, columns].any(axis=0).mean() > 0.85
        dark[rows, columns] = False
    assert dark.sum() < 20


@pytest.mark.parametrize("degrees", [-40, -25, -12, 12, 25, 40])
@pytest.mark.parametrize("lines", [("407126",), ("381426", "504273")])
def test_a_number_on_a_turned_picture_is_read(
    classifier: Classifier, written: list[Grey], lines: tuple[str, ...], degrees: int
) -> None:
    upright = Image.fromarray(page(written, *lines))
    turned = upright.rotate(degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=255)

    answer = read(classifier, turned)

    assert tuple(answer["lines"]) == lines
    assert answer["left_out"] == 0
    angle = np.deg2rad(degrees)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for digit, expected in zip(answer["digits"], read(classifier, upright)["digits"], strict=True):
        middle = back @ (np.array(digit["box"].middle) - np.array(turned.size) / 2) + np.array(upright.size) / 2
        assert middle == pytest.approx(expected["box"].middle, abs=HEIGHT / 6)


def test_a_large_picture_is_reduced_before_it_is_turned(written: list[Grey]) -> None:
    number = Image.fromarray(page(written, "407126")).resize((2200, 720))
    large = np.asarray(number.rotate(25, Image.Resampling.BILINEAR, expand=True, fillcolor=255))
    eye = Eye(shipped(), large.shape[::-1], lambda _side: large)

    level = eye.straightened(eye.first_view())

    assert level is not None
    assert max(level[0].size) < 2 * SIDES[-1]


Written = list[Grey]


def a_line_under_a_number(written: Written) -> Grey:
    picture = np.pad(page(written, "4071"), ((0, 0), (0, 200)), constant_values=255)
    rows, columns = (np.flatnonzero((picture < 128).any(axis=axis)) for axis in (1, 0))
    picture[rows[-1] - 2 : rows[-1] + 2, columns[0] - 10 : columns[-1] + 10] = 0
    return picture


def between_printed_words(written: Written) -> Grey:
    paper = Image.fromarray(np.pad(page(written, "385"), ((60, 60), (20, 20)), constant_values=255))
    for top, word in ((30, "Answer"), (180, "points")):
        ImageDraw.Draw(paper).text((60, top), word, fill=40, font_size=15)
    return np.asarray(paper)


def touching_its_frame(written: Written, *, inset: int) -> Any:
    paper = page(written, "58")
    rows, columns = (np.flatnonzero((paper < 128).any(axis=axis)) for axis in (1, 0))
    corner, opposite = (columns[0] + inset, rows[0] + inset), (columns[-1] - inset, rows[-1] - inset)
    return cv2.rectangle(paper, np.array(corner), np.array(opposite), 0, 4)


def beside_a_small_letter(written: Written) -> Any:
    paper = np.pad(page(written, "385"), ((0, 60), (0, 0)), constant_values=255)
    return cv2.ellipse(paper, (120, 150), (6, 8), 0, 0, 360, 0, 2)


def zeros_that_touch(_: Written, *, apart: float) -> Grey:
    paper = Image.new("L", (420, 160), 255)
    for place in range(4):
        left = 60 + place * apart * 60
        ImageDraw.Draw(paper).ellipse((left, 40, left + 60, 120), outline=0, width=5)
    return np.asarray(paper)


def changed(change: Callable[[Any], Image.Image]) -> Callable[[Written], Grey]:
    return lambda written: np.asarray(change(Image.fromarray(page(written, "402713"))))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(changed(ImageOps.invert), "402713", id="light on dark"),
        pytest.param(changed(lambda it: it.resize([8 * side for side in it.size])), "402713", id="8 times as large"),
        pytest.param(changed(lambda it: it.resize([side // 3 for side in it.size])), "402713", id="a third as large"),
        pytest.param(changed(lambda it: it.crop(ImageOps.invert(it).getbbox())), "402713", id="cut to its ink"),
        pytest.param(a_line_under_a_number, "4071", id="a line under a number"),
        pytest.param(between_printed_words, "385", id="printed words above and below"),
        pytest.param(partial(touching_its_frame, inset=0), "58", id="a frame that touches the digits"),
        pytest.param(partial(zeros_that_touch, apart=1.0), "0000", id="zeros that touch"),
        pytest.param(partial(zeros_that_touch, apart=0.93), "0000", id="zeros that share a wall"),
        pytest.param(lambda written: page(written, "0").repeat(2, axis=1), "0", id="a wide digit, which is one digit"),
    ],
)
def test_a_number_is_read_whatever_is_beside_it(
    classifier: Classifier, written: Written, make: Callable[[Written], Grey], text: str
) -> None:
    assert read(classifier, make(written))["text"] == text


def bars_of_a_barcode(_: Written) -> Grey:
    paper = np.full((160, 300), 255, np.uint8)
    for left, width in ((40, 6), (70, 12), (110, 6), (140, 6), (170, 12), (210, 6), (240, 9)):
        paper[30:130, left : left + width] = 0
    return paper


@pytest.mark.parametrize("make", [beside_a_small_letter, partial(touching_its_frame, inset=1), bars_of_a_barcode])
def test_what_may_be_a_digit_or_something_else_is_not_accepted(
    classifier: Classifier, written: Written, make: Callable[[Written], Grey]
) -> None:
    assert read(classifier, make(written))["accept"] is False


KINDS = (
    *("scan, ruled paper", "on squared paper", "on a form", "on paper under a shadow", "on a sheet on a table"),
    *("on a note on a table", "turned", "turned far", "touching by 0 to 15 %", "two lines"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_kind_are_read(classifier: Classifier, mnist: Mnist, kind: str) -> None:
    made = numbers(kind, mnist.pixels, mnist.labels, 6, np.random.default_rng(0))

    answers = [read_number(classifier, Picture(each.data)) for each in made]

    right = [answer["lines"] == each.text.split("\n") for answer, each in zip(answers, made, strict=True)]
    assert right.count(True) >= 5
    assert all(is_right or not answer["accept"] for is_right, answer in zip(right, answers, strict=True))


def test_a_picture_is_not_turned_by_a_shadow_if_fewer_digits_are_seen_then(
    classifier: Classifier, mnist: Mnist
) -> None:
    (made,) = numbers("on paper under a hand", mnist.pixels, mnist.labels, 1, np.random.default_rng(0))

    assert read_number(classifier, Picture(made.data))["text"] == made.text


def test_small_digits_of_a_large_jpeg_are_read_from_all_of_its_pixels(classifier: Classifier, written: Written) -> None:
    number = Image.fromarray(page(written, "4071"))
    photo = Image.new("L", (2000, 1400), 255)
    photo.paste(number.resize((number.width // 3, number.height // 3)), (900, 700))

    assert read(classifier, photo, format="JPEG")["text"] == "4071"


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.full((90, 300), 200, np.uint8), id="blank"),
        pytest.param(np.random.default_rng(1).integers(0, 256, (200, 300), dtype=np.uint8), id="noise"),
        pytest.param(np.tile(np.linspace(90, 220, 300).astype(np.uint8), (200, 1)), id="a gradient"),
    ],
)
def test_a_picture_without_a_digit_has_no_ink(classifier: Classifier, picture: Grey) -> None:
    with pytest.raises(NoInk):
        read(classifier, picture)


def test_a_comma_beside_a_zero_does_not_make_it_a_nine(classifier: Classifier, mnist: Mnist) -> None:
    three = mnist.pixels[mnist.labels == 3][3]
    texts = []
    for zero in mnist.pixels[mnist.labels == 0][:30]:
        picture = page([zero, *[three] * 9], "03")
        rows, columns = (np.flatnonzero((picture[:, :115] < 128).any(axis=axis)) for axis in (1, 0))
        x, y = int(columns[-1]), int(rows[-1])
        texts.append(read(classifier, cv2.line(picture, (x + 3, y + 1), (x - 1, y + 14), 0, 5))["text"])

    assert "93" not in texts
    assert texts.count("03") >= 29


def test_a_sheet_of_small_digits_in_uneven_light_is_read(classifier: Classifier, written: list[Grey]) -> None:
    line = "4027139586"
    sheet = Image.fromarray(page(written, *[line] * 30)).resize((440, 1820), Image.Resampling.BOX)
    light = np.linspace(1, 0.5, 440) * np.linspace(0.7, 1, 1820)[:, None] ** 2
    noise = np.random.default_rng(0).normal(0, 3, light.shape)

    answer = read(classifier, (np.asarray(sheet) * light + noise).clip(0, 255).astype(np.uint8))

    read_right = [sum(a == b for a, b in zip(read_line, line, strict=False)) for read_line in answer["lines"]]
    assert len(answer["lines"]) == 30
    assert sum(read_right) >= 290


@pytest.mark.parametrize(("digit", "share"), [(2, 0.5), (5, 0.4), (8, 0.5)])
def test_a_number_that_the_edge_cuts_off_is_not_accepted(
    classifier: Classifier, written: list[Grey], digit: int, share: float
) -> None:
    paper = page(written, f"30{digit}")
    columns = np.flatnonzero((page(written, f"30{digit}") < 128).any(axis=0))
    width = columns[-1] - columns[np.flatnonzero(np.diff(columns) > 1)[-1] + 1]
    cut_off = paper[:, : columns[-1] - int((1 - share) * width)]

    number = read(classifier, cut_off)

    assert (number["lines"][0][:2], number["accept"]) == ("30", False)


def test_a_number_with_a_sign_that_is_no_digit_is_not_accepted(classifier: Classifier, mnist: Mnist) -> None:
    rng = np.random.default_rng(0)
    made = [numbers(f"like {template}", mnist.pixels, mnist.labels, 5, rng) for template in STRANGERS]

    answers = [read_number(classifier, Picture(each.data)) for kind in made for each in kind]

    assert sum(answer["accept"] for answer in answers) <= 1  # of 45


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[Grey]:
    """What the finder's network has looked at, after it was loaded."""
    shipped()
    seen: list[Grey] = []
    original = FinderNetwork.maps

    def maps(network: FinderNetwork, grey: Grey) -> Maps:
        seen.append(grey)
        return original(network, grey)

    monkeypatch.setattr(FinderNetwork, "maps", maps)
    return seen


@pytest.mark.parametrize(("side", "count"), [(188, 2), (196, 3)])
def test_a_picture_without_digits_is_looked_at_from_near_unless_it_is_small(
    views: list[Grey], side: int, count: int
) -> None:
    blank = np.full((side, side), 220, np.uint8)
    eye = Eye(shipped(), (side, side), lambda _side: blank)

    look(eye, eye.first_view())

    assert len(views) == count


def two(written: Written, width: int) -> Any:
    ink = cv2.resize(cut(enlarged(written[2], 90)), (width, 45))
    return on_paper(np.pad(ink, ((150, 205), (150, 250 - width))))


def leaning_one(_: Written, width: int) -> Any:
    return cv2.line(np.full((400, 400), 255, np.uint8), (150, 200), (150 + width, 200 - width // 2), 0, 8)


@pytest.mark.parametrize(
    ("draw", "width", "is_small"),
    [(two, 75, True), (two, 110, False), (leaning_one, 90, True), (leaning_one, 110, False)],
)
def test_a_digit_that_is_small_in_its_picture_is_looked_at_again(
    views: list[Grey], written: Written, draw: Callable[[Written, int], Grey], width: int, is_small: bool
) -> None:
    prepare(Picture(encoded(draw(written, width).astype(np.uint8))))

    assert (len(views) > 1) is is_small


@pytest.mark.parametrize(("rows", "is_read"), [(20, True), (28, False)])
def test_a_page_of_too_many_digits_is_refused(
    classifier: Classifier, written: list[Grey], rows: int, is_read: bool
) -> None:
    digit = np.pad(255 - cv2.resize(written[3], (20, 20), interpolation=cv2.INTER_AREA), 2, constant_values=255)
    picture = np.tile(digit, (rows, 21))

    with nullcontext() if is_read else pytest.raises(TooManyDigits):
        assert len(read(classifier, picture)["digits"]) > 400
