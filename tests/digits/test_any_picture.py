"""A picture of any size with lines, frames, blobs and numbers gives digits inside of it, or a named error."""

from contextlib import suppress

import cv2
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from digits.errors import DigitsError
from digits.features import Grey
from digits.finder.read import read_number
from digits.model.classifier import Classifier
from digits.picture import Picture
from tests.conftest import encoded


def drawn(seed: int) -> Grey:
    """Draw up to 13 marks on a sheet of 4 to 700 pixels per side."""
    rng = np.random.default_rng(seed)
    height, width = np.exp(rng.uniform(np.log(4), np.log(700), 2)).astype(int).tolist()
    sheet = np.full((height, width), int(rng.integers(150, 256)), np.uint8)
    if rng.random() < 0.3:  # uneven light
        sheet = (sheet - np.linspace(0, rng.integers(0, 100), width)[None]).clip(0, 255).astype(np.uint8)
    for _ in range(rng.integers(1, 14)):
        mark = rng.integers(0, 5)
        (left, top), (right, bottom) = (rng.integers(-5, [width + 5, height + 5]).tolist() for _ in range(2))
        grey, thickness = int(rng.integers(0, 140)), int(rng.integers(1, 7))
        if mark == 0:
            cv2.line(sheet, (left, top), (right, bottom), grey, thickness)
        elif mark == 1:  # a ruled line
            cv2.line(sheet, (0, top), (width, top + int(rng.integers(-2, 3))), grey, thickness)
        elif mark == 2:
            cv2.rectangle(sheet, (left, top), (right, bottom), grey, thickness)
        elif mark == 3:  # a blob
            right, bottom = left + int(rng.integers(0, 12)), top + int(rng.integers(0, 12))
            cv2.rectangle(sheet, (left, top), (right, bottom), grey, -1)
        else:
            number, size = str(rng.integers(0, 99999)), float(rng.uniform(0.3, 4))
            cv2.putText(sheet, number, (left, top), cv2.FONT_HERSHEY_SIMPLEX, size, grey, thickness)
    if rng.random() < 0.3:  # noise
        sheet = (sheet + rng.normal(0, rng.uniform(1, 25), sheet.shape)).clip(0, 255).astype(np.uint8)
    return 255 - sheet if rng.random() < 0.3 else sheet


@given(seed=st.integers(0, 2**32 - 1))
@example(seed=5)  # has a mark that looks like a digit
@example(seed=25619)
@settings(max_examples=40)
def test_any_picture_gives_digits_inside_of_it_or_is_refused(classifier: Classifier, seed: int) -> None:
    picture = Image.fromarray(drawn(seed))

    with suppress(DigitsError):
        for digit in read_number(classifier, Picture(encoded(picture, compress_level=1)))["digits"]:
            box = digit["box"]
            assert min(box.x, box.y) >= 0
            assert min(box.width, box.height) > 0
            assert box.x + box.width <= picture.width
            assert box.y + box.height <= picture.height
