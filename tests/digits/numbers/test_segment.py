"""Numbers are read digit by digit, in reading order, and whatever is no digit is left out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from benchmarks.quality.families import cut, enlarged, family, on_paper, stroked
from benchmarks.quality.without_digit import pictures_without_digit
from digits.errors import NoInk, TooManyDigits
from digits.features import Grey, to_features
from digits.model.artifact import NAME, SHIPPED, versions
from digits.model.classifier import Classifier, Scores
from digits.numbers.cuts import propose_cuts
from digits.numbers.read import Number, PreparedNumber, read_number
from digits.numbers.rings import divide
from digits.numbers.segment import Box, Segmentation, segment
from digits.numbers.sheet import find_sheet
from digits.numbers.strangers import commas, strangers
from digits.numbers.work import Work
from digits.picture import Picture
from tests.conftest import Mnist, encoded

HEIGHT = 60
"""Of the digits that `page` writes, in pixels."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(SHIPPED / NAME / str(versions(SHIPPED)[0]))


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


def segmented(picture: Grey) -> Segmentation:
    height, width = picture.shape
    return segment(find_sheet(picture, Work()), width, height, Work())


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
        assert dark[rows, columns].any(axis=0).mean() > 0.9
        dark[rows, columns] = False
    assert dark.sum() < 20


def test_digits_that_touch_are_cut_into_pieces_that_may_be_digits(classifier: Classifier, written: list[Grey]) -> None:
    picture = page(written, "20", gap=-3)

    (line,) = segmented(picture).lines

    assert read(classifier, picture)["text"] == "20"
    assert len(line.candidates) > 2
    assert min(line.box(candidate).height for candidate in line.candidates) >= HEIGHT / 2


def test_a_bar_just_above_a_line_is_in_that_line() -> None:
    picture = np.full((200, 240), 255, np.uint8)
    for left in (60, 140):
        picture[60:160, left : left + 10] = 0
    picture[40:48, 140:180] = 0  # such as the bar of a 5

    assert len(segmented(picture).lines) == 1


Written = list[Grey]


def lines_a_frame_and_specks(written: Written) -> Grey:
    picture = Image.fromarray(page(written, "4071"))
    pen = ImageDraw.Draw(picture)
    for row in (25, 112, 140):
        pen.line((0, row, picture.width, row), fill=120, width=2)
    pen.rectangle((8, 30, picture.width - 9, 108), outline=0, width=3)
    for x in (14, 20, 27):
        pen.ellipse((x, 70, x + 3, 73), fill=0)
    return np.asarray(picture)


def boxes_of_a_form(written: Written, *, top_of_0: int) -> Grey:
    width, height = 80, 76
    form = np.full((200, 500), 255, np.uint8)
    for index, digit in enumerate("4071"):
        ink = on_paper(cut(enlarged(written[int(digit)], HEIGHT * 28 // 20))).astype(np.uint8)
        left, top = 90 + index * width + (width - ink.shape[1]) // 2, top_of_0 if digit == "0" else 78
        form[top : top + len(ink), left : left + ink.shape[1]] = ink
    picture = Image.fromarray(form)
    for index in range(4):
        box = (90 + index * width, 70, 90 + (index + 1) * width, 70 + height)
        ImageDraw.Draw(picture).rectangle(box, outline=60, width=2)
    return np.asarray(picture)


def a_line_under_a_number(written: Written) -> Grey:
    picture = np.pad(page(written, "4071"), ((0, 0), (0, 200)), constant_values=255)
    rows, columns = (np.flatnonzero((picture < 128).any(axis=axis)) for axis in (1, 0))
    picture[rows[-1] - 2 : rows[-1] + 2, columns[0] - 10 : columns[-1] + 10] = 0
    return picture


def a_line_with_a_blob_at_its_end(_: Written) -> Grey:
    picture = np.full((120, 400), 255, np.uint8)
    picture[60:64, 5:9] = picture[61, 5:165] = 0
    picture[10:50, 50:54] = picture[10:50, 150:154] = 0
    return picture


def thin_faint_lines(written: Written) -> Grey:
    number = page(written, "4071")
    paper = np.full_like(number, 255)
    for left in range(10, paper.shape[1], 40):
        paper[10:50, left : left + 2] = 180
        paper[110:150, left : left + 2] = 180
    return np.minimum(paper, number)


def a_1_as_high_as_its_picture(written: Written) -> Grey:
    strip = page(written, "40", gap=60)[38 : 38 + HEIGHT + 6]
    between = int(np.flatnonzero((strip[:, 60:] > 200).all(axis=0))[30]) + 60
    strip[2:-2, between : between + 3] = 0
    return strip


def changed(change: Callable[[Any], Image.Image]) -> Callable[[Written], Grey]:
    return lambda written: np.asarray(change(Image.fromarray(page(written, "402713"))))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(changed(ImageOps.invert), "402713", id="light on dark"),
        pytest.param(changed(lambda it: it.rotate(9, expand=True, fillcolor=255)), "402713", id="sloping upwards"),
        pytest.param(changed(lambda it: it.resize([8 * side for side in it.size])), "402713", id="8 times as large"),
        pytest.param(changed(lambda it: it.resize([side // 3 for side in it.size])), "402713", id="a third as large"),
        pytest.param(changed(lambda it: it.crop(ImageOps.invert(it).getbbox())), "402713", id="cut to its ink"),
        pytest.param(lines_a_frame_and_specks, "4071", id="ruled lines, a frame and specks"),
        pytest.param(partial(boxes_of_a_form, top_of_0=78), "4071", id="the boxes of a form around the digits"),
        pytest.param(partial(boxes_of_a_form, top_of_0=66), "4071", id="the box of a form touching a digit"),
        pytest.param(a_line_under_a_number, "4071", id="a line under a number"),
        pytest.param(a_line_with_a_blob_at_its_end, "11", id="a line with a blob at its end, which is no frame"),
        pytest.param(thin_faint_lines, "4071", id="thin faint lines"),
        pytest.param(a_1_as_high_as_its_picture, "410", id="a 1 as high as its picture, which is no ruled line"),
        pytest.param(
            lambda written: on_paper(np.pad(stroked(written[2], 600, 1.5), 40)).astype(np.uint8),
            "2",
            id="a hairline of a large digit",
        ),
        pytest.param(lambda written: page(written, "0").repeat(2, axis=1), "0", id="a wide digit, which is one digit"),
    ],
)
def test_a_number_is_read_whatever_is_beside_it(
    classifier: Classifier, written: Written, make: Callable[[Written], Grey], text: str
) -> None:
    assert read(classifier, make(written))["text"] == text


def test_small_digits_of_a_large_jpeg_are_read_from_all_of_its_pixels(classifier: Classifier, written: Written) -> None:
    number = Image.fromarray(page(written, "4071"))
    photo = Image.new("L", (2000, 1400), 255)
    photo.paste(number.resize((number.width // 3, number.height // 3)), (900, 700))

    assert read(classifier, photo, format="JPEG")["text"] == "4071"


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.full((90, 300), 200, np.uint8), id="blank"),
        pytest.param(np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8), id="noise"),
        pytest.param(np.tile(np.linspace(90, 220, 300).astype(np.uint8), (200, 1)), id="a gradient"),
    ],
)
def test_a_picture_without_a_digit_has_no_ink(classifier: Classifier, picture: Grey) -> None:
    with pytest.raises(NoInk):
        read(classifier, picture)


def test_differences_of_less_than_four_grey_values_are_no_ink() -> None:
    (gradient,) = pictures_without_digit("gradient", 1, np.random.default_rng(0))  # with the blocks of a JPEG

    with pytest.raises(NoInk):
        find_sheet(Picture(gradient).grey(), Work())


@pytest.mark.parametrize("novelty", [(0.2, 1.4), (1.4, 1.4)])
def test_soft_marks_count_only_if_most_of_them_look_like_digits(
    written: list[Grey], novelty: tuple[float, float]
) -> None:
    segmentation = segmented(page(written, "17"))
    prepared = PreparedNumber((100, 100), segmentation, [], None, has_other_look=False)
    certain = np.eye(10, dtype=np.float32)[: len(segmentation.pixels)]

    with pytest.raises(NoInk):
        prepared.read(Scores(certain, np.array(novelty, dtype=np.float32)))


def test_a_picture_in_mnist_form_is_one_digit_unchanged(classifier: Classifier, mnist: Mnist) -> None:
    answer = read(classifier, mnist.pixels[0])

    assert answer["text"] == str(mnist.labels[0])
    assert answer["digits"][0]["probabilities"] == pytest.approx(
        classifier.probabilities(to_features(mnist.pixels[:1]))[0].tolist()
    )


@pytest.mark.parametrize("style", ["photo", "pencil", "cut, scan"])
def test_one_digit_gets_the_answer_of_predict(classifier: Classifier, written: list[Grey], style: str) -> None:
    pictures = family(style, np.stack(written), np.random.default_rng(0))

    answers = [read_number(classifier, Picture(data)) for data in pictures]

    prepared = np.stack([Picture(data).prepare("auto").pixels for data in pictures])
    predicted = classifier.probabilities(to_features(prepared)).argmax(axis=1)
    assert [answer["text"] for answer in answers] == [str(digit) for digit in predicted]


def test_a_page_full_of_marks_is_refused(written: list[Grey], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits.numbers.sheet.MAX_PARTS", 3)

    with pytest.raises(TooManyDigits, match="at most 3 marks"):
        find_sheet(page(written, "4071"), Work())


@pytest.mark.parametrize(
    "apart", [pytest.param(0.93, id="share a wall"), pytest.param(0.75, id="cross"), pytest.param(1.0, id="touch")]
)
def test_zeros_are_read_one_by_one_although_they(classifier: Classifier, apart: float) -> None:
    paper = Image.new("L", (420, 160), 255)
    for place in range(4):
        left = 60 + place * apart * 60
        ImageDraw.Draw(paper).ellipse((left, 40, left + 60, 120), outline=0, width=5)

    answer = read(classifier, paper)

    assert answer["text"] == "0000"


def test_the_pieces_of_a_long_texture_need_no_more_memory_than_the_texture() -> None:
    paper = Image.new("L", (2400, 120), 255)
    for left in range(9, 2380, 16):
        ImageDraw.Draw(paper).ellipse((left, 10, left + 18, 90), outline=0, width=3)
    sheet = find_sheet(np.asarray(paper), Work())
    ((part, cuts),) = propose_cuts(sheet, Work()).items()
    left, top, width, height = sheet.boxes[part]
    mask = sheet.labels[top : top + height, left : left + width] == sheet.numbers[part]

    pieces = divide(mask, cuts, sheet.stroke, Work())

    assert len(pieces) > 50
    assert sum(piece.mask.size for piece in pieces) <= 2 * mask.size
    assert not any(piece.is_wall for piece in pieces)  # which many large masks are needed for


def test_dashes_behind_a_number_are_not_read(classifier: Classifier, written: list[Grey]) -> None:
    picture = page(written, "302")
    wide = np.pad(picture, ((0, 0), (0, 120)), constant_values=255)
    top, left = 40 + HEIGHT // 2, picture.shape[1] - 10
    wide[top : top + 8, left : left + 20] = wide[top + 14 : top + 22, left : left + 20] = 0

    answer = read(classifier, wide)

    assert answer["text"] == "302"


def test_a_sheet_of_small_digits_in_uneven_light_is_read(classifier: Classifier, written: list[Grey]) -> None:
    line = "4027139586"
    sheet = Image.fromarray(page(written, *[line] * 30)).resize((440, 1820), Image.Resampling.BOX)
    light = np.linspace(1, 0.5, 440) * np.linspace(0.7, 1, 1820)[:, None] ** 2
    noise = np.random.default_rng(0).normal(0, 3, light.shape)

    answer = read(classifier, (np.asarray(sheet) * light + noise).clip(0, 255).astype(np.uint8))

    read_right = [sum(a == b for a, b in zip(read_line, line, strict=False)) for read_line in answer["lines"]]
    assert len(answer["lines"]) == 30
    assert sum(read_right) >= 290


def slash(picture: Grey, left: int) -> Image.Image:
    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).line((left, 40 + HEIGHT + 10, left + 30, 30), fill=0, width=6)
    return drawn


def rings(picture: Grey, left: int) -> Image.Image:
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    for x, y in ((left, 40), (left + 34, 40 + HEIGHT - 24)):
        pen.ellipse((x, y, x + 20, y + 24), outline=0, width=5)
    return drawn


def equals(picture: Grey, left: int) -> Image.Image:
    drawn = Image.fromarray(picture)
    for y in (60, 80):
        ImageDraw.Draw(drawn).line((left, y, left + 30, y), fill=0, width=5)
    return drawn


@pytest.mark.parametrize("sign", [slash, rings, equals])
def test_a_number_with_a_sign_that_is_no_digit_is_not_accepted(
    classifier: Classifier, written: list[Grey], sign: Callable[[Grey, int], Image.Image]
) -> None:
    paper = np.pad(page(written, "38"), ((0, 0), (0, 120)), constant_values=255)
    left = int(np.flatnonzero((paper < 128).any(axis=0))[-1]) + 20

    alone, beside = read(classifier, paper), read(classifier, sign(paper, left))

    assert alone["accept"]
    assert not beside["accept"]
    strangers = [digit for digit in beside["digits"] if not digit["is_digit"]]
    assert len(strangers) + beside["left_out"] > 0
    assert not any(digit["accept"] for digit in strangers)


@pytest.mark.parametrize(
    ("box", "lean", "is_stranger"),
    [
        pytest.param(Box(50, 0, 10, 40), 0.0, False, id="upright and as high as its neighbours"),
        pytest.param(Box(50, 0, 20, 40), 0.5, False, id="leaning and as high as its neighbours"),
        pytest.param(Box(50, -5, 10, 50), 0.0, False, id="upright and higher on both sides"),
        pytest.param(Box(50, -10, 20, 50), 0.5, False, id="leaning and higher only above"),
        pytest.param(Box(50, -5, 20, 50), 0.5, True, id="leaning and higher on both sides"),
        pytest.param(Box(50, -5, 20, 50), -0.5, False, id="leaning to the left"),
        pytest.param(Box(50, 0, 10, 20), 0.0, True, id="half as high"),
    ],
)
def test_a_slash_leans_and_reaches_out_and_a_ring_is_small(box: Box, lean: float, is_stranger: bool) -> None:
    stroke = Image.new("L", (28, 28))
    ImageDraw.Draw(stroke).line((14 - 10 * lean, 24, 14 + 10 * lean, 4), fill=255, width=3)
    pixels = np.stack([np.asarray(stroke)] * 3)

    found = strangers([Box(0, 0, 20, 40), box, Box(90, 0, 20, 40)], [0, 0, 0], [5, 1, 5], pixels)

    assert found == [False, is_stranger, False]
    assert strangers([box], [0], [1], pixels[:1]) == [False]  # alone in its line
    assert strangers([Box(0, 0, 20, 40), box], [0, 1], [5, 1], pixels[:2]) == [False, False]


@pytest.mark.parametrize(
    ("box", "is_comma"),
    [
        pytest.param(Box(25, 34, 6, 14), True, id="low and small"),
        pytest.param(Box(25, 22, 6, 18), False, id="low and almost half as high"),
        pytest.param(Box(25, 0, 6, 14), False, id="small and high"),
    ],
)
def test_a_small_low_mark_between_digits_is_a_comma(box: Box, is_comma: bool) -> None:
    boxes = [Box(0, 0, 20, 40), box, Box(40, 0, 20, 40)]

    assert commas(boxes, [0, 0, 0], [5, 1, 5]) == [False, is_comma, False]
    assert not any(commas(boxes, [0, 0, 0], [5, 0, 5]))  # the ring of a percent sign
    assert not any(commas([box], [0], [1]))
    assert not any(commas(boxes, [0, 1, 0], [5, 1, 5]))
