"""How often are numbers of several digits read without an error, and which ones does a person have to check?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.numbers models/mnist-dense/8 --pictures 200 --from test

The first table has, for each family of `number_pictures.py`, the share of pictures whose whole text is right, the
errors per digit (edit distance), and the processor time per picture. A text is accepted if the reply's `accept` is
true. The row "plain" has all kinds of PLAIN together. The second table has the pictures without a digit (of
`without_digit.py`) on which a digit is invented. Develop with `--from validation`. The test
digits are for final figures.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, share_with_interval, table
from benchmarks.quality.families import rng_of
from benchmarks.quality.mnist_digits import add_part, load_part
from benchmarks.quality.number_pictures import NUMBERS, PLAIN, NumberPicture, numbers
from benchmarks.quality.without_digit import all_without_digit
from digits.errors import NoInk, TooManyDigits
from digits.finder.read import read_number
from digits.model.classifier import Classifier
from digits.model.predictions import Prediction
from digits.picture import Picture

WITHOUT_DIGIT = 200
"""Number of pictures without a digit."""
SHEETS = 20
"""Maximum number of sheets, because each has a hundred digits."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result for one picture."""

    is_right: bool
    """Whether the whole text is right."""
    is_accepted: bool
    """Whether the reply says that no person has to check it."""
    errors: int
    digits: int
    milliseconds: float


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


def read(classifier: Classifier, picture: Picture) -> tuple[str, bool, list[Prediction]]:
    """Return the text of a picture, whether it is accepted, and the digits. A refused picture has none of them."""
    try:
        number = read_number(classifier, picture)
    except (NoInk, TooManyDigits):
        return "", False, []
    return number["text"], number.get("accept", False), number["digits"]


def score(classifier: Classifier, picture: NumberPicture) -> Score:
    """Read one picture, and compare."""
    began = time.process_time()
    text, is_accepted, _ = read(classifier, Picture(picture.data))
    milliseconds = 1000 * (time.process_time() - began)
    digits = len(picture.text.replace("\n", ""))
    return Score(text == picture.text, is_accepted, edit_distance(picture.text, text), digits, milliseconds)


def row(name: str, scores: Sequence[Score]) -> list[str]:
    """Return a row of the first table."""
    accepted = [each.is_right for each in scores if each.is_accepted]
    return [
        name,
        str(len(scores)),
        share_with_interval([each.is_right for each in scores]),
        f"{sum(each.errors for each in scores) / sum(each.digits for each in scores):.4f}",
        f"{len(accepted) / len(scores):.3f}",
        share_with_interval(accepted),
        f"{np.mean([each.milliseconds for each in scores]):.0f}",
    ]


def invented(classifier: Classifier, count: int) -> list[list[str]]:
    """Return the rows of the table of pictures without a digit."""
    rows = []
    for name, pictures in all_without_digit(count).items():
        wrong = refused = 0
        for data in pictures:
            _, _, found = read(classifier, Picture(data))
            refused += not found
            wrong += any(digit.get("is_digit", True) for digit in found)
        rows.append([name, str(len(pictures)), str(refused), str(wrong)])
    totals = [str(sum(int(row[column]) for row in rows)) for column in (1, 2, 3)]
    return [*rows, ["all", *totals]]


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
        rows.append(row(name, scores))
    rows += [row("plain", plain)] if plain else []
    print(header(["numpy", "opencv-python-headless", "pillow", "onnxruntime"]))
    print(f"\nMNIST's {options.part} digits; whole texts with their 95 % Wilson interval.\n")
    heads = ["family", "pictures", "whole text right", "errors per digit", "accepted", "right, of the accepted"]
    print(table([*heads, "ms a picture"], rows))
    progress("without a digit")
    heads = ["without a digit", "pictures", "refused", "a digit invented"]
    print(f"\n{table(heads, invented(classifier, WITHOUT_DIGIT))}")


if __name__ == "__main__":
    main()
