"""How often are numbers of several digits read without an error?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.numbers models/mnist-dense/2 --pictures 200 --from test

The first table has, for each family of `number_pictures.py`, the share of pictures whose whole text is right, the
errors per digit (edit distance), and the processor time per picture. One digit alone is also compared with the answer
of `POST /predict`. The second table has the pictures without a digit (of `without_digit.py`) on which a digit is
invented. The third has the time for a photo with ten digits, as a multiple of that for one digit on such a photo.
Develop with `--from validation`. The test digits are for final figures.
"""

import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.quality.families import Generator
from benchmarks.quality.mnist_digits import add_part, load_part
from benchmarks.quality.number_pictures import NUMBERS, NumberPicture, numbers, photo_of_a_megapixel
from benchmarks.quality.without_digit import SURFACES, pictures_without_digit
from digits.errors import NoInk, TooManyDigits
from digits.model.classifier import Classifier
from digits.model.predictions import predict
from digits.normalization.prepare import normalize_picture
from digits.numbers.read import read_number
from digits.pictures.decode import open_picture

WITHOUT_DIGIT = 200
"""Number of pictures without a digit."""
SHEETS = 20
"""Maximum number of sheets, because each has a hundred digits."""
ROUNDS = 15
"""Number of times that each photo is read for its time, of which the least counts."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result for one picture."""

    is_right: bool
    errors: int
    digits: int
    milliseconds: float


def read_text(classifier: Classifier, data: bytes) -> str:
    """Return the digits on a picture, with a newline between lines. "" if none is found."""
    try:
        return read_number(classifier, open_picture(data))["text"]
    except (NoInk, TooManyDigits):
        return ""


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
    """Read one picture."""
    began = time.process_time()
    text = read_text(classifier, picture.data)
    milliseconds = 1000 * (time.process_time() - began)
    errors = edit_distance(picture.text, text)
    return Score(text == picture.text, errors, len(picture.text.replace("\n", "")), milliseconds)


def agreement(classifier: Classifier, pictures: list[NumberPicture]) -> float:
    """Return how often pictures of one digit get the answer that `POST /predict` gives."""
    agreed = [read_text(classifier, picture.data) == predicted(classifier, picture.data) for picture in pictures]
    return sum(agreed) / len(pictures)


def predicted(classifier: Classifier, data: bytes) -> str:
    """Return the digit that `POST /predict` replies, or "" if it finds no ink."""
    try:
        normalized = normalize_picture(open_picture(data))
    except NoInk:
        return ""
    (prediction,) = predict(classifier, [normalized])
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
                found = read_number(classifier, open_picture(data))["digits"]
                wrong += any(digit.get("is_digit", True) for digit in found)
            except (NoInk, TooManyDigits):
                refused += 1
        rows.append([name, str(share), str(refused), str(wrong)])
    totals = [str(sum(int(row[column]) for row in rows)) for column in (1, 2, 3)]
    return [*rows, ["all", *totals]]


def photo_times(classifier: Classifier, digits: list[NumberPicture], one: list[NumberPicture]) -> list[str]:
    """Return the milliseconds of processor time for ten digits, for one, and their ratio."""
    times = np.full((2, len(digits), ROUNDS), np.inf)
    for turn in range(ROUNDS):
        for index, (many, single) in enumerate(zip(digits, one, strict=True)):
            began = time.process_time()
            read_text(classifier, many.data)
            between = time.process_time()
            predicted(classifier, single.data)
            times[:, index, turn] = 1000 * (between - began), 1000 * (time.process_time() - between)
    ten, alone = times.min(axis=2).mean(axis=1)
    return [f"{ten:.1f}", f"{alone:.1f}", f"{ten / alone:.2f}"]


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
    rows = []
    for name in (name for name in NUMBERS if options.only in name):
        progress(name)
        count = min(options.pictures, SHEETS) if name.startswith("sheet") else options.pictures
        pictures = numbers(name, digits, labels, count, rng_of(name))
        scores = [score(classifier, picture) for picture in pictures]
        right = sum(each.is_right for each in scores)
        interval = binomtest(right, count).proportion_ci(method="wilson")
        exact = f"{right / count:.3f} ({interval.low:.3f}-{interval.high:.3f})"
        errors = sum(each.errors for each in scores) / sum(each.digits for each in scores)
        alike = f"{agreement(classifier, pictures):.3f}" if name.startswith("one digit") else ""
        milliseconds = float(np.mean([each.milliseconds for each in scores]))
        rows.append([name, str(count), exact, f"{errors:.4f}", alike, f"{milliseconds:.0f}"])
    print(header(["numpy", "opencv-python-headless", "pillow", "onnxruntime"]))
    print(f"\nMNIST's {options.part} digits; whole texts with their 95 % Wilson interval.\n")
    print(table(["family", "pictures", "whole text right", "errors per digit", "as /predict", "ms a picture"], rows))
    progress("without a digit")
    heads = ["without a digit", "pictures", "refused", "a digit invented"]
    print(f"\n{table(heads, invented(classifier, WITHOUT_DIGIT))}")
    progress("time")
    sheet = rng_of("time")
    ten, one = ([photo_of_a_megapixel(digits, labels, count, sheet) for _ in range(4)] for count in (10, 1))
    heads = ["photo of 1000x1000 pixels", "ten digits, ms", "one digit with /predict, ms", "ratio"]
    print(f"\n{table(heads, [['processor time', *photo_times(classifier, ten, one)]])}")


if __name__ == "__main__":
    main()
