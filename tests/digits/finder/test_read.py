"""The finder says where digits are, and the classifier what they are."""

import cv2
import numpy as np

from digits.features import Grey
from digits.finder.find import Finder
from digits.finder.network import shipped
from digits.finder.read import read_number, set_accept
from digits.finder.views import MAX_VIEW_PIXELS, Eye, look
from digits.model.classifier import Classifier
from digits.picture import Picture
from docs.handwriting import PENS, Hand, write

HEIGHT = 48
"""Height of the digits in pixels."""


def written(number: str) -> Grey:
    """Return a number in handwriting on white paper, uint8 (height, width)."""
    rng = np.random.default_rng(3)
    ink = write(number, Hand.drawn(rng), PENS["ballpoint"], rng).astype(np.float32)
    scale = HEIGHT / 240
    page = cv2.resize(np.pad(ink, 60), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey: Grey = np.rint(255 - 200 * page).astype(np.uint8)
    return grey


def encoded(grey: Grey) -> Picture:
    return Picture(cv2.imencode(".png", grey)[1].tobytes())


def test_a_comma_between_digits_is_a_mark_and_the_number_is_not_accepted(classifier: Classifier) -> None:
    page = written("407")
    ink = np.flatnonzero((page < 128).any(axis=0))
    x = int(ink[np.flatnonzero(np.diff(ink) > 1)[0]]) + 3
    bottom = int(np.flatnonzero((page < 128).any(axis=1))[-1])
    page = np.hstack([page[:, :x], np.full((page.shape[0], 14), 255, np.uint8), page[:, x:]])
    cv2.line(page, (x + 8, bottom - 1), (x + 5, bottom + 9), 55, 4, cv2.LINE_AA)

    reading = read_number(classifier, encoded(page))

    assert reading["lines"] == ["407"]
    assert [(mark["kind"], mark["line"], mark["after"]) for mark in reading["marks"]] == [("separator", 0, 1)]
    assert reading["accept"] is False
    set_accept(reading, "ignore")
    assert reading["accept"] is True


def test_a_digit_that_is_taken_out_is_not_found_again() -> None:
    page = written("407")
    finder = Finder(shipped(), page.shape[::-1], lambda _side: page)
    finder.look_closer()
    first = finder.find()

    second = finder.without([1])

    assert (len(first.digits), len(second.digits)) == (3, 2)
    assert len(second.marks) == len(first.marks) + 1


def test_a_view_of_a_large_picture_is_small() -> None:
    page = np.full((3000, 4000), 255, np.uint8)
    number = cv2.resize(written("407"), None, fx=8, fy=8)
    page[900 : 900 + number.shape[0], 700 : 700 + number.shape[1]] = number

    eye = Eye(shipped(), (4000, 3000), lambda _side: page)

    view = look(eye, eye.first_view())

    assert view.grey.size <= MAX_VIEW_PIXELS
    assert len(view.digits) == 3
