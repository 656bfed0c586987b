"""Golden readings: made pictures are prepared and read as before, box by box and stroke by stroke.

    python -m tests.digits.test_golden     write golden.json anew, after a change that is meant to read them differently

Of the 80 constants, 69 change at least one of them when they move by a quarter (`benchmarks/quality/constants.py`,
2026-12-02, AMD EPYC). The pictures are those of `benchmarks/quality`, of real digits. `golden.json` has what each is
prepared or read as, with the mean grey values of each digit in MNIST form, in blocks of 7x7 pixels.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality.drawn_styles import DRAWN, drawings
from benchmarks.quality.families import FAMILIES, rng_of
from benchmarks.quality.marks import MARKED
from benchmarks.quality.number_pictures import numbers
from benchmarks.quality.papers import ON_PAPER
from digits.errors import DigitsError
from digits.features import SIDE, Grey
from digits.finder.read import read_digits
from digits.model.artifact import SHIPPED
from digits.model.classifier import Classifier, load_newest
from digits.model.predictions import judge
from digits.picture import Picture
from tests.conftest import Mnist, load_mnist

FILE = Path(__file__).with_name("golden.json")
GOLDEN: list[dict[str, Any]] = json.loads(FILE.read_text())
TOLERANCE = 2
"""Grey values and pixels by which the rounding of other processors may change a block or a box."""
BLOCK = 7


def picture(family: str, number: int, mnist: Mnist) -> bytes:
    """Return one of the pictures of a family. Each has its own seed."""
    rng = rng_of(f"{family} {number}")
    made = FAMILIES | ON_PAPER | MARKED
    if family in made:
        return made[family](mnist.pixels[rng.integers(len(mnist.pixels))], rng)
    if family in DRAWN:
        return drawings(family, 1, rng)[0]
    return numbers(family, mnist.pixels, mnist.labels, 1, rng)[0].data


def prepared(data: bytes, classifier: Classifier) -> dict[str, Any]:
    """Return what one digit is prepared as, and its answer."""
    file = Picture(data)
    judged = judge(classifier, [file.prepare("auto")], lambda _index: file.look_again())
    (record,), (seen,) = judged.records, judged.seen
    return {
        "answer": [record["digit"], record["prediction_set"], record["accept"]],
        "reasons": [*record["doubts"], *record["preprocessing"]],
        "places": [[round(100 * side) for side in seen.normalized.part]],
        "blocks": [blocks(seen.normalized.pixels)],
    }


def read(data: bytes, classifier: Classifier) -> dict[str, Any]:
    """Return where the digits and the marks of a number are found, and what it is read as."""
    found = read_digits(classifier, Picture(data))
    number = found.number()
    digits, marks = number["digits"], number["marks"]
    return {
        "answer": [number["text"], [digit["prediction_set"] for digit in digits], number["accept"]],
        "reasons": [*number["doubts"], *([mark["kind"], mark["line"], mark["after"]] for mark in marks)],
        "places": [[*each["box"].corners] for each in (*digits, *marks)],
        "blocks": [blocks(pixels) for pixels in found.pixels],
    }


def blocks(pixels: Grey) -> list[int]:
    means = pixels.reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).mean(axis=(1, 3))
    return np.rint(means).astype(int).ravel().tolist()  # type: ignore[no-any-return]


WAYS: dict[str, Callable[[bytes, Classifier], dict[str, Any]]] = {"predict": prepared, "read": read}


def reading(golden: dict[str, Any], mnist: Mnist, classifier: Classifier) -> dict[str, Any]:
    """Return what a golden picture is read as, in one of the ways."""
    try:
        return WAYS[golden["way"]](picture(golden["family"], golden["number"], mnist), classifier)
    except DigitsError as exc:
        return {"answer": type(exc).__name__, "reasons": [], "places": [], "blocks": []}


@pytest.mark.parametrize("golden", GOLDEN, ids=[f"{each['way']} {each['family']} {each['number']}" for each in GOLDEN])
def test_a_picture_is_read_as_before(golden: dict[str, Any], mnist: Mnist, classifier: Classifier) -> None:
    received, expected = reading(golden, mnist, classifier), golden["reading"]

    assert (received["answer"], received["reasons"]) == (expected["answer"], expected["reasons"])
    for name in ("places", "blocks"):
        assert np.shape(received[name]) == np.shape(expected[name])
        assert np.abs(np.subtract(received[name], expected[name])).max(initial=0) <= TOLERANCE, name


if __name__ == "__main__":
    digits, shipped = load_mnist(), load_newest(SHIPPED)[0]
    for each in GOLDEN:
        each["reading"] = reading(each, digits, shipped)
    FILE.write_text("[\n" + ",\n".join(json.dumps(each) for each in GOLDEN) + "\n]\n")
