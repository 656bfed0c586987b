"""How often are numbers of several digits read without an error, and which ones does a person have to check?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.numbers models/mnist-dense/3 --pictures 200 --from test

The first table has, for each family of `number_pictures.py`, the share of pictures whose whole text is right, the
errors per digit (edit distance), and the processor time per picture. One digit alone is also compared with the answer
of `POST /predict`. A text is accepted if the reply's `accept` is true. The row "plain" has all kinds of PLAIN together.
The second table has the pictures without a digit (of `without_digit.py`) on which a digit is invented. Develop with
`--from validation`. The test digits are for final figures.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, share_with_interval, table
from benchmarks.quality.answers import normalized, number_on
from benchmarks.quality.families import Generator
from benchmarks.quality.mnist_digits import add_part, load_part
from benchmarks.quality.number_pictures import NUMBERS, PLAIN, NumberPicture, numbers
from benchmarks.quality.without_digit import SURFACES, pictures_without_digit
from digits.errors import NoInk, TooManyDigits
from digits.model.classifier import Classifier
from digits.model.predictions import predict

WITHOUT_DIGIT = 200
"""Number of pictures without a digit."""
SHEETS = 20
"""Maximum number of sheets, because each has a hundred digits."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read on a picture."""

    text: str = ""
    """The digits, with a newline between lines. "" if none is found."""
    is_accepted: bool = False
    """Whether the reply says that no person has to check it."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result for one picture."""

    reading: Reading
    is_right: bool
    errors: int
    digits: int
    milliseconds: float


def read(classifier: Classifier, data: bytes) -> Reading:
    """Read one picture."""
    try:
        number = number_on(classifier, data)
    except (NoInk, TooManyDigits):
        return Reading()
    return Reading(number["text"], number.get("accept", False))


def edit_distance(first: str, second: str) -> int:
    """Return the least number of insertions, deletions and changes that turn one text into the other."""
    distances = list(range(len(second) + 1))
    for row, character in enumerate(first, 1):
        above = distances
        distances = [row]
        for column, other in enumerate(second, 1):
            change = above[column - 1] + (character != other)
            distances.append(min(distances[-1] + 1, above[column] + 1, change))
    return distances[-1]


def score(classifier: Classifier, picture: NumberPicture) -> Score:
    """Read one picture, and compare."""
    began = time.process_time()
    reading = read(classifier, picture.data)
    milliseconds = 1000 * (time.process_time() - began)
    errors = edit_distance(picture.text, reading.text)
    digits = len(picture.text.replace("\n", ""))
    return Score(reading, reading.text == picture.text, errors, digits, milliseconds)


def row(name: str, scores: Sequence[Score], as_predict: str = "") -> list[str]:
    """Return a row of the first table."""
    accepted = [each.is_right for each in scores if each.reading.is_accepted]
    return [
        name,
        str(len(scores)),
        share_with_interval([each.is_right for each in scores]),
        f"{sum(each.errors for each in scores) / sum(each.digits for each in scores):.4f}",
        f"{len(accepted) / len(scores):.3f}",
        share_with_interval(accepted),
        as_predict,
        f"{np.mean([each.milliseconds for each in scores]):.0f}",
    ]


def agreement(classifier: Classifier, pictures: Sequence[NumberPicture], scores: Sequence[Score]) -> str:
    """Return how often pictures of one digit get the answer that `POST /predict` gives."""
    answers = [predicted(classifier, picture.data) for picture in pictures]
    return f"{np.mean([each.reading.text == answer for each, answer in zip(scores, answers, strict=True)]):.3f}"


def predicted(classifier: Classifier, data: bytes) -> str:
    """Return the digit that `POST /predict` replies, or "" if it finds no ink."""
    try:
        (prediction,) = predict(classifier, [normalized(data)])
    except NoInk:
        return ""
    return str(prediction["digit"])


def invented(classifier: Classifier, count: int) -> list[list[str]]:
    """Return the rows of the table of pictures without a digit."""
    rows = []
    for number, name in enumerate(SURFACES):
        share = (count + number) // len(SURFACES)
        pictures = pictures_without_digit(name, share, np.random.default_rng(zlib.crc32(name.encode())))
        wrong = refused = 0
        for data in pictures:
            try:
                found = number_on(classifier, data)["digits"]
                wrong += any(digit.get("is_digit", True) for digit in found)
            except (NoInk, TooManyDigits):
                refused += 1
        rows.append([name, str(share), str(refused), str(wrong)])
    totals = [str(sum(int(row[column]) for row in rows)) for column in (1, 2, 3)]
    return [*rows, ["all", *totals]]


def rng_of(name: str) -> Generator:
    """Return the source of randomness of a family. Each has its own seed, so that a new family changes no other."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("model", type=Path, metavar="MODEL", help="folder of a version")
    arguments.add_argument("--pictures", type=int, default=200, help="pictures of each family (default: %(default)s)")
    arguments.add_argument("--only", default="", metavar="TEXT", help="only the families whose names contain this")
    add_part(arguments)
    options = arguments.parse_args()
    classifier = Classifier.load(options.model)
    digits, labels = load_part(options.part)
    rows, plain = [], []
    for name in (name for name in NUMBERS if options.only in name):
        progress(name)
        count = min(options.pictures, SHEETS) if name.startswith("sheet") else options.pictures
        pictures = numbers(name, digits, labels, count, rng_of(name))
        scores = [score(classifier, picture) for picture in pictures]
        plain += scores if name in PLAIN else []
        rows.append(row(name, scores, agreement(classifier, pictures, scores) if name.startswith("one digit") else ""))
    rows += [row("plain", plain)] if plain else []
    print(header(["numpy", "opencv-python-headless", "pillow", "onnxruntime"]))
    print(f"\nMNIST's {options.part} digits; whole texts with their 95 % Wilson interval.\n")
    heads = ["family", "pictures", "whole text right", "errors per digit", "accepted", "right, of the accepted"]
    print(table([*heads, "as /predict", "ms a picture"], rows))
    progress("without a digit")
    heads = ["without a digit", "pictures", "refused", "a digit invented"]
    print(f"\n{table(heads, invented(classifier, WITHOUT_DIGIT))}")


if __name__ == "__main__":
    main()
