"""A sheet of paper that lies on something else is found by its four sides, and numbers on it are read from above."""

import numpy as np
import pytest

from benchmarks.quality.families import rng_of
from benchmarks.quality.number_pictures import numbers
from digits.finder.page import find_page
from digits.finder.read import read_number
from digits.model.classifier import Classifier
from digits.picture import Picture
from tests.conftest import Mnist


@pytest.mark.parametrize(
    ("table", "pen", "is_found"),
    [
        pytest.param(184, 60, True, id="a table that is a little darker"),
        pytest.param(188, 60, False, id="a table that is hardly darker"),
        pytest.param(100, 184, True, id="a faint pen"),
        pytest.param(100, 188, False, id="a pen that is hardly darker than the sheet"),
    ],
)
def test_a_sheet_and_what_is_written_on_it_differ_from_what_is_around(table: int, pen: int, is_found: bool) -> None:
    picture = np.full((160, 160), table, np.uint8)
    picture[20:120, 20:120] = 200
    picture[58:82, 69:71] = pen

    assert (find_page(picture) is not None) is is_found


@pytest.mark.parametrize("kind", ["on a sheet on a table", "on a note on a table"])
def test_a_number_on_a_sheet_on_a_table_is_read(classifier: Classifier, mnist: Mnist, kind: str) -> None:
    made = numbers(kind, mnist.pixels, mnist.labels, 20, rng_of(kind))

    answers = [read_number(classifier, Picture(each.data)) for each in made]

    right = [answer["text"] == each.text for answer, each in zip(answers, made, strict=True)]
    assert right.count(True) >= 15
    assert sum(answer["accept"] and not is_right for is_right, answer in zip(right, answers, strict=True)) <= 2
